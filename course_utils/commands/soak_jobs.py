"""The two runs that `soak` kills: a small one, whose saves take a good part of its time, and one on the base model."""

import torch

from course_utils.training.loop import train
from course_utils.training.recipe import TrainingRecipe

STEPS, SAVE_EVERY, WORDS, WIDTH = 60, 4, 512, 256
BEFORE_LAST = STEPS - SAVE_EVERY


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
    from course_utils.training import sft, stages

    run = runtime.start(quiet=True)
    recipe = replace(
        sft.recipe_of(run.tier),
        steps=12,
        batch_size=2,
        micro_batch=2,
        max_length=64,
        pool=1,
        save_every=2,
        warmup_steps=2,
    )
    job = sft.job(run.tier, recipe=recipe)
    module = stages.seeded(job.build, recipe.seed)
    return train(module, job.rows, job.collate, recipe, output, run=run, progress=False)


JOBS = {"small": small, "real": real}
