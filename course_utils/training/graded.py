"""Learning to grade: the digit's distribution becomes the panel's, by any adapter or by all weights.

    L = −E_review Σ_d q(d) log p(d | review)        q the share of the panel that gave grade d

Soft targets instead of one drawn rating: the gradient is that of all the panel's ratings at once, without the noise of
drawing one. p is over the whole vocabulary, so the model also learns that a digit comes at all; that costs one pass of
the head over B positions, a few percent of a step.
"""

import torch

from course_utils import recipes
from course_utils.adapters import library
from course_utils.data import graded
from course_utils.engine.recipe import TrainingRecipe
from course_utils.models.base import load_base
from course_utils.models.fused_forward import fast_blocks
from course_utils.models.heads import last_of_rows
from course_utils.models.logprobs import label_logprobs
from course_utils.models.packing import packed_hidden, use_row_attention
from course_utils.tensors import moved
from course_utils.training import sft

# Where prompt, P- and prefix tuning start, cut after twenty tokens: real words about the task, as Li and Liang (2021)
# advise. Lester et al. (2021) compare random numbers, words of the vocabulary and the names of the classes
START = "How would people rate this review? Answer with a digit from 1, very negative, to 9, very positive."
NOTEBOOKS = {"lora": "10", "prefix": "11", "prompt": "12", "p-tuning": "13", "ia3": "14"}
FULL_RATE = 3e-5  # learning rate of all weights together


class GradedLoss(torch.nn.Module):
    """Cross-entropy between the panel's distribution over nine digits and the model's."""

    def __init__(self, model, digits):
        """
        Args:
            model: a causal language model, alone, with an adapter of ours, or inside a peft model.
            digits: the nine token ids.
        """
        super().__init__()
        self.model = model
        self.digits = tuple(digits)

    def while_training(self):
        """The context in which the loop trains: fused functions take the place of eager ones where they can."""
        return fast_blocks(self.model)

    def count(self, batch):
        """How many reviews are graded."""
        return len(batch["input_ids"])

    def states(self, batch):
        """(B, D) hidden states behind the last token of each row, from which the digit is predicted."""
        hidden = packed_hidden(self.model, batch["input_ids"], batch["mask"])
        return last_of_rows(hidden, batch["mask"])

    def among_digits(self, batch):
        """(B, 9) logits of the digits alone: nine rows of the head are multiplied, not 262,144."""
        return self.states(batch) @ self.model.get_output_embeddings().weight[list(self.digits)].T

    def logprobs(self, batch):
        """(B, 9) log p(digit) over the whole vocabulary."""
        states = self.states(batch)
        return label_logprobs(
            states, self.model.get_output_embeddings().weight, torch.tensor(self.digits, device=states.device)
        )

    def forward(self, batch):
        """The loss of a batch as `data.graded.GradedCollator` makes it, in nats a review."""
        batch = moved(batch, self.model.device)
        return -(batch["shares"] * self.logprobs(batch)).sum(dim=1).mean()


def recipe_of(method, tier, **changes):
    """The TrainingRecipe of a method's notebook on a tier; "full" has LoRA's sizes and a rate of its own.

    Args:
        method: one of `library.METHODS`, or "full".
        changes: fields of the TrainingRecipe in place of the tier's own.
    """
    size = recipes.of(NOTEBOOKS.get(method, "10"), tier)
    rate = FULL_RATE if method == "full" else size.learning_rate
    steps = changes.get("steps", size.steps)
    own = {"batch_size": size.batch_size, "learning_rate": rate, "max_length": 256, "warmup_steps": steps // 8}
    return TrainingRecipe(**{"steps": steps, "method": method, "save_every": 50, "pool": 4} | own | changes)


def job(rows, recipe, *, sizes=None):
    """What `loop.train` or `stages.run_stage` needs to learn these reviews.

    Args:
        rows: as `data.reviews.load` returns them.
        recipe: a TrainingRecipe, whose method is "full" or one of `library.METHODS`.
        sizes: of the adapter, as `library.attach` takes them. Prompt, P- and prefix tuning start from START unless
            the sizes say otherwise; {"text_ids": None} starts from random words, {"tokens": 20} a random prefix.

    Returns:
        A sft.Job.
    """
    full = recipe.method == "full"
    model, tokenizer = load_base(dtype=sft.weights_dtype(recipe), trainable=full)
    sizes = starting_sizes(recipe.method, tokenizer) if sizes is None else sizes

    def build():
        use_row_attention(model)
        adapted = model if full else library.attach(model, recipe.method, **sizes)
        return GradedLoss(adapted, graded.digit_tokens(tokenizer))

    collate = graded.GradedCollator(tokenizer.pad_token_id)
    return sft.Job(recipe, build, graded.encode(rows, tokenizer), collate, tokenizer)


def starting_sizes(method, tokenizer):
    """The default sizes of a method: soft prompts of 20 tokens, started from START where that is possible."""
    ids = tokenizer(START).input_ids
    text = {"tokens": 20, "text_ids": ids}
    return {"prompt": text, "p-tuning": text, "prefix": {"prompt_ids": ids[:20]}}.get(method, {})
