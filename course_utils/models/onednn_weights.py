"""Matrices in the order in which a CPU multiplies by them, for as long as a text is written.

A bf16 product on a CPU first brings its matrix into another order. For the hundreds of rows of a training step that is
nothing; for sixteen rows, a token at a time, it is 40 % of the product. `prepacked` does it once for a whole text: the
same numbers, bit for bit, for the memory of a second copy. The head stays as it is: its copy would be the largest of
all. Adapters are cast once as well.

Weights must not change inside the context. Whatever is not a bf16 matrix on a CPU goes its usual way.
"""

import contextlib
import functools

import torch

from course_utils.models.fused_forward import lora_factors


@contextlib.contextmanager
def prepacked(model, rows):
    """Inside the context, in inference, the model's linear layers use packed copies; afterwards all is as before.

    Args:
        model: a causal language model, with or without peft's layers.
        rows: how many texts are written at once.
    """
    replaced, head = [], model.get_output_embeddings()
    try:
        for module in model.modules():
            forward = None if module is head else _replacement(module, rows)
            if forward is not None:
                replaced.append((module, vars(module).get("forward")))
                module.forward = forward
        yield model
    finally:
        for module, before in replaced:
            del module.forward
            if before is not None:  # such as one of `fast.fast_blocks`
                module.forward = before


def _replacement(module, rows):
    """A faster forward(x, …) for a linear layer, or for LoRA where `fast_blocks` computes it; None for all others."""
    base = getattr(module, "base_layer", module)
    if type(base) is not torch.nn.Linear or not _fits(base.weight):
        return None
    if base is module:
        packed = torch.ops.mkldnn._reorder_linear_weight(base.weight.detach(), rows)
        return functools.partial(_linear_forward, module.forward, packed, base.bias)
    factors = lora_factors(module) if "forward" in vars(module) and hasattr(module, "lora_A") else None
    if factors is None:
        return None
    down, up, scaling = factors
    down, up = (factor.detach().to(base.weight.dtype).t() for factor in (down, up * scaling))
    return functools.partial(_lora_forward, module.forward, base, down, up)


def _linear_forward(original, packed, bias, x):
    if x.dtype != packed.dtype:
        return original(x)
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


def _lora_forward(original, base, down, up, x, *args, **kwargs):
    if args or kwargs or x.dtype != down.dtype:
        return original(x, *args, **kwargs)
    rows = x.flatten(0, -2)
    return base(rows).addmm_(rows @ down, up).view(*x.shape[:-1], -1)


def _fits(weight):
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
