"""Two questions of the experiment `sft`: does leaving the mask out cost anything, and do two turns teach to look back?

Written down before the run. Every point trains LoRA with the learning rate of notebook 07; no arm's rate was tuned.

The mask, after Shi et al. (2024). Two lengths of answers, short (up to 24 tokens) and long (48 to 96), of any form;
48 rows drawn by the seed, seen twice, 12 steps of 8. The two arms of a seed read the same rows in the same order:

    mask-LENGTH-kept-S   the loss counts the answer and its end, as everywhere in the course
    mask-LENGTH-left-S   the loss counts every token, the question and the template's marks too

Compared, kept − left out, by the judge of notebook 07: the share of an answer's cost that its own instruction removes,
and log p of the answer a token, on its 100 held-out instructions of any length; the share of greedy answers that end
within 128 tokens, on the first 24 of these.

Two turns. The dialogues are real (`instructions.two_turns`), cut after the second turn; those whose first turn has at
most 400 tokens. 24 of the training half are drawn by the seed and read twice, in 12 steps; all 34 of the test half
judge:

    turns-two-S     a dialogue is one row: the second answer is learned behind the first turn
    turns-single-S  the baseline: each turn is a row of its own, so that the same tokens are learned as often
    turns-base      no training, the same template

Compared, two − single: of a second answer's cost behind a stranger's first turn (the next dialogue's; the second
question stays), the share that the right first turn removes; and log p of the second answer behind the right one. The
first 64 tokens of a second answer are learned and scored, so its end is not: nothing is said about stopping.

Both comparisons are observed, with no threshold but zero: an interval above or below it is a difference, one that
includes it is none that was seen. Differences are paired by seed and item, their intervals are over seeds and items
together (three seeds, 95 %, bootstrap). A share and a log p know no ties; two answers that both end count zero.
"""

from dataclasses import replace

import torch

from course_utils.data import dialogue, instructions
from course_utils.evaluation import comparison, following
from course_utils.models.fused_forward import fast_blocks
from course_utils.training import sft

SEEDS, LENGTHS = (0, 1, 2), {"short": (1, 24), "long": (48, 96)}  # tokens of an answer
MASK = {"rows": 48, "steps": 12, "written": 24}
TURNS = {"dialogues": 24, "steps": 12, "batch": 4, "first_turn_tokens": 400, "learned": 64}
POOL = 4  # divides the steps, so that whole groups of batches are read and each row comes as often as the others
# each group's two arms; what is reported is the first less the second
GROUPS = {"mask-short": ("kept", "left"), "mask-long": ("kept", "left"), "turns": ("two", "single")}
POINTS = (
    *(f"mask-{length}-{arm}-{seed}" for seed in SEEDS for length in LENGTHS for arm in ("kept", "left")),
    "turns-base", *(f"turns-{arm}-{seed}" for seed in SEEDS for arm in ("two", "single")),
)  # fmt: skip


def job_of(point, tokenizer, tier):
    """The `sft.Job` of a point of POINTS; None for the one that is not trained."""
    if point == "turns-base":
        return None
    kind, *length, arm, seed = point.split("-")
    steps = (MASK if kind == "mask" else TURNS)["steps"]
    recipe = replace(sft.recipe_of(tier, seed=int(seed), steps=steps), pool=POOL)
    if kind == "turns":
        dialogues = drawn(short_dialogues("train", tokenizer), TURNS["dialogues"], int(seed))
        return turns_job(dialogues, arm, recipe, tier)
    rows = of_length(instructions.load("train"), tokenizer, *LENGTHS[length[0]])
    job = sft.job(tier, rows=drawn(rows, MASK["rows"], int(seed)), recipe=recipe)
    if arm == "left":
        job = replace(job, rows=[row | {"completion_mask": [True] * len(row["input_ids"])} for row in job.rows])
    return job


def judged(point, model, tokenizer, size):
    """{"swap", "own": a number per item; "ended", "length": of the answers written, none for turns; "size"}.

    Args:
        point: one of POINTS.
        model, tokenizer: what was trained.
        size: the row of notebook 07 in `recipes`.
    """
    style = dialogue.chat(tokenizer)
    with fast_blocks(model):  # as it was trained
        if point.startswith("turns"):
            test = short_dialogues("test", tokenizer)
            own = second_logprobs(model, style, test, test)
            other = second_logprobs(model, style, test, test[1:] + test[:1])
            some, samples = [], []
        else:
            asked = held_out(tokenizer, size)
            own, other = following.swapped_logprobs(model, style, asked, scored_tokens=size.scored_tokens)
            some = asked[: MASK["written"]]
            samples = following.write(model, style, [row["prompt"] for row in some], new_tokens=size.new_tokens)
    written = zip(samples, some, strict=True)
    return {
        "swap": (own - other).tolist(),
        "own": own.tolist(),
        "ended": [float(sample.stopped) for sample in samples],
        "length": [(len(sample.tokens) - sample.stopped) / len(style.answer(row["answer"])) for sample, row in written],
        "size": TURNS if point.startswith("turns") else MASK,
    }


def held_out(tokenizer, size):
    """The instructions on which notebook 07 and every point but the turns' are judged."""
    return instructions.short(instructions.load("test"), tokenizer, answer_tokens=size.new_tokens - 8)[: size.prompts]


def of_length(rows, tokenizer, least, most):
    """The rows whose answer has from `least` to `most` tokens."""
    shorter = {row["id"] for row in instructions.short(rows, tokenizer, answer_tokens=least - 1)}
    return [row for row in instructions.short(rows, tokenizer, answer_tokens=most) if row["id"] not in shorter]


def short_dialogues(half, tokenizer):
    """The dialogues of a half, each a list of four messages, whose first turn has at most so many tokens."""

    def tokens(text):
        return len(tokenizer(text, add_special_tokens=False).input_ids)

    found = [row["messages"] for row in instructions.two_turns(half)]
    return [m for m in found if tokens(m[0]["content"]) + tokens(m[1]["content"]) <= TURNS["first_turn_tokens"]]


def drawn(rows, count, seed):
    """So many of the rows, by the seed; ValueError when there are fewer."""
    if len(rows) < count:
        raise ValueError(f"{count} rows are to be drawn, and there are {len(rows)}. Were the files fetched whole?")
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    return [rows[place] for place in order[:count]]


def turns_job(dialogues, arm, recipe, tier):
    """The job of an arm: the same texts as one row a dialogue ("two"), or as one row a turn ("single")."""
    turns = 1 if arm == "two" else 2
    parts = dialogues if arm == "two" else [part for whole in dialogues for part in (whole[:2], whole[2:])]
    recipe = replace(recipe, batch_size=TURNS["batch"] * turns, micro_batch=None, max_length=8192)  # none is left out
    job = sft.job(tier, rows=[{"messages": part} for part in parts], recipe=recipe)
    last = range(turns - 1, len(parts), turns)
    return replace(job, rows=[cut(row) if place in last else row for place, row in enumerate(job.rows)])


def cut(row):
    """An encoded row up to the last token that is learned of its last answer; one that is short stays whole."""
    mask = row["completion_mask"]
    end = len(mask) - mask[::-1].index(True)
    start = end - [*mask[:end][::-1], False].index(False)
    kept = start + TURNS["learned"]
    return row if kept >= end else {name: values[:kept] for name, values in row.items()}


def second_logprobs(model, style, dialogues, firsts):
    """(N,) mean log p of each dialogue's second answer behind its second question and the first turn of `firsts`."""
    asked = [
        f"{first[0]['content']}{style.between}{first[1]['content']}{style.end}{style.after}{style.before}"
        + whole[2]["content"]
        for whole, first in zip(dialogues, firsts, strict=True)
    ]
    answers = [whole[3]["content"] for whole in dialogues]
    return following.answer_logprobs(model, style, asked, answers, scored_tokens=TURNS["learned"])


def counted(rows):
    """How many tokens an epoch reads, and from how many it learns; the first token of a row is never predicted."""
    return {
        "read_tokens": sum(len(row["input_ids"]) for row in rows),
        "learned_tokens": sum(sum(row["completion_mask"][1:]) for row in rows),
    }


def summary(points):
    """{group of GROUPS: {arm: {number: …}, "gain": {number: …}, "seeds": […]}} of the groups that are measured."""
    found = {group: compared(points, group, *arms) for group, arms in GROUPS.items()}
    return {group: lines for group, lines in found.items() if lines}


def compared(points, group, ours, baseline):
    """{arm: {number: …}, "gain": {number: …}} over the seeds of which both arms are measured; {} without one."""
    seeds = [seed for seed in SEEDS if all(f"{group}-{arm}-{seed}" in points for arm in (ours, baseline))]
    if not seeds:
        return {}
    arms = {arm: [points[f"{group}-{arm}-{seed}"] for seed in seeds] for arm in (ours, baseline)}
    tables = {arm: numbers_of(found) for arm, found in arms.items()}
    if f"{group}-base" in points:
        tables["base"] = numbers_of([points[f"{group}-base"]])
    lines = {
        arm: {name: estimated(comparison.mean_interval(t)) for name, t in own.items()} for arm, own in tables.items()
    }
    gains = {
        name: estimated(comparison.paired_difference(values, tables[baseline][name]))
        for name, values in tables[ours].items()
    }
    return lines | {"gain": gains, "seeds": seeds}


def numbers_of(runs):
    """{"removed", "own" and, where answers were written, "ended": (seeds, items)} of some points."""
    answers = [following.Answers.of(run) for run in runs]
    names = ("removed", "own", "ended") if len(answers[0].ended) else ("removed", "own")
    return {name: torch.stack([getattr(one, name) for one in answers]) for name in names}


def estimated(found):
    """(mean, low, high)."""
    return (found.mean, *found.interval)
