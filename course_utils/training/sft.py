"""Supervised fine-tuning: the pre-training loss on answers to instructions, through LoRA or all weights.

Deviation from common practice: the loss of a step is the mean over all answer tokens of its batch, however the batch is
cut, and rows that would be truncated are left out, since a cut answer teaches not to stop.
"""

from dataclasses import dataclass, replace

import torch

from course_utils import recipes, runtime
from course_utils.adapters import switching
from course_utils.data import instructions
from course_utils.engine.loop import train
from course_utils.engine.recipe import TrainingRecipe
from course_utils.models.base import load_base
from course_utils.models.packing import use_row_attention
from course_utils.training.next_token import NextTokenLoss

RANK = 16
MAX_LENGTH = 256  # tokens of instruction and answer together
FULL_TO_LORA = 25  # LoRA's learning rate over full tuning's


@dataclass(frozen=True)
class Job:
    """What `loop.train` or `stages.run_stage` needs for this stage."""

    recipe: TrainingRecipe
    build: object  # () -> loss module
    rows: list  # encoded rows
    collate: instructions.TokenCollator
    tokenizer: object
    trainer: object = train  # what trains it, with the arguments of `loop.train`


def job(tier, *, rows=None, recipe=None):
    """The SFT stage of a tier.

    Args:
        tier: one of runtime.TIERS.
        rows: with columns prompt and answer; `training_rows` of the tier by default.
        recipe: a TrainingRecipe instead of the tier's; method "lora" or "full".

    Returns:
        A Job.
    """
    recipe = recipe or recipe_of(tier)
    model, tokenizer = load_base(dtype=weights_dtype(recipe), trainable=recipe.method == "full")
    rows = training_rows(recipes.of("07", tier), tokenizer, seed=recipe.seed) if rows is None else rows
    encoded = instructions.encode(rows, tokenizer, max_length=recipe.max_length, drop_long=True)
    collate = instructions.TokenCollator(tokenizer.pad_token_id)
    return Job(recipe, lambda: NextTokenLoss(with_adapter(model, recipe)), encoded, collate, tokenizer)


def recipe_of(tier, *, seed=0, steps=None):
    """The TrainingRecipe of notebook 07 on a tier, for LoRA; steps in place of the tier's own."""
    size = recipes.of("07", tier)
    steps = steps or size.steps
    return TrainingRecipe(
        steps=steps, batch_size=size.batch_size, learning_rate=size.learning_rate, max_length=MAX_LENGTH,
        warmup_steps=steps // 10, save_every=20, pool=8, seed=seed,
    )  # fmt: skip


def training_rows(size, tokenizer, *, seed=0):
    """What the SFT policy learns from: instruction rows with short answers, and sentences from film reviews.

    Args:
        size: a recipes.FineTuning.
        seed: chooses the sentences.

    Returns:
        A list of rows with columns prompt and answer.
    """
    rows = instructions.short(
        instructions.load("train"), tokenizer, answer_tokens=size.answer_tokens, one_line=size.one_line
    )
    films = instructions.film_sentences("train").shuffle(seed=seed).select(range(size.film_sentences))
    return [*rows, *films]


def with_adapter(model, recipe, *, rank=RANK):
    """The model ready to be trained: itself for full tuning, else with LoRA on every linear layer of its blocks.

    LoRA learns a low-rank change of each frozen matrix, W + (α / r) B A; B starts at zero, so nothing changes at first.
    """
    use_row_attention(model)
    if recipe.method == "full":
        return model
    from peft import LoraConfig

    return switching.wrap(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))


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
