"""Learning rates for pre-training from nothing, tried on validation documents before any test document is looked at.

Written down before the run:

    trial-RATE      TRIAL_STEPS of the batches of `pretrain`'s long run at a rate of TRIALS, to the end of its schedule
    live-RATE       the live run of notebook 03 at a rate of LIVE_TRIALS

Judge: bits a byte on the held-out validation documents. Recipe 03's rate is the lowest that comes within TOLERANCE of
the best: the curve is flat around it. The long run wants a far lower one than its first steps do (`pretrain.RATE`).
"""

from dataclasses import replace

from course_utils import recipes
from course_utils.experiments import pretrain as full
from course_utils.training import pretrain

TRIALS, TRIAL_STEPS = (4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2), 400
LIVE_TRIALS = (3e-3, 6e-3, 1.2e-2, 2.4e-2, 4.8e-2, 9.6e-2, 0.192)
TOLERANCE = 0.01  # bits a byte
SIZE = recipes.of("03", "cpu")
SETTING = {
    "trials": TRIALS, "trial_steps": TRIAL_STEPS, "live_trials": LIVE_TRIALS, "warmup_steps": full.WARMUP,
    "batch_size": full.BATCH, "live_steps": SIZE.steps, "live_batch": SIZE.batch_size,
} | {key: full.SETTING[key] for key in (
    "length", "vocabulary", "width", "layers", "heads", "key_value_heads", "head_width", "mlp_width", "share",
    "documents", "document_bytes",
)}  # fmt: skip
TRIED = {f"trial-{rate:g}": rate for rate in TRIALS} | {f"live-{rate:g}": rate for rate in LIVE_TRIALS}
POINTS = tuple(TRIED)


def measure(point, run, folder):
    """One rate to the end of its schedule, as `pretrain.learned` describes a run.

    Args:
        point: one of POINTS.
        run: the runtime's decisions.
        folder: where its training run lives; one that was killed goes on there.
    """
    live = point.startswith("live")
    stream = pretrain.corpus_stream("cpu", share=None if live else 1.0)
    recipe = pretrain.recipe_of("cpu") if live else replace(full.long_recipe(), steps=TRIAL_STEPS)
    recipe = replace(recipe, learning_rate=TRIED[point], evaluate_at=(recipe.steps,))
    job = pretrain.job("cpu", stream=stream, recipe=recipe, rows=recipe.steps * recipe.batch_size)
    return full.learned(job, run, folder, full.Exam(stream, "validation"))[1]


def summary(points):
    """{"bits": {point: bits a byte at the end}, "best": {"trial", "live": the lowest near the fewest}}."""
    bits = full.ends_of(points, TRIED)
    best = {}
    for kind, rates in (("trial", TRIALS), ("live", LIVE_TRIALS)):
        names = [f"{kind}-{rate:g}" for rate in rates]
        if all(name in bits for name in names):
            fewest = min(bits[name] for name in names)
            best[kind] = min(TRIED[name] for name in names if bits[name] <= fewest + TOLERANCE)
    return {"bits": bits, "best": best}
