"""The few tensor helpers that every room shares. Masks have one polarity: True where a token counts."""

import torch


def check_same_shape(**tensors):
    """Raise ValueError unless all keyword tensors have one shape; the message names each tensor with its own."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"Expected tensors of one shape, got {listed}. Is one shifted by a token, or unbatched?")


def check_rows(count, what, need=""):
    """Raise ValueError where a batch has no row; `what` names what its rows are, `need` what cannot be done."""
    if not count:
        raise ValueError(f"Expected at least one {what}, got none{need}. Did a filter drop them all?")


def moved(batch, device):
    """A batch, a dictionary of tensors, on a device. Tensors that are there already stay themselves."""
    return {name: tensor.to(device) for name, tensor in batch.items()}


def masked_mean(values, mask):
    """Mean of the values where mask is True.

    Args:
        values: any shape, floating point.
        mask: the same shape, bool, True where a value counts.

    Returns:
        A scalar tensor, differentiable with respect to values. Nothing outside the mask reaches it, not even NaN.

    Raises:
        ValueError: shapes differ, mask is not bool, or nothing counts.
    """
    check_same_shape(values=values, mask=mask)
    if mask.dtype != torch.bool:
        raise ValueError(f"Expected a bool mask (True where a token counts), got {mask.dtype}. Write `mask.bool()`.")
    if not mask.any():
        raise ValueError("The mask counts no token, so a mean does not exist. Were all answers truncated away?")
    return values[mask].mean()


def whiten(values, mask, *, eps=1e-8):
    """Shift and scale the masked values to mean 0 and variance 1; positions outside the mask become 0.

    Args:
        values: any shape, floating point.
        mask: the same shape, bool, True where a value counts.
        eps: added to the standard deviation, so that equal values become 0 instead of NaN.
    """
    mean = masked_mean(values, mask)
    std = masked_mean((values - mean) ** 2, mask).sqrt()
    return torch.where(mask, (values - mean) / (std + eps), torch.zeros_like(values))
