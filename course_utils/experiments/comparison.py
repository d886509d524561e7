"""Which adapter method is best? Each grades reviews, at equal steps, equal tokens and equally many rates tried.

Written down before the run:

    rate-ARM-TRIAL   a method at its middle learning rate, a third and three times of it; the steps of its notebook, one
                     seed, judged on validation reviews: every method gets the same number of trials
    test-ARM-SEED    the method at its best rate, twice the steps, three seeds: paired test reviews, other domains, and
                     how far the model went from the base on plain text
    few-ARM-ROWS     the same with few reviews, seen again and again, on fewer test reviews; at the rate of the trials,
                     which had more reviews and 200 validation ratings to be chosen by
    baselines        no training: calibrated zero-shot, sixteen examples, a bag of words, one person
    start-ARM        the method before its first step, as it comes and calibrated: soft prompts start from an
                     instruction, which is worth something without any training

What comes first is of use alone: all trials and the first seed of every method, then the other seeds. Intervals are
over reviews and seeds together, where there is more than one seed; each seed's correlation stands apart. LoRA r1 on
queries and values has exactly as many weights as IA3.
"""

import json
import shutil
import statistics
import tempfile

import torch

from course_utils.adapters import library, weights
from course_utils.data import instructions, reviews
from course_utils.engine import loop, stages
from course_utils.evaluation import comparison, forgetting, graded
from course_utils.experiments import sft as sft_experiment
from course_utils.models.base import load_base
from course_utils.training import graded as training
from course_utils.training import sft

ARMS = {
    "lora": ("lora", None),
    "ia3": ("ia3", None),
    "full": ("full", None),
    "prompt": ("prompt", None),
    "prefix": ("prefix", None),
    "lora-r1": ("lora", {"rank": 1, "alpha": 2}),
    "p-tuning": ("p-tuning", None),
}
TRIALS = {"low": 1 / 3, "middle": 1.0, "high": 3.0}  # times the method's middle learning rate
SEEDS, STEPS, BATCH, TRIAL_STEPS = (0, 1, 2), 36, 16, 18
VALIDATION, TEST, FEW_TEST, SHOTS = 200, 2000, 600, 16
SHIFTED = {"products": 200, "tweets": 200, "news": 200}  # domain that nothing was learned from → texts
FEW = (32, 128)  # reviews to learn from, in place of one for each row of every step
TEXTS, TEXT_TOKENS = 8, 64  # plain text on which the distance to the base is measured
DIRECTIONS = (1, 8, 64)  # of full tuning's change of a matrix
# The start that serves an arm: who changes matrices starts as the base model, P-tuning's encoder at prompt's vectors
STARTS = {"prompt": "prompt", "p-tuning": "prompt", "prefix": "prefix"} | dict.fromkeys(
    ("lora", "lora-r1", "ia3", "full"), "lora"
)
FIGURES = (
    "learning_rate",
    "trained",
    "bytes",
    "seconds_a_step",
    "peak_mb",
    "divergence",
    "error",
)
SETTING = {
    "arms": {arm: list(pair) for arm, pair in ARMS.items()}, "trials": TRIALS, "seeds": SEEDS, "steps": STEPS,
    "batch_size": BATCH, "trial_steps": TRIAL_STEPS, "validation": VALIDATION, "test": TEST,
    "shifted": SHIFTED, "few": FEW, "few_test": FEW_TEST, "shots": SHOTS, "texts": TEXTS,
}  # fmt: skip
POINTS = (
    "baselines",
    *(point for arm in ARMS for point in (*(f"rate-{arm}-{trial}" for trial in TRIALS), f"test-{arm}-{SEEDS[0]}")),
    *(f"test-{arm}-{seed}" for seed in SEEDS[1:] for arm in ARMS),
    *(f"few-{arm}-{rows}" for rows in FEW for arm in ARMS),
    *(f"start-{arm}" for arm in ("lora", "prompt", "prefix")),
)


def measure(point, run, folder):
    """One point of the grid.

    Args:
        point: one of POINTS.
        run: the runtime's decisions.
        folder: where the training run lives; the results of earlier points lie beside it.

    Returns:
        A dict that `summary` reads: a trial's correlation; a test's predictions, weights, bytes, seconds and memory.
    """
    kind, _, rest = point.partition("-")
    if kind == "baselines":
        return baselines()
    if kind == "start":
        return started(rest, run)
    arm, _, last = rest.rpartition("-")
    if kind == "rate":
        rate = float(f"{training.recipe_of(ARMS[arm][0], run.tier).learning_rate * TRIALS[last]:.1g}")
        module, tokenizer, known = train(arm, run, folder, steps=TRIAL_STEPS, learning_rate=rate)
        exam = graded.Exam.of(VALIDATION, tokenizer, split="validation")
        return known | {"correlation": graded.correlation(exam.ratings(module), exam.truth)}
    rate = best_rate([_result(folder, f"rate-{arm}-{trial}") for trial in TRIALS])
    if kind == "few":
        module, tokenizer, known = train(arm, run, folder, rows=int(last), steps=STEPS, learning_rate=rate)
        return known | {"predicted": graded.to_line(graded.Exam.of(FEW_TEST, tokenizer).ratings(module))}
    module, tokenizer, known = train(arm, run, folder, steps=STEPS, learning_rate=rate, seed=int(last))
    base = load_base()[0]
    if arm == "full":
        known["directions"] = directions(base, module.model)
        module.to(run.dtype)
    films = graded.Exam.of(TEST, tokenizer)
    said = films.ratings(module)
    known |= {"predicted": graded.to_line(said), "error": graded.mean_absolute_error(said, films.truth)}
    for domain, count in SHIFTED.items():
        known[domain] = graded.to_line(graded.Exam.of(count, tokenizer, domain=domain).ratings(module))
    known["divergence"] = forgetting.divergence(base, module.model, plain_texts(tokenizer))
    return known


def started(arm, run):
    """What a method grades before its first step: on the test reviews, as it comes and calibrated."""
    method, sizes = ARMS[arm]
    one = list(reviews.load("movies", "train").select(range(1)))  # nothing is learned from it
    job = training.job(one, training.recipe_of(method, run.tier), sizes=sizes)
    module = stages.seeded(job.build, SEEDS[0]).eval()
    unlabelled = graded.Exam.of(VALIDATION, job.tokenizer, split="validation")
    raw, calibrated = graded.Exam.of(TEST, job.tokenizer).untrained(module, unlabelled)
    return {"predicted": graded.to_line(raw), "calibrated": graded.to_line(calibrated)}


def train(arm, run, folder, *, rows=None, sizes=None, **changes):
    """(trained module, tokenizer, what is known of its training).

    Args:
        arm: one of ARMS; `sizes` of its adapter in place of its own.
        rows: the first so many reviews, seen again and again; None: as many as there are rows in all steps, each once.
        changes: fields of the recipe in place of the notebook's.
    """
    method, own = ARMS[arm]
    sizes = own if sizes is None else sizes
    if rows:  # batches are made of a pool of them; one that goes over a few reviews twice would hold both copies
        changes["pool"] = max(1, min(4, rows // BATCH))
    recipe = training.recipe_of(method, run.tier, batch_size=BATCH, **changes)
    learned = list(reviews.load("movies", "train").select(range(rows or recipe.steps * recipe.batch_size)))
    job = training.job(learned, recipe, sizes=sizes)
    module = stages.seeded(job.build, recipe.seed)
    result = loop.train(module, job.rows, job.collate, recipe, folder, run=sft.precision(recipe, run), progress=False)
    timings = [json.loads(line)["seconds"] for line in (folder / "timings.jsonl").read_bytes().splitlines()]
    known = {
        "learning_rate": recipe.learning_rate, "seed": recipe.seed, "trained": weights.count(module),
        "loss": statistics.mean(result.losses[-8:]), "peak_mb": round(sft_experiment.peak_mb()),
        "seconds_a_step": statistics.median(timings),
    }  # fmt: skip
    shutil.rmtree(folder)  # full tuning would leave gigabytes at each point
    known["bytes"] = sum(weight.numel() for weight in module.parameters()) * run.dtype.itemsize
    if method != "full":
        with tempfile.TemporaryDirectory() as place:
            known["bytes"] = library.save(module.model, place)
    return module.eval(), job.tokenizer, known


def best_rate(trials):
    """The learning rate whose trial correlates best."""
    return max(trials, key=lambda trial: trial["correlation"])["learning_rate"]


def baselines():
    """What costs no training, on the test reviews, and the truth."""
    model, tokenizer = load_base()
    exam, checked = graded.Exam.of(TEST, tokenizer), graded.Exam.of(VALIDATION, tokenizer, split="validation")
    rows = list(reviews.load("movies", "train").select(range(STEPS * BATCH)))
    texts = [row["text"] for row in exam.rows]
    one, rest = graded.one_person(exam.rows)
    said, usual = (
        graded.few_shot(model, tokenizer, rows[:SHOTS], asked)
        for asked in (texts, [row["text"] for row in checked.rows])
    )
    shown = graded.expected_rating(graded.calibrated(said, usual))
    abroad = {
        name: graded.to_line(graded.Exam.of(count, tokenizer, domain=name).truth) for name, count in SHIFTED.items()
    }
    return {
        "truth": graded.to_line(exam.truth),
        "zero-shot": graded.to_line(exam.zero_shot(model, checked)[1]),
        "examples": graded.to_line(shown),
        "words": graded.to_line(graded.ridge(rows, checked.rows, texts)),
        "person": graded.correlation(one, rest),
        "truth abroad": abroad,
    }


def plain_texts(tokenizer):
    """Token ids of plain text, TEXTS lists of one length, <bos> first."""
    words = " ".join(row["answer"] for row in instructions.load("test"))
    ids = tokenizer(words, add_special_tokens=False).input_ids
    parts = torch.tensor(ids[: TEXTS * (TEXT_TOKENS - 1)]).view(TEXTS, -1).tolist()
    return [[tokenizer.bos_token_id, *part] for part in parts]


def directions(base, tuned):
    """{count: share of a matrix's squared change in its first directions}, of the median query or value matrix.

    Args:
        base, tuned: the same model before and after full tuning.
    """
    before, shares = dict(base.named_parameters()), []
    for name, weight in tuned.named_parameters():
        if "q_proj" in name or "v_proj" in name:
            squares = torch.linalg.svdvals(weight.detach().float() - before[name].float()).square()
            shares.append(squares.cumsum(0) / squares.sum())
    return {count: torch.stack([share[count - 1] for share in shares]).median().item() for count in DIRECTIONS}


def summary(points):
    """{arm: figures of its test points so far}, with intervals over reviews and, apart, every seed's correlation."""
    if "baselines" not in points:
        return {}
    given = points["baselines"]
    truth, zero_shot = graded.from_line(given["truth"]), graded.from_line(given["zero-shot"])
    found = {
        name: {"alone": _triple(graded.from_line(given[name]), None, truth)}
        for name in ("zero-shot", "examples", "words")
    }
    tests = {arm: {seed: points[name] for seed in SEEDS if (name := f"test-{arm}-{seed}") in points} for arm in ARMS}
    for arm, done in ((arm, done) for arm, done in tests.items() if done):
        ours = torch.stack([graded.from_line(test["predicted"]) for test in done.values()])
        scores = [graded.correlation(ratings, truth) for ratings in ours]
        found[arm] = {"seeds": scores, "median": statistics.median(scores), "best": max(scores)}
        found[arm] |= {name: statistics.median(test[name] for test in done.values()) for name in FIGURES}
        found[arm] |= {"alone": _triple(ours, None, truth), "over zero-shot": _triple(ours, zero_shot, truth)}
        found[arm] |= {"over examples": _triple(ours, graded.from_line(given["examples"]), truth)}
        if start := points.get(f"start-{STARTS[arm]}"):
            found[arm] |= _over_start(ours, start, truth)
        if gap := _paired(done, tests["full"], truth):
            found[arm]["over full"] = gap
        for domain in SHIFTED:
            there = graded.from_line(given["truth abroad"][domain])
            said = torch.stack([graded.from_line(test[domain]) for test in done.values()])
            found[arm][domain] = _triple(said, None, there)
            if gap := _paired(done, tests["full"], there, domain):
                found[arm][f"{domain} over full"] = gap
    for arm, rows in ((arm, rows) for arm in ARMS for rows in FEW):
        if few := points.get(f"few-{arm}-{rows}"):
            line, some = found.setdefault(arm, {}), truth[:FEW_TEST]
            line[f"from {rows}"] = _triple(graded.from_line(few["predicted"]), None, some)
            if rival := points.get(f"few-prompt-{rows}"):
                line[f"from {rows} over prompt"] = _paired({0: few}, {0: rival}, some)
    if gap := _paired(tests["ia3"], tests["lora-r1"], truth):
        found["ia3 over lora-r1"] = gap
    return found


def _over_start(ours, start, truth):
    """The untrained start, and the gain over it; calibrated or as it comes, whichever correlates better."""
    kinds = {name: graded.from_line(start[name]) for name in ("predicted", "calibrated")}
    scores = {name: graded.correlation(ratings, truth) for name, ratings in kinds.items()}
    return {"start": scores, "over start": _triple(ours, kinds[graded.strongest(kinds, truth)], truth)}


def _paired(ours, other, truth, key="predicted"):
    """The difference of two arms over the seeds that both have, {seed: point} each; None without such a seed."""
    both = [seed for seed in ours if seed in other]
    pair = [[graded.from_line(tests[seed][key]) for seed in both] for tests in (ours, other)]
    return _triple(*map(torch.stack, pair), truth) if both else None


def _triple(ours, other, truth):
    """[mean, low, high], over items and seeds."""
    gain = comparison.correlation_difference(ours, other, truth, over="both")
    return [gain.mean, gain.low, gain.high]


def _result(folder, point):
    """What an earlier point gave."""
    return json.loads((folder.parent / f"{point}.json").read_text(encoding="utf-8"))[0]
