"""QLoRA (Dettmers et al. 2023): adapters on a base of four bits, and what it is compared with, LoRA on the same base.

Both put LoRA on every linear layer of the blocks and draw the same start; nothing differs but the frozen weights. The
base's head, which is also the embedding, stays at 16 bits. Deviation: no paged optimizer, which only NVIDIA's memory
has; adapters are so small that their optimizer's state is not what fills it.
"""

import functools

import torch

from course_utils.adapters import library, switching, weights
from course_utils.data import graded
from course_utils.models.base import load_base
from course_utils.models.packing import use_row_attention
from course_utils.quantization import layers, loftq, measured_memory, nf4
from course_utils.training import sft
from course_utils.training.graded import GradedLoss
from course_utils.training.next_token import NextTokenLoss

STARTS = ("zero", "error")
quantize = functools.partial(nf4.quantize, double=True)


def adapted(model, *, rank, quantized, start="zero"):
    """The model, changed in place, inside LoRA on all linear layers of its blocks.

    Args:
        model: a causal language model of transformers.
        rank: of the adapters; their scale is 2, as for notebook 07.
        quantized: whether the layers below are rounded to NF4 with double quantization.
        start: "zero", where the adapters change nothing, or "error", where they repair the rounding (LoftQ).

    Returns:
        A peft model.

    Raises:
        ValueError: an unknown start, or a start from the error of weights that were not rounded.
    """
    if start not in STARTS or (start == "error" and not quantized):
        raise ValueError(f"Expected a start of {STARTS}, and quantized=True for 'error'; got {start!r}, {quantized}.")
    from peft import LoraConfig

    use_row_attention(model)
    originals = layers.swap(model, quantize) if quantized else {}
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    made = switching.wrap(model, layers.refuse_merging(config))
    if start == "error":
        loftq.start_from_error(made, originals)
    return made


def job(rows, recipe, **how):
    """What `stages.run_stage` needs to learn to grade these reviews.

    Args:
        rows: as `data.reviews.load` returns them.
        recipe: a TrainingRecipe for LoRA.
        how: as for `adapted`.

    Returns:
        A sft.Job.
    """
    model, tokenizer = load_base()
    return sft.Job(
        recipe,
        lambda: GradedLoss(adapted(model, **how), graded.digit_tokens(tokenizer)),
        graded.encode(rows, tokenizer),
        graded.GradedCollator(tokenizer.pad_token_id),
        tokenizer,
    )


def gradients(model, batch, *, seed=0):
    """{name: flat gradient} of every adapter weight, on the next-token loss of a batch.

    The adapters get drawn weights first: at LoRA's zero start half of the gradients are zero. The model stays in the
    mode that it is in.
    """
    generator = torch.Generator().manual_seed(seed)
    for weight in weights.trained(model).values():
        weight.data.copy_(0.02 * torch.randn(weight.shape, generator=generator))
        weight.grad = None
    NextTokenLoss(model)(batch).backward()
    return library.gradients(model)


def batch_of(rows, device="cpu"):
    """A batch for the next-token loss of rows (B, T) int64 without pads, every token counting, on a device."""
    rows = rows.to(device)
    mask = torch.ones_like(rows, dtype=torch.bool)
    return {"input_ids": rows, "mask": mask, "completion_mask": mask}


def step_bytes(model, batch):
    """The most bytes alive at one time in a training step: weights, AdamW's moments, and all that comes and goes.

    Args:
        model: with what it trains already free to learn.
        batch: as `batch_of` makes it.
    """
    module = NextTokenLoss(model).train()
    optimizer = torch.optim.AdamW([w for w in module.parameters() if w.requires_grad], foreach=False)

    def step(batch=batch):
        with module.while_training():
            module(batch).backward()
        optimizer.step()
        optimizer.zero_grad()

    step({name: values[:1, :2] for name, values in batch.items()})  # makes the moments
    moments = sum(value.nbytes for state in optimizer.state.values() for value in state.values())
    return moments + measured_memory.peak_bytes(step, module)
