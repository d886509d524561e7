"""The runs that `soak` kills: a small one, whose saves take a good part of its time, small ones of the reward model and
of PPO, and one on the base model.
"""

import torch

from course_utils.engine.loop import train
from course_utils.engine.recipe import TrainingRecipe

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
    from course_utils.engine import stages
    from course_utils.training import sft

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


JOBS = {"small": small, "reward": small_reward, "ppo": small_ppo, "real": real}
