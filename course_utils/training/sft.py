"""Supervised fine-tuning: the pre-training loss on answers to instructions, through LoRA or all weights.

Deviation from common practice: the loss of a step is the mean over all answer tokens of its batch, however the batch is
cut, and rows that would be truncated are left out, since a cut answer teaches not to stop.
"""

from dataclasses import dataclass, replace

import torch

from course_utils import runtime
from course_utils.data import instructions
from course_utils.models.base import load_base
from course_utils.models.packing import use_row_attention
from course_utils.training.next_token import NextTokenLoss
from course_utils.training.recipe import TrainingRecipe

RANK = 16
FULL_TO_LORA = 25  # LoRA's learning rate over full tuning's
_LORA = TrainingRecipe(
    steps=60, batch_size=8, learning_rate=5e-4, max_length=160, warmup_steps=6, save_every=20, pool=8, weight_decay=0.0
)
RECIPES = {
    "cpu": _LORA,
    "gpu-16gb": replace(_LORA, steps=300, batch_size=16, max_length=256, warmup_steps=20, save_every=50),
    "gpu-24gb": replace(_LORA, steps=300, batch_size=16, max_length=512, warmup_steps=20, save_every=50),
    "gpu-80gb": replace(_LORA, steps=300, batch_size=32, max_length=512, warmup_steps=20, save_every=50),
}


@dataclass(frozen=True)
class Job:
    """What `loop.train` or `stages.run_stage` needs for this stage."""

    recipe: TrainingRecipe
    build: object  # () -> loss module
    rows: list  # encoded rows
    collate: instructions.TokenCollator
    tokenizer: object


def job(tier, *, rows=None, recipe=None):
    """The SFT stage of a tier.

    Args:
        tier: one of runtime.TIERS.
        rows: with columns prompt and answer; the training instructions by default.
        recipe: a TrainingRecipe instead of the tier's; method "lora" or "full".

    Returns:
        A Job.
    """
    recipe = recipe or RECIPES[tier]
    rows = instructions.load("train") if rows is None else rows
    model, tokenizer = load_base(dtype=weights_dtype(recipe), trainable=recipe.method == "full")
    encoded = instructions.encode(rows, tokenizer, max_length=recipe.max_length, drop_long=True)
    collate = instructions.TokenCollator(tokenizer.pad_token_id)
    return Job(recipe, lambda: NextTokenLoss(with_adapter(model, recipe)), encoded, collate, tokenizer)


def with_adapter(model, recipe, *, rank=RANK):
    """The model ready to be trained: itself for full tuning, else with LoRA on every linear layer of its blocks.

    LoRA learns a low-rank change of each frozen matrix, W + (α / r) B A; B starts at zero, so nothing changes at first.
    """
    use_row_attention(model)
    if recipe.method == "full":
        return model
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))


def for_method(recipe, method):
    """The recipe for LoRA or full tuning; all weights together bear a far smaller learning rate than an adapter."""
    if method == recipe.method:
        return recipe
    factor = 1 / FULL_TO_LORA if method == "full" else FULL_TO_LORA
    return replace(recipe, method=method, learning_rate=recipe.learning_rate * factor)


def weights_dtype(recipe, run=None):
    """The dtype to load with: full tuning keeps fp32 weights, for bf16 would round small updates away."""
    return torch.float32 if recipe.method == "full" else (run or runtime.current()).dtype


def precision(recipe, run=None):
    """The runtime's decisions for this recipe: full tuning on a bf16 machine keeps fp32 weights under bf16 autocast."""
    run = run or runtime.current()
    if recipe.method == "full" and run.autocast is None and run.dtype != torch.float32:
        return replace(run, dtype=torch.float32, autocast=run.dtype)
    return run
