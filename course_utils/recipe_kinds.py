"""What the rows of `recipes` are made of: the fields that every notebook has, and those of the foundations."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """What every notebook has: how long it takes and how much memory its process needs."""

    minutes: float
    memory_gb: float
    measured: bool

    def __post_init__(self):
        if self.minutes <= 0 or self.memory_gb <= 0:
            raise ValueError(f"Minutes and memory must be positive, got {self.minutes} and {self.memory_gb}.")


@dataclass(frozen=True)
class LanguageModels(Recipe):
    """01 Language models: what is counted live, and how much is asked."""

    counted: int  # characters of the corpus that live n-gram models count
    read: int  # characters of held-out text on which all are compared live
    items: int  # of each task that is asked live
    rows: int  # that the live specialist learns from; the recorded one takes all
    new_tokens: int  # a sample has
    chips: int  # among which a table divides each training


@dataclass(frozen=True)
class Pretraining(Recipe):
    """03 Pre-training: a model of this size, from nothing, and on how many held-out documents it is judged."""

    steps: int  # of the live run
    batch_size: int  # rows
    micro_batch: int  # rows in memory at once
    learning_rate: float
    length: int  # tokens of a row
    vocabulary: int
    width: int
    layers: int
    heads: int
    key_value_heads: int
    head_width: int
    mlp_width: int
    documents: int  # at most so many held-out documents of each source
    document_bytes: int  # of which each is judged by so many, from its beginning
    share: float  # of the corpus' training documents that are turned into tokens

    @property
    def tokens(self):
        """How many the live run reads."""
        return self.steps * self.batch_size * self.length


@dataclass(frozen=True)
class Scaling(Recipe):
    """04 Scaling laws: how much the live run reads; its model and its judge are those of `run scaling`."""

    tokens: int
    share: float  # of the corpus' training documents that are turned into tokens


@dataclass(frozen=True)
class DataProcessing(Recipe):
    """02 Data processing: how much of the corpus each step looks at; a sample, as the whole takes minutes a step."""

    pages: int  # web pages; there are 300
    articles: int  # of news
    judged: int  # documents of each other source that meet the rules for web pages
    copied: int  # articles that are copied four times, to count what banding misses
    words: int  # of each of these, from its beginning
    planted: int  # pages that get a private item
    characters: int  # of each of these, from its beginning
    lesson: int  # web pages from which merges are learned
    vocabulary: int  # tokens, the 256 bytes counted in
    held_out: int  # held-out texts that are looked for in training text
    piped: int  # documents that pass through the whole pipeline
    shard: int  # characters of a shard there
