"""The runs of `python -m course_utils run scaling`, written down before the first of them.

SIZES are named width x layers; a run reads BATCH · LENGTH tokens a step, each row new but where it says otherwise; its
rate rises for a tenth of its steps and falls along a cosine that ends with the run. Compute is 6 N D, N all weights:
looking a token up costs nothing, and the head, which is the embedding once more, costs what any matrix does.

    rate-SIZE-TOKENS-RATE   a learning rate tried; from these `rate_rule` has every other run's rate, by size and tokens
    grid-SIZE-TOKENS        five sizes by four budgets of tokens, some more for some of them and for a sixth size
    low-, middle-, high-SIZE   three lines of equal compute, five or six sizes each
    prediction              the law of the runs with LEAST_STEPS or more, and what it says of `largest`; no run
    largest                 at least four times the compute of any run that is fitted
    recovery                the law found again on made runs of its own, DRAWS times; no run
    again-SIZE-TOKENS-SEED  eight runs of the grid of 2^21 tokens or more with two or three other seeds: noise
    recite-SIZE-SEED        2^20 tokens of which one in RECITED is new, in three seeds: what is known by heart, by size
    warm-low-SIZE           the low line with a warm-up of WARM_STEPS whatever the run's length
    kept-low-SIZE           the low line with one rate for all, kept from a short run of the smallest size
    repeat-SIZE-TIMES       2^20 tokens of which one in TIMES is new
    mix-NAME-SEED           MIXTURES of three kinds of text, equal tokens
    tune-KIND-RATE          a rival at size RIVAL_AT, rates tried
    rival-KIND-SIZE         the rivals at other sizes, the rate moved as `rate_rule` moves it

Minutes on a core of one's own, reckoned by `minutes` from MEASURED tokens a second: rate 41, tune 10, grid 52, lines
45, again 74, largest 17, recite 23, warm 5, kept 5, repeat 2, mix 13, rival 5; in all 291, and about 8 s a point for
its process to start and be judged: 25. On two cores two and a half hours.
"""

from dataclasses import dataclass, replace
from functools import cache

from course_utils import recipes
from course_utils.models.transformer import TransformerConfig
from course_utils.training import rivals

VOCABULARY, LENGTH, BATCH = 512, 128, 8
A_STEP = BATCH * LENGTH
SIZES = {  # width, layers, heads
    "32x2": (32, 2, 2), "48x2": (48, 2, 2), "64x3": (64, 3, 4), "96x3": (96, 3, 4), "128x4": (128, 4, 4),
    "176x4": (176, 4, 4), "224x4": (224, 4, 4), "40x2": (40, 2, 2), "24x2": (24, 2, 2),
}  # fmt: skip
ROWS, LARGEST, LIVE = tuple(SIZES)[:6], "224x4", "40x2"
BUDGETS, MORE = tuple(2**power for power in (17, 18, 19, 20)), 2**21
LARGEST_TOKENS, LIVE_TOKENS = 2_810 * A_STEP, recipes.of("04", "cpu").tokens
LINES = {"low": (5e11, ("24x2", *ROWS[:5])), "middle": (1.6e12, ROWS), "high": (5e12, ROWS[1:])}
RATES, RIVAL_RATES = (4e-3, 1e-2, 2.5e-2, 6e-2, 1.5e-1), (1e-3, 3e-3, 1e-2, 3e-2)
TRIED_AT = (
    *[(size, BUDGETS[1]) for size in ("32x2", "64x3", "128x4", "176x4")], ("48x2", BUDGETS[3]), ("96x3", BUDGETS[3]),
    ("48x2", MORE), ("64x3", MORE),
)  # fmt: skip
SEEDED, SEEDS, WARM_STEPS, TIMES, REPEATED = ROWS[:5], (1, 2), 300, (4, 64), ("48x2",)
AGAIN_AT = {(size, MORE): (*SEEDS, 3) for size in SEEDED} | {
    (size, 2 * MORE): SEEDS for size in ("32x2", "64x3", "96x3")
}
GROUPS = {
    "prose": ("news", "wiki-summaries", "wiki-articles"), "old": ("plays", "bible", "speeches"),
    "code": ("code", "manual"),
}  # fmt: skip
MIXTURES = {  # shares of the GROUPS
    "prose": (1, 0, 0), "old": (0, 1, 0), "code": (0, 0, 1), "prose+old": (1 / 2, 1 / 2, 0),
    "prose+code": (1 / 2, 0, 1 / 2), "old+code": (0, 1 / 2, 1 / 2), "all": (1 / 3, 1 / 3, 1 / 3),
}  # fmt: skip
MIXED_AT, RIVAL_AT, MIXED_TOKENS, RIVAL_TOKENS = "64x3", "64x3", 2**19, 2**19
RIVALS, RIVAL_SIZES = ("vanilla", "experts-weights", "experts-compute", "lstm"), ("48x2", "96x3")
DOCUMENTS, DOCUMENT_BYTES, COPY, SPANS, BITS = 16, 512, 40, (1, 2, 4, 8, 16), 4
RECITED, RECITE_ROWS, DRAWS = 16, 128, 100
# tokens a second that one core did at four sizes; between them as a power of the weights
MEASURED = {35_168: 31_000, 66_576: 25_000, 299_376: 9_800, 1_208_592: 3_600, 2_495_232: 2_500}


@dataclass(frozen=True)
class Run:
    """One training run.

    size: a key of SIZES. tokens: read. seed: of weights and order.
    rate: the highest learning rate; None for the rule's. kept: for that of the smallest size.
    warm: steps of warm-up; None for a tenth. times: how often each token is read.
    kind: gemma or one of RIVALS. mixture: a key of MIXTURES, or None for the corpus. evaluate: budgets at which it is
    looked at on the way.
    """

    size: str
    tokens: int
    seed: int = 0
    rate: float | None = None
    kept: bool = False
    warm: int | None = None
    times: int = 1
    kind: str = "gemma"
    mixture: str | None = None
    evaluate: tuple = ()

    @property
    def steps(self):
        """Optimizer steps."""
        return self.tokens // A_STEP


def config(size, kind="gemma"):
    """The TransformerConfig of a size, for a rival of as many weights as its gemma has.

    The experts are half as wide as the MLP for as many weights ("experts-weights"), and as wide together, of which half
    is asked, for as much compute ("experts-compute").
    """
    width, layers, heads = SIZES[size]
    sizes = TransformerConfig(
        vocabulary=VOCABULARY, width=width, layers=layers, heads=heads, key_value_heads=heads // 2,
        head_width=width // heads, mlp_width=2 * width, window=LENGTH, context=4 * LENGTH,
    )  # fmt: skip
    wide = {"vanilla": 5 * width // 2, "experts-weights": width // 2, "experts-compute": width}
    if kind == "lstm":
        every = rivals.count("gemma", sizes)[0]
        fits = [w for w in range(8, 1024, 4) if 16 * w**2 + (VOCABULARY + 18) * w <= every]
        return replace(sizes, width=fits[-1], layers=2)
    return replace(sizes, mlp_width=wide.get(kind, sizes.mlp_width))


def model_kind(kind):
    """The key of rivals.KINDS of a run's kind."""
    return kind.partition("-")[0]


@cache
def counted(size, kind="gemma"):
    """(all weights, those outside of the embedding, those that a token passes through)."""
    return rivals.count(model_kind(kind), config(size, kind))


def on_line(flops, size):
    """Tokens of a size for a budget of compute, whole steps."""
    return int(flops / 6 / counted(size)[0]) // A_STEP * A_STEP


def _grid():
    found = {}
    for size in ROWS:
        last = BUDGETS[-2] if size == ROWS[-1] else BUDGETS[-1] if size == ROWS[-2] else MORE
        for tokens in [tokens for tokens in (*BUDGETS, MORE) if tokens <= last]:
            on_the_way = tuple(budget for budget in BUDGETS if budget < tokens) if tokens == last else ()
            found[f"grid-{size}-{tokens}"] = Run(size, tokens, evaluate=on_the_way)
    return found


TRIED = {
    f"rate-{size}-{tokens}-{rate:g}": Run(size, tokens, rate=rate)
    for size, tokens in TRIED_AT for rate in RATES[: 4 if tokens == MORE else None]
}  # fmt: skip
LONGER = ("32x2", 2 * MORE), ("64x3", 2 * MORE), ("96x3", 2 * MORE), ("128x4", MORE), ("176x4", BUDGETS[3])
GRID = _grid() | {f"grid-{size}-{tokens}": Run(size, tokens) for size, tokens in LONGER}
LINE = {f"{n}-{size}": Run(size, on_line(flops, size)) for n, (flops, sizes) in LINES.items() for size in sizes}
LEAST_STEPS = 2_000  # of a run that is fitted: shorter ones fall the faster the longer they are, which no power does
EARLIER_LEAST = 1_000  # with which a first law was fitted, whose interval was wider; what the cut does is shown
BIG = {"largest": Run(LARGEST, LARGEST_TOKENS)}
AGAIN = {f"again-{s}-{d}-{seed}": Run(s, d, seed) for (s, d), seeds in AGAIN_AT.items() for seed in seeds}
RECITE = {f"recite-{size}-{n}": Run(size, BUDGETS[3], n, times=RECITED) for size in SEEDED for n in (0, *SEEDS)}
WARM = {f"warm-{n}": replace(run, warm=min(WARM_STEPS, run.steps - 1)) for n, run in LINE.items() if n[0] == "l"}
KEPT = {f"kept-{name}": replace(run, kept=True) for name, run in LINE.items() if name[0] == "l"}
REPEATS = {f"repeat-{size}-{times}": Run(size, BUDGETS[3], times=times) for size in REPEATED for times in TIMES}
MIX = {f"mix-{m}-{seed}": Run(MIXED_AT, MIXED_TOKENS, seed, mixture=m) for seed in (0, *SEEDS) for m in MIXTURES}
TUNE = {f"tune-{kind}-{r:g}": Run(RIVAL_AT, RIVAL_TOKENS, rate=r, kind=kind) for kind in RIVALS for r in RIVAL_RATES}
RIVAL = {f"rival-{kind}-{size}": Run(size, RIVAL_TOKENS, kind=kind) for kind in RIVALS for size in RIVAL_SIZES}
FIT = {name: run for name, run in (GRID | LINE | AGAIN).items() if run.steps >= LEAST_STEPS}
FITTED = tuple(sorted({run.size for run in FIT.values()}, key=lambda size: counted(size)[0]))
RUNS = TRIED | GRID | LINE | BIG | AGAIN | RECITE | WARM | KEPT | REPEATS | MIX | TUNE | RIVAL
# Each waits for all before it; within one, two runs may go side by side. The longest come first
STAGES = (
    (*TRIED, *TUNE), (*reversed(LINE), *GRID, *AGAIN), ("prediction",),
    (*BIG, *RECITE, *WARM, *KEPT, *REPEATS, *MIX, *RIVAL), ("recovery",),
)  # fmt: skip
POINTS = tuple(point for stage in STAGES for point in stage)


def minutes(run):
    """How long a run takes on a core of its own, from MEASURED; a rival's as its gemma's."""
    import numpy as np

    slope, level = np.polyfit(np.log(list(MEASURED)), np.log(list(MEASURED.values())), 1)
    return run.tokens / float(np.exp(level) * counted(run.size)[0] ** slope) / 60
