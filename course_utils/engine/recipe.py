"""What a training run is, in one frozen dataclass: the same recipe, data and seed give the same run."""

import dataclasses
from dataclasses import dataclass

SCHEDULES = ("constant", "linear", "cosine")
METHODS = ("full", "lora", "ia3", "prompt", "p-tuning", "prefix")
# A resumed run may differ in these: they move memory and time, not what is learned
FREE_TO_CHANGE = ("micro_batch", "save_every", "activation_checkpointing")


@dataclass(frozen=True)
class TrainingRecipe:
    """The sizes of one run. `recipes` holds one for each notebook and tier; nothing else does."""

    steps: int  # optimizer steps
    batch_size: int  # rows that one optimizer step learns from
    learning_rate: float  # at the schedule's highest point
    micro_batch: int | None = None  # rows in memory at once; None is the whole batch
    max_length: int = 256  # tokens of the longest row
    method: str = "lora"  # which weights are trained
    warmup_steps: int = 0  # steps in which the learning rate rises from 0
    schedule: str = "cosine"  # how it falls afterwards: constant, linear or cosine
    clip: float = 1.0  # largest gradient norm
    weight_decay: float = 0.0  # AdamW's, on matrices only
    betas: tuple[float, float] = (0.9, 0.999)  # AdamW's
    seed: int = 0  # of batches, dropout and anything else that is drawn
    pool: int = 1  # batches whose rows are sorted by length together; 1 sorts within a batch alone
    save_every: int = 50  # steps between checkpoints; the last step always saves
    evaluate_every: int = 0  # steps between calls of `evaluate`; 0 is never
    evaluate_at: tuple[int, ...] = ()  # and the steps after which it is called besides
    activation_checkpointing: bool = False  # compute activations twice instead of keeping them

    def __post_init__(self):
        object.__setattr__(self, "betas", tuple(self.betas))
        object.__setattr__(self, "evaluate_at", tuple(self.evaluate_at))
        object.__setattr__(self, "micro_batch", self.batch_size if self.micro_batch is None else self.micro_batch)
        for name in ("steps", "batch_size", "micro_batch", "max_length", "pool", "save_every"):
            self._expect(name, isinstance(getattr(self, name), int) and getattr(self, name) >= 1, "a whole number ≥ 1")
        for name in ("warmup_steps", "evaluate_every", "seed"):
            self._expect(name, isinstance(getattr(self, name), int) and getattr(self, name) >= 0, "a whole number ≥ 0")
        self._expect("learning_rate", 0 < self.learning_rate < 1, "a number between 0 and 1, such as 2e-4")
        self._expect("clip", self.clip > 0, "a number > 0; for no clipping take 1e9")
        self._expect("weight_decay", self.weight_decay >= 0, "a number ≥ 0")
        self._expect("betas", all(0 <= beta < 1 for beta in self.betas), "two numbers in [0, 1)")
        self._expect("schedule", self.schedule in SCHEDULES, "one of " + ", ".join(SCHEDULES))
        self._expect("method", self.method in METHODS, "one of " + ", ".join(METHODS))
        self._expect("micro_batch", self.micro_batch <= self.batch_size, f"at most batch_size = {self.batch_size}")
        self._expect("warmup_steps", self.warmup_steps < self.steps, f"fewer than steps = {self.steps}")
        if self.method == "prefix" and self.activation_checkpointing:
            raise ValueError(
                "Prefix tuning and activation checkpointing exclude each other: the prefix lives in the key-value "
                "cache, which checkpointing switches off. Set activation_checkpointing=False and a smaller micro_batch."
            )

    def _expect(self, name, holds, expected):
        if not holds:
            raise ValueError(f"TrainingRecipe({name}={getattr(self, name)!r}): expected {expected}.")

    @property
    def identity(self):
        """The fields that decide what is learned, as JSON-ready values; a resume must agree in all of them."""
        fields = dataclasses.asdict(self) | {"betas": list(self.betas), "evaluate_at": list(self.evaluate_at)}
        given = {name: value for name, value in fields.items() if name not in FREE_TO_CHANGE}
        return given if self.evaluate_at else {name: given[name] for name in given if name != "evaluate_at"}

    def evaluates(self, step):
        """Whether `evaluate` is called after this step."""
        return step in self.evaluate_at or (self.evaluate_every > 0 and step % self.evaluate_every == 0)
