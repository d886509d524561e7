"""Every size in the course, one row per notebook and tier. A notebook holds no size of its own.

`minutes` and `memory_gb` are for the whole notebook on that tier. `measured` is True where they come from a run on two
CPU cores (bf16); the GPU rows are estimates until somebody commits a measured one.
"""

from dataclasses import dataclass

TIERS = ("cpu", "gpu-16gb", "gpu-24gb", "gpu-80gb")


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
    probe_tokens: int  # read once to estimate this machine's speed


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

    def __post_init__(self):
        super().__post_init__()
        if self.questions < 200 or self.draws < 6:
            raise ValueError(
                f"The claim needs at least 200 questions and 6 draws, got {self.questions} and {self.draws}."
            )


_SHOTS = (0, 1, 2, 4, 8, 16)
_FLIPPED = (0.0, 0.25, 0.5, 0.75, 1.0)

_ROWS = {
    "00": {
        "cpu": Start(1, 2, False, continuation_tokens=40, probe_tokens=512),
        "gpu-16gb": Start(1, 3, False, continuation_tokens=40, probe_tokens=4096),
        "gpu-24gb": Start(1, 3, False, continuation_tokens=40, probe_tokens=4096),
        "gpu-80gb": Start(1, 3, False, continuation_tokens=40, probe_tokens=4096),
    },
    "05": {
        "cpu": InContext(4, 3, False, _SHOTS, 200, 6, 60, 60, 3, _FLIPPED),
        "gpu-16gb": InContext(3, 4, False, _SHOTS, 400, 8, 100, 200, 6, _FLIPPED),
        "gpu-24gb": InContext(3, 4, False, _SHOTS, 800, 12, 100, 400, 8, _FLIPPED),
        "gpu-80gb": InContext(3, 6, False, _SHOTS, 1500, 16, 200, 800, 12, _FLIPPED),
    },
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
