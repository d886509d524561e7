"""Turning reviews into prompts: examples with their answers, then a question without one."""

import random
from dataclasses import dataclass, replace
from numbers import Integral

from course_utils.data.dialogue import first_token, need_tokenizer

NEGATIVE, POSITIVE = 0, 1


@dataclass(frozen=True)
class Template:
    """How one example is written; label words start with the space that belongs to their token.

    question: the text up to the answer, with {text}.
    words: the label words for (negative, positive).
    end: what separates one example from the next.
    instruction: said once, before the first example or the question.
    """

    question: str
    words: tuple[str, str]
    end: str = "\n\n"
    instruction: str = ""

    def __post_init__(self):
        if not isinstance(self.question, str) or "{text}" not in self.question:
            raise ValueError(
                f"The question {self.question!r} has no place for the review. Write {{text}} where it goes."
            )
        try:
            self.question.format(text="")
        except (ValueError, LookupError, AttributeError) as error:
            raise ValueError(
                f"The question {self.question!r} has a brace that is no place for the review ({error}). "
                "Write {text}, or double the brace."
            ) from None
        if not isinstance(self.words, tuple | list) or len(self.words) != 2 or self.words[0] == self.words[1]:
            raise ValueError(f"Expected two different label words, as (' bad', ' good'), got {self.words!r}.")
        if any(not isinstance(word, str) or not word.startswith(" ") for word in self.words):
            raise ValueError(
                f"Label words start with a space, as in ' good', got {self.words}; else they form other tokens."
            )

    def example(self, text, label):
        return self.question.format(text=text) + self.words[label] + self.end

    def with_words(self, negative, positive):
        """The same question answered with other words."""
        return replace(self, words=(negative, positive))


@dataclass(frozen=True)
class Example:
    """One labelled review in a prompt. label: NEGATIVE or POSITIVE, as shown, true or not."""

    text: str
    label: int


def label_of(mean):
    """The side of a mean human rating. The caller leaves out means near zero, where people disagree about the side."""
    return POSITIVE if mean > 0 else NEGATIVE


def draw_examples(pool, shots, *, seed, positives=None):
    """Draw examples at random: half of each label, in random order.

    Args:
        pool: list of Example.
        shots: how many; an odd number gives the label left over by chance.
        seed: the draw's number or name; the same seed gives the same examples.
        positives: how many are positive, to unbalance on purpose; None balances.

    Raises:
        ValueError: the pool has too few of a label.
    """
    if not isinstance(seed, Integral | str):
        raise ValueError(f"seed is {seed!r}; expected a whole number, or a name for the draw.")
    rng = random.Random(f"examples-{seed}-{shots}")
    if positives is None:
        positives = shots // 2 + (rng.randrange(2) if shots % 2 else 0)
    drawn = []
    for label, count in ((POSITIVE, positives), (NEGATIVE, shots - positives)):
        candidates = [example for example in pool if example.label == label]
        if not 0 <= count <= len(candidates):
            raise ValueError(
                f"Cannot draw {count} of {len(candidates)} examples with label {label} ({shots=}, {positives=})."
            )
        drawn += rng.sample(candidates, count)
    rng.shuffle(drawn)
    return drawn


def flip_labels(examples, share, *, seed):
    """The same examples with a share of the labels turned round, rounded to whole examples, chosen at random."""
    if not 0 <= share <= 1:
        raise ValueError(f"Expected a share of labels to flip between 0 and 1, got {share}. Is it a percentage?")
    chosen = random.Random(f"flips-{seed}").sample(range(len(examples)), round(share * len(examples)))
    return [replace(e, label=1 - e.label) if i in set(chosen) else e for i, e in enumerate(examples)]


def prompt_tokens(tokenizer, template, examples):
    """Token ids of <bos>, instruction and examples; questions are encoded on their own and follow behind.

    Without all three the end of a text stands there: a model that has no beginning saw one before each text.
    """
    text = template.instruction + "".join(template.example(example.text, example.label) for example in examples)
    ids = [*first_token(tokenizer), *tokenizer(text, add_special_tokens=False).input_ids]
    return ids or [tokenizer.eos_token_id]


def question_tokens(tokenizer, template, texts):
    """Token ids of each question, up to the place where the label word would stand."""
    return [tokenizer(template.question.format(text=text), add_special_tokens=False).input_ids for text in texts]


def word_tokens(tokenizer, template):
    """The label words' token ids.

    Raises:
        ValueError: a word takes several tokens, or both words begin with the same one.
    """
    need_tokenizer(tokenizer)
    ids = [tokenizer(word, add_special_tokens=False).input_ids for word in template.words]
    if any(len(word) != 1 for word in ids) or ids[0] == ids[1]:
        counted = ", ".join(f"{word!r}: {len(tokens)}" for word, tokens in zip(template.words, ids, strict=True))
        raise ValueError(f"Label words must be one token each and differ; tokens of {counted}. Choose plainer words.")
    return [word[0] for word in ids]
