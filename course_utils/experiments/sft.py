"""How many demonstrations are worth as much as a good prompt? Which weights, which tokens, which turns are learned?

Each point of this experiment is one supervised fine-tuning. The first six are judged by `following` on the same
held-out instructions as the base model with three examples in its prompt; the mask left out and dialogues of two turns
are `mask_and_turns`. Written down before the run:

    rows-N     N instruction rows of any form, the same number of steps for every N: 32 rows are seen twenty times,
               128 rows five times, 512 rows once and a quarter; the held-out loss is taken along the way
    lora, full the rows and steps of notebook 07, through an adapter or all weights, each at its own learning rate
    prompted   no training: the rival

Intervals of these are over instructions; one seed, so that they say nothing about other draws of the rows.
"""

import sys
from dataclasses import replace

import torch

from course_utils import recipes
from course_utils.data import dialogue, instructions
from course_utils.engine import loop, stages
from course_utils.evaluation import comparison, following
from course_utils.experiments import mask_and_turns
from course_utils.models.base import load_base
from course_utils.training import sft

ROWS, STEPS, EVERY, WATCHED = (32, 128, 512), 80, 8, 48  # WATCHED validation rows for the held-out loss
LONGEST = {"answer_tokens": 256, "prompt_tokens": 256}  # wide enough for 512 rows
POINTS = ("prompted", *(f"rows-{rows}" for rows in ROWS), "lora", "full", *mask_and_turns.POINTS)
# of the first six points; each of the others holds its own sizes, so that they leave the finished ones as they are
SETTING = {"rows": ROWS, "steps": STEPS, "evaluate_every": EVERY, "watched": WATCHED, **LONGEST, "seed": 0}


def measure(point, run, folder):
    """Train one point and judge it.

    Args:
        point: one of POINTS.
        run: the runtime's decisions.
        folder: where the training run lives; one that was killed goes on there.

    Returns:
        {"swap", "ended", "length", "own": a number per instruction, "rows", "steps", "peak_mb", "seconds_a_step",
        "evaluations": [(step, held-out loss)], "losses"}, as far as the point has them; of a point of `mask_and_turns`
        what its `judged` says, "read_tokens", "learned_tokens" and "size".
    """
    if point in mask_and_turns.POINTS:
        return measure_arm(point, run, folder)
    model, tokenizer = load_base()
    size = recipes.of("07", run.tier)
    asked = mask_and_turns.held_out(tokenizer, size)
    judge = {"new_tokens": size.new_tokens, "scored_tokens": size.scored_tokens}
    if point == "prompted":
        style, learned = dialogue.plain(tokenizer).showing(instructions.shown()), {"rows": len(instructions.SHOWN)}
    else:
        style = dialogue.chat(tokenizer)
        model, learned = train(point, tokenizer, run, folder)
    answers = following.answer_all(model, style, asked, **judge)
    numbers = {name: getattr(answers, name).tolist() for name in ("swap", "ended", "length", "own")}
    return numbers | learned


def measure_arm(point, run, folder):
    """Train and judge a point of `mask_and_turns`."""
    model, tokenizer = load_base()
    job, known = mask_and_turns.job_of(point, tokenizer, run.tier), {}
    if job is not None:
        model, known = learned_by(job, run, folder)
        known |= mask_and_turns.counted(job.rows)
    return mask_and_turns.judged(point, model, tokenizer, recipes.of("07", run.tier)) | known


def train(point, tokenizer, run, folder):
    """(model, what is known of its training) of a point other than "prompted"."""
    name, _, count = point.partition("-")
    recipe, rows, watch = sft.recipe_of(run.tier), None, None
    if name == "rows":
        rows = instructions.short(instructions.load("train"), tokenizer, **LONGEST)
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(SETTING["seed"])).tolist()
        rows = [rows[place] for place in order[: int(count)]]
        recipe = replace(
            sft.recipe_of(run.tier, steps=STEPS), evaluate_every=EVERY, max_length=2 * LONGEST["answer_tokens"] + 16
        )
        watch = held_out_loss(tokenizer, recipe)
    elif name == "full":
        recipe = sft.for_method(recipe, "full")
    return learned_by(sft.job(run.tier, rows=rows, recipe=recipe), run, folder, watch)


def learned_by(job, run, folder, watch=None):
    """(model, what is known of its training) of a job."""
    recipe = job.recipe
    module = stages.seeded(job.build, recipe.seed)
    result = loop.train(
        module, job.rows, job.collate, recipe, folder, run=sft.precision(recipe, run), evaluate=watch
    )  # fmt: skip
    known = {
        "rows": len(job.rows), "steps": recipe.steps, "learning_rate": recipe.learning_rate, "losses": result.losses,
        "evaluations": [(line["step"], line["evaluate"]["loss"]) for line in result.metrics if "evaluate" in line],
        "trained_weights": sum(weight.numel() for weight in module.parameters() if weight.requires_grad),
        "peak_mb": peak_mb(),
    }  # fmt: skip
    model = module.eval().model
    return (model.get_base_model() if recipe.method == "lora" else model), known


def held_out_loss(tokenizer, recipe):
    """module → {"loss": nats a token on validation rows}."""
    rows = instructions.short(instructions.load("validation"), tokenizer, **LONGEST)[:WATCHED]
    encoded = instructions.encode(rows, tokenizer, max_length=recipe.max_length, drop_long=True)
    collate = instructions.TokenCollator(tokenizer.pad_token_id)
    batches = [collate(encoded[start : start + 8]) for start in range(0, len(encoded), 8)]

    @torch.no_grad()
    def watch(module):
        counts = [int(batch["completion_mask"][:, 1:].sum()) for batch in batches]
        losses = [float(module(batch)) * count for batch, count in zip(batches, counts, strict=True)]
        return {"loss": sum(losses) / sum(counts)}

    return watch


def peak_mb():
    """The most memory this process has held so far, in MiB: of the GPU if torch used one, else of the machine."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def summary(points):
    """What the points say, as far as they are measured; each number as (mean, low, high).

    Args:
        points: {name: what `measure` returned}; "prompted" among them.

    Returns:
        {point: {"swap", "ended", "swap_gain", "ended_gain"}}, gains over the rival, of the first six points, and what
        `mask_and_turns.summary` says of the others.
    """
    rival, lines = points["prompted"], {}
    for name in (name for name in points if name not in mask_and_turns.POINTS):
        lines[name] = {}
        for number in ("swap", "ended"):
            values, baseline = torch.tensor(points[name][number]), torch.tensor(rival[number])
            own = comparison.mean_interval(values, over="items")
            lines[name][number] = (own.mean, *own.interval)
            if name != "prompted":
                gain = comparison.paired_difference(values, baseline, over="items")
                lines[name][f"{number}_gain"] = (gain.mean, *gain.interval)
    return lines | mask_and_turns.summary(points)
