"""Does an adapter learn as well on a base of four bits? LoRA against QLoRA, on the same rows, steps and test items.

Written down before the run, three seeds of the adapters' start and of the batches; the items are the same for all:

    lora-S, qlora-S, error-S   graded film reviews on the base as it is, on NF4 with double quantization, and on the
                               same codes with adapters that start from the rounding error (LoftQ)
    rows-lora, rows-qlora      the instruction rows of notebook 07: loss on held-out rows, one seed
"""

import json
import statistics

import torch

from course_utils.data import reviews
from course_utils.engine import loop, stages
from course_utils.evaluation import comparison, graded
from course_utils.experiments import sft as sft_experiment
from course_utils.models.base import load_base
from course_utils.training import graded as training
from course_utils.training import qlora, sft
from course_utils.training.next_token import NextTokenLoss

ARMS = {
    "lora": {"quantized": False},
    "qlora": {"quantized": True},
    "error": {"quantized": True, "start": "error"},
}
SEEDS, ITEMS, RANK = (0, 1, 2), 2000, 8
RECIPE = {"steps": 64, "batch_size": 16, "learning_rate": 1e-3}
POINTS = (*(f"{arm}-{seed}" for seed in SEEDS for arm in ARMS), "rows-lora", "rows-qlora")
SETTING = {"arms": ARMS, "seeds": SEEDS, "items": ITEMS, "rank": RANK, "recipe": RECIPE}


def measure(point, run, folder):
    """Train one point: {"ratings": predicted means, packed} or {"loss"}, with losses, seconds a step and memory."""
    arm, _, last = point.partition("-")
    if arm == "rows":
        recipe = sft.recipe_of(run.tier)
        job = sft.job(run.tier, recipe=recipe)
        module = stages.seeded(
            lambda: NextTokenLoss(qlora.adapted(load_base()[0], rank=RANK, **ARMS[last])), recipe.seed
        )
    else:
        recipe = training.recipe_of("lora", run.tier, seed=int(last), **RECIPE)
        rows = list(reviews.load("movies", "train"))[: recipe.steps * recipe.batch_size]
        job = qlora.job(rows, recipe, rank=RANK, **ARMS[arm])
        module = stages.seeded(job.build, recipe.seed)
    result = loop.train(module, job.rows, job.collate, recipe, folder, run=run, progress=False)
    timings = [json.loads(line)["seconds"] for line in (folder / "timings.jsonl").read_bytes().splitlines()]
    known = {
        "losses": [round(loss, 4) for loss in result.losses], "seconds_a_step": statistics.median(timings),
        "peak_mb": round(sft_experiment.peak_mb()),
    }  # fmt: skip
    if arm == "rows":
        return known | sft_experiment.held_out_loss(job.tokenizer, recipe)(module.eval())
    return known | {"ratings": graded.to_line(graded.Exam.of(ITEMS, job.tokenizer).ratings(module))}


def summary(points):
    """{arm: (correlation, low, high)}, each rounded arm's difference from LoRA the same way, and the rows' losses.

    Intervals are over items and seeds together; an arm with a seed missing is left out.

    Args:
        points: {name: what `measure` returned}, those that there are.
    """
    whole = [arm for arm in ARMS if all(f"{arm}-{seed}" in points for seed in SEEDS)]
    predicted = {
        arm: torch.stack([graded.from_line(points[f"{arm}-{seed}"]["ratings"]) for seed in SEEDS]).double()
        for arm in whole
    }
    lines = {point: values["loss"] for point, values in points.items() if "loss" in values}
    for arm, values in predicted.items():
        truth = graded.Exam.of(values.shape[1], None).truth
        own = comparison.correlation_difference(values, None, truth)
        lines[arm] = (own.mean, *own.interval)
        if arm != "lora" and "lora" in predicted:
            gap = comparison.correlation_difference(values, predicted["lora"], truth)
            lines[f"{arm} − lora"] = (gap.mean, *gap.interval)
    return lines
