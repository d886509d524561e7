"""The runs that `soak` kills: a small one, whose saves take a good part of its time, small ones of pre-training, of the
reward model and of PPO, and one on the base model. And what is done to the small one's folder: checkpoints are damaged,
renamed and swapped, and two processes work in it.
"""

import itertools
import json
import os
import time

import torch

from course_utils.commands import soak
from course_utils.engine import checkpoint
from course_utils.engine.loop import train
from course_utils.engine.recipe import TrainingRecipe

STEPS, SAVE_EVERY, WORDS, WIDTH = 60, 4, 512, 256
BEFORE_LAST = STEPS - SAVE_EVERY
END = "the end bit-identical"
WAITS, PATIENCE = "Another process is filling", 600  # seconds for what takes a busy machine a minute


class Run:
    """What the small run needs of the runtime's decisions: fp32 on one CPU thread."""

    device, autocast, grad_scaler = "cpu", None, False


class SmallLoss(torch.nn.Module):
    """Next-word loss of a few hundred thousand weights, with dropout, so that lost random states would show."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(WORDS, WIDTH)
        self.hidden = torch.nn.Linear(WIDTH, WIDTH)
        self.dropout = torch.nn.Dropout(0.1)
        self.head = torch.nn.Linear(WIDTH, WORDS)

    def count(self, batch):
        return batch["input_ids"][:, 1:].numel()

    def forward(self, batch):
        hidden = self.dropout(torch.tanh(self.hidden(self.embedding(batch["input_ids"]))))
        logits = self.head(hidden[:, :-1])
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["input_ids"][:, 1:].flatten())


def small(output, say=print):
    """Train the small run in `output`, or go on with it; returns its TrainingResult."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(0)
        rows = [{"input_ids": [(row * step * 7 + step) % WORDS for step in range(1, 49)]} for row in range(1, 65)]
        recipe = TrainingRecipe(
            steps=STEPS, batch_size=32, micro_batch=16, learning_rate=1e-3, method="full", save_every=SAVE_EVERY, seed=3
        )
        return train(SmallLoss(), rows, _collate, recipe, output, run=Run(), progress=False, say=say)
    finally:
        torch.set_num_threads(threads)


def _collate(rows):
    return {"input_ids": torch.tensor([row["input_ids"] for row in rows])}


def real(output):
    """A few steps of LoRA on the base model, as in notebook 07."""
    from dataclasses import replace

    from course_utils import runtime
    from course_utils.engine import stages
    from course_utils.training import sft

    run = runtime.start(quiet=True)
    recipe = replace(
        sft.recipe_of(run.tier), steps=12, batch_size=2, micro_batch=2, max_length=64, pool=1, save_every=2,
        warmup_steps=2,
    )  # fmt: skip
    job = sft.job(run.tier, recipe=recipe)
    module = stages.seeded(job.build, recipe.seed)
    return train(module, job.rows, job.collate, recipe, output, run=run, progress=False)


def small_pretraining(output):
    """A transformer from nothing."""
    from course_utils.commands import soak_pretrain  # it takes seconds to import, which every other kill would wait for

    return soak_pretrain.small(output)


def small_backbone():
    """A frozen two-layer Gemma 3 that no file is needed for."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    sizes = {"vocab_size": WORDS, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "head_dim": 16}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 1, "initializer_range": 0.2, "sliding_window": 64}
    return Gemma3ForCausalLM(Gemma3TextConfig(**sizes)).eval().requires_grad_(False)


def small_reward(output):
    """A reward model that learns to prefer texts of small numbers."""
    from course_utils.adapters import switching
    from course_utils.data.preference import PairCollator
    from course_utils.training import reward

    torch.set_num_threads(1)
    model = switching.add(small_backbone(), "default", rank=8)
    switching.train_only(model, "default")
    rows = [
        {"chosen_ids": [2, *range(row + 3, row + 9)], "rejected_ids": [2, *range(WORDS - row - 7, WORDS - row)]}
        for row in range(64)
    ]
    recipe = TrainingRecipe(steps=STEPS, batch_size=8, learning_rate=1e-3, save_every=SAVE_EVERY, seed=3)
    module = reward.PairLoss(reward.RewardModel(model))
    return train(module, rows, PairCollator(0), recipe, output, run=Run(), progress=False)


class Turns:
    """Numbers as texts, for a model without a tokenizer."""

    end = 1

    def text(self, tokens):
        """The token ids with blanks between."""
        return " ".join(map(str, tokens))


def small_ppo(output):
    """A policy that learns to write small numbers."""
    from course_utils.training import actor, ppo

    torch.set_num_threads(1)
    recipe = ppo.PPORecipe(
        steps=STEPS // 2, batch_size=8, minibatches=2, micro_batch=2, epochs=2, answer_tokens=6, learning_rate=5e-3,
        kl_target=1.0, save_every=SAVE_EVERY // 2, seed=3,
    )  # fmt: skip
    module = ppo.PPOLoss(actor.make(small_backbone(), rank=8), recipe)
    rows = [{"prompt": str(row), "prompt_ids": [2, row + 3, row + 4], "opening_length": 1} for row in range(32)]
    return ppo.train(module, rows, small_numbers, recipe, output, turns=Turns(), run=Run(), progress=False)


def small_numbers(prompts, texts):
    """The share of each text's numbers that are below half of the vocabulary."""
    numbers = [[int(word) for word in text.split()] for text in texts]
    return [sum(number < WORDS // 2 for number in row) / len(row) for row in numbers]


JOBS = {"small": small, "pretrain": small_pretraining, "reward": small_reward, "ppo": small_ppo, "real": real}


# What is done to the small run's folder


def count(name, what, cases, say=print):
    """Go through cases, each of them a tuple that says what held.

    Args:
        name: of the cases.
        what: what is counted, in words, in the order of each tuple.

    Returns:
        {"counts": {what: (how many held, how many cases)}, "passed": whether all held}.
    """
    counts = dict.fromkeys(what, (0, 0))
    for case in cases:
        counts = {words: (held + now, of + 1) for (words, (held, of)), now in zip(counts.items(), case, strict=True)}
        say(f"{name}: " + ", ".join(f"{words} {held}/{of}" for words, (held, of) in counts.items()))
    return {"counts": counts, "passed": all(held == of for held, of in counts.values())}


def wait_for_the_other(folder):
    """Return when another process stands here too, so that both begin at the same moment."""
    (folder / str(os.getpid())).touch()
    _until(lambda: len(list(folder.iterdir())) > 1, "the other process to begin")


def pair(reference, output, kill_after):
    """Let two processes train in one folder, and kill the one that trains after a step, unless that is None.

    Returns:
        (one trained and the other said one line and waited, all checkpoints are whole, the end is alike).
    """
    meeting, metrics = output.with_name(f"{output.name}-meeting"), output / "metrics.jsonl"
    meeting.mkdir(parents=True)
    logs = [output.with_name(f"{output.name}-{number}.log") for number in range(2)]
    processes = [soak.start("small", output, "--meet", str(meeting), log=log) for log in logs]
    if kill_after is not None:
        _until(lambda: any(map(_waits, logs)) and soak.lines_of(metrics) >= kill_after, "a step, and one that waits")
        processes.pop(_waits(logs[0])).kill()  # the first where it is the second that waits
    ended = all([process.wait() == 0 for process in processes])
    said = sorted(map(soak.lines_of, logs)) == [0, 1] and any(map(_waits, logs))
    # what a kill has cost is trained again, and nothing else
    again = soak.lines_of(output / "timings.jsonl") - STEPS
    return ended and said and 0 <= again <= SAVE_EVERY * (kill_after is not None), whole(output), (
        soak.same_end(output, reference)
    )  # fmt: skip


def _waits(log):
    return WAITS in log.read_text(encoding="utf-8")


def whole(output):
    """Whether a run's folder has its newest checkpoints, each as it was written, and nothing set aside beside them."""
    found = list((output / "checkpoints").glob("*"))
    return len(found) == checkpoint.KEEP and not any(map(checkpoint.find_fault, found))


def _until(condition, what):
    """Wait until something is so; RuntimeError after PATIENCE."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"Waited {PATIENCE} seconds for {what}.")
        time.sleep(0.002)


def _numbered(path, step):
    return path.with_name(f"step-{step:08d}-{path.name.rpartition('-')[2]}")


RENAMINGS = {  # what a hand does to the two newest checkpoints → what the older and the newest are called then
    "the newest up": lambda older, newest: (older, _numbered(newest, STEPS)),
    "swapped": lambda older, newest: (newest, older),
    "the older up": lambda older, newest: (_numbered(older, STEPS), newest),
    "the newest down": lambda older, newest: (older, _numbered(newest, 1)),
}


def rename(output, way):
    """Give the two newest checkpoints other names; returns the names that are wrong now."""
    newest, older = sorted((output / "checkpoints").glob("step-*"), reverse=True)[:2]
    named, between = RENAMINGS[way](older, newest), newest.with_name("between")
    newest.rename(between)
    older.rename(named[0])
    between.rename(named[1])
    return [name.name for path, name in zip((older, newest), named, strict=True) if name != path]


def renamed(reference, output, ways, draw):
    """Kill a run and rename its checkpoints, once for each way, and let it end.

    Returns:
        (each time one line named each wrong folder and the run went on from its newest step, the end is alike).
    """
    log, timings = output.with_name(f"{output.name}.log"), output / "timings.jsonl"
    noticed = True
    for number, way in enumerate(ways, 1):
        while len(checkpoint.steps(output / "checkpoints")) < 2:
            soak.kill_once("small", output, "outside", soak.KILL, draw)
        said, timed, step = soak.lines_of(log), soak.lines_of(timings), soak.newest_step(output)
        names = rename(output, way)
        if number < len(ways):
            soak.kill_once("small", output, "outside", soak.KILL, draw)
        else:
            soak.start("small", output).wait()
        named = [line.split()[3:4] for line in log.read_text(encoding="utf-8").splitlines()[said:]]  # … folder NAME …
        first = [json.loads(line)["step"] for line in timings.read_text(encoding="utf-8").splitlines()[timed:]][:1]
        noticed = noticed and sorted(named) == sorted([name] for name in names) and first in ([], [step + 1])
    return noticed, soak.same_end(output, reference)


def meddle(folder, reference, pairs, renames, draw):
    """Damage a finished run's checkpoints in every way, start pairs of processes, rename runs' checkpoints.

    Args:
        folder: an empty place for the runs.
        reference: the folder of the finished run, which nobody disturbed.
        pairs: how many; in every second one the process that trains is killed.
        renames: in how many runs checkpoints are renamed, in two ways each.
        draw: a random.Random for the moments.

    Returns:
        {part: what `count` found}.
    """
    for name in ("damages", "pairs", "renamed"):
        (folder / name).mkdir(parents=True)
    names = sorted(path.name for path in (reference / "checkpoints" / soak.newest_name(reference)).iterdir())
    damages = enumerate(itertools.product(names, soak.DAMAGES))
    moments = [draw.randint(1, STEPS // 2) if number % 2 else None for number in range(pairs)]
    ways = itertools.islice(itertools.cycle(itertools.permutations(RENAMINGS, 2)), renames)
    parts = {
        "damages": (
            ["noticed, the one before used", END],
            (soak.damaged(reference, folder / "damages" / str(number), *case) for number, case in damages),
        ),
        "two at once": (
            ["one trains, the other waits with one line", "no checkpoint harmed", END],
            (pair(reference, folder / "pairs" / str(number), moment) for number, moment in enumerate(moments)),
        ),
        "renamed": (
            ["named, the newest step used", END],
            (renamed(reference, folder / "renamed" / str(number), two, draw) for number, two in enumerate(ways)),
        ),
    }
    return {name: count(name, *part) for name, part in parts.items()}
