"""Every size in the course, one row per notebook and tier. A notebook holds no size of its own.

`minutes` and `memory_gb` are for the whole notebook on that tier. `measured` is True where they come from a run on two
CPU cores (bf16); the GPU rows are estimates until somebody commits a measured one.
"""

from dataclasses import dataclass

TIERS = ("cpu", "gpu-16gb", "gpu-24gb", "gpu-80gb")
# Tokens a second that the machines read on which the minutes were measured (cpu) or for which they were estimated
READING_SPEED = {"cpu": 1000.0, "gpu-16gb": 15_000.0, "gpu-24gb": 40_000.0, "gpu-80gb": 150_000.0}


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
class Start(Recipe):
    """00 Start here: a first look at the model."""

    continuation_tokens: int
    reviews: int  # held-out reviews whose next tokens are guessed
    probe_tokens: int  # read to estimate this machine's speed


@dataclass(frozen=True)
class InContext(Recipe):
    """05 In-context learning: how many reviews are judged behind how many draws of examples."""

    shots: tuple[int, ...]
    questions: int  # held-out reviews for the claim
    draws: int  # draws of examples for each number of shots
    unlabelled: int  # reviews whose labels nobody looks at, for calibration
    probe_questions: int  # reviews for the experiments that are observed
    probe_draws: int
    flipped: tuple[float, ...]  # shares of turned labels
    written_shots: tuple[int, ...]  # examples shown before the model writes
    written: int  # questions it answers in writing

    def __post_init__(self):
        super().__post_init__()
        if self.questions < 200 or self.draws < 6:
            raise ValueError(
                f"The claim needs at least 200 questions and 6 draws, got {self.questions} and {self.draws}."
            )


@dataclass(frozen=True)
class Adapter(Recipe):
    """10 to 14: one adapter method trained on graded reviews, live, at one point of the comparison's grid."""

    rows: int  # reviews to learn from
    steps: int
    batch_size: int
    test: int  # held-out reviews that are graded
    unlabelled: int  # reviews whose ratings nobody looks at, for calibration
    probe_steps: int  # of the short runs, such as another start or another learning rate
    probe_test: int

    def __post_init__(self):
        super().__post_init__()
        if self.rows < self.batch_size or self.unlabelled < 10:
            raise ValueError(
                f"Expected at least a batch of rows and 10 unlabelled reviews, got {self.rows} and {self.unlabelled}."
            )


_SHOTS = (0, 1, 2, 4, 8, 16)
_FLIPPED = (0.0, 0.25, 0.5, 0.75, 1.0)
_WRITTEN = (0, 1, 2, 8)

_ADAPTER = {
    "cpu": Adapter(1.5, 3, False, 1536, 48, 16, 300, 48, 16, 100),
    "gpu-16gb": Adapter(2, 6, False, 6000, 300, 32, 2000, 300, 60, 500),
    "gpu-24gb": Adapter(2, 6, False, 6000, 300, 32, 2000, 300, 60, 500),
    "gpu-80gb": Adapter(2, 8, False, 6000, 400, 64, 2000, 300, 80, 1000),
}
_ROWS = {
    "00": {
        "cpu": Start(0.8, 2, True, 40, 100, 512),
        "gpu-16gb": Start(1, 3, False, 40, 400, 4096),
        "gpu-24gb": Start(1, 3, False, 40, 400, 4096),
        "gpu-80gb": Start(1, 3, False, 40, 400, 4096),
    },
    "05": {
        "cpu": InContext(3.9, 1.6, True, _SHOTS, 200, 6, 200, 48, 3, _FLIPPED, _WRITTEN, 16),
        "gpu-16gb": InContext(3, 4, False, _SHOTS, 400, 8, 400, 200, 6, _FLIPPED, _WRITTEN, 32),
        "gpu-24gb": InContext(3, 4, False, _SHOTS, 800, 12, 400, 400, 8, _FLIPPED, _WRITTEN, 32),
        "gpu-80gb": InContext(3, 6, False, _SHOTS, 1500, 16, 400, 800, 12, _FLIPPED, _WRITTEN, 32),
    },
    **{number: _ADAPTER for number in ("10", "11", "12", "13", "14")},
}


def of(notebook, tier):
    """The row of a notebook.

    Args:
        notebook: its number, as "05", or its name, as "05_in_context_learning".
        tier: one of TIERS, as `runtime.start()` chose it.

    Raises:
        ValueError: no such row; the message lists what there is.
    """
    rows = _ROWS.get(notebook[:2])
    if rows is None or tier not in rows:
        raise ValueError(f"No recipe for notebook {notebook!r} on tier {tier!r}; there are {sorted(_ROWS)} on {TIERS}.")
    return rows[tier]


def notebooks():
    """The numbers of the notebooks that have a recipe, in order."""
    return sorted(_ROWS)
