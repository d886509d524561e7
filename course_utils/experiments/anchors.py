"""What are anchors worth? P-tuning with a fixed word of the task among its vectors, with a word of no task, without.

Liu et al. (2021) put a few real words among the learned vectors. Written down before the run:

    starts          each arm before its first step, and the people's means: a word may help without any training
    none-SEED       twenty learned vectors that start as the instruction of the notebooks
    task-SEED       the same with TASK fixed behind the tenth
    other-SEED      the same with a word of no task there, another one for each seed: what any further place is worth

All arms train the same 1,243,520 weights, from the same text, by the same seeds, on the same reviews, each review read
once, at one learning rate: the best of P-tuning's trials in `run comparison`, which lay within 0.02 of each other.

Judge: correlation with the panel's mean on TEST reviews. P-tuning's seeds lie 0.04 apart, so that all 2,000 reviews of
the comparison would make an interval narrower by a fifth and take three times as long. Baseline: "none" of the same
seed. Interval: 95 %, over reviews and seeds together; one with 0 inside says nothing and stays.
"""

import torch

from course_utils.data import reviews
from course_utils.engine import stages
from course_utils.evaluation import comparison, graded
from course_utils.experiments import comparison as methods
from course_utils.models.base import load_base
from course_utils.training import graded as training

SEEDS, STEPS, RATE, TEST, TOKENS = (0, 1, 2), methods.STEPS, 3e-4, 600, 20
TASK, OTHER = " rating", (" bridge", " window", " river")  # one token each
ARMS = ("none", "task", "other")
SETTING = {
    "arms": ARMS, "seeds": SEEDS, "steps": STEPS, "batch_size": methods.BATCH, "learning_rate": RATE, "test": TEST,
    "tokens": TOKENS, "task": TASK, "other": OTHER,
}  # fmt: skip
POINTS = ("starts", *(f"{arm}-{seed}" for seed in SEEDS for arm in ARMS))
GAPS = (("task", "none"), ("other", "none"), ("task", "other"))


def measure(point, run, folder):
    """One point: its grades of the test reviews as a line, and what is known of its training.

    Args:
        point: one of POINTS.
        run: the runtime's decisions.
        folder: where the training run lives; one that was killed goes on there.
    """
    tokenizer = load_base()[1]
    exam = graded.Exam.of(TEST, tokenizer)
    if point == "starts":
        return {"truth": graded.to_line(exam.truth)} | {arm: graded.to_line(started(arm, run, exam)) for arm in ARMS}
    arm, _, seed = point.partition("-")
    sizes = sizes_of(arm, int(seed), tokenizer)
    module, _, known = methods.train(
        "p-tuning", run, folder, sizes=sizes, steps=STEPS, learning_rate=RATE, seed=int(seed)
    )
    return known | {"predicted": graded.to_line(exam.ratings(module))}


def started(arm, run, exam):
    """(N,) ratings of an arm before its first step, as they come."""
    one = list(reviews.load("movies", "train").select(range(1)))  # nothing is learned from it
    recipe = training.recipe_of("p-tuning", run.tier)
    job = training.job(one, recipe, sizes=sizes_of(arm, SEEDS[0], exam.tokenizer))
    return exam.ratings(stages.seeded(job.build, SEEDS[0]).eval())


def sizes_of(arm, seed, tokenizer):
    """The sizes of an arm's adapter, as `library.attach` takes them.

    Raises:
        ValueError: the anchor is no single token of this model's vocabulary.
    """
    sizes = {"text_ids": tokenizer(training.START).input_ids}
    if arm == "none":
        return sizes | {"tokens": TOKENS}
    text = TASK if arm == "task" else OTHER[SEEDS.index(seed)]
    word = tokenizer(text, add_special_tokens=False).input_ids
    if len(word) != 1:
        raise ValueError(
            f"The anchor {text!r} is {len(word)} tokens in this model's vocabulary, so arms would differ in length as "
            "well. Put another word into TASK or OTHER of experiments/anchors.py."
        )
    before = TOKENS // 2
    return sizes | {"anchors": [*[None] * before, *word, *[None] * (TOKENS - before)]}


def summary(points):
    """{arm: its untrained start, each seed's correlation, their mean with its interval}, and the gaps between arms.

    Args:
        points: {name: what `measure` returned}; gaps are over the seeds that both arms have.
    """
    if "starts" not in points:
        return {}
    truth, found = graded.from_line(points["starts"]["truth"]), {}
    done = {arm: {seed: points[name] for seed in SEEDS if (name := f"{arm}-{seed}") in points} for arm in ARMS}
    said = {arm: {seed: graded.from_line(of["predicted"]) for seed, of in seeds.items()} for arm, seeds in done.items()}
    for arm, lines in said.items():
        found[arm] = {"start": graded.correlation(graded.from_line(points["starts"][arm]), truth)}
        if lines:
            found[arm]["seeds"] = [graded.correlation(line, truth) for line in lines.values()]
            found[arm]["alone"] = _triple(torch.stack([*lines.values()]), None, truth)
    for ours, rival in GAPS:
        if both := [seed for seed in said[ours] if seed in said[rival]]:
            pair = (torch.stack([said[arm][seed] for seed in both]) for arm in (ours, rival))
            found[f"{ours} over {rival}"] = _triple(*pair, truth)
    return found


def _triple(ours, rival, truth):
    """[mean, low, high] of a correlation or of a difference of two, over reviews and seeds."""
    gain = comparison.correlation_difference(ours, rival, truth)
    return [gain.mean, gain.low, gain.high]
