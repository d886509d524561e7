"""Which grid was a weight rounded to? Found from the numbers alone, before any table is read.

Weights that were once stored in b bits sit on at most 2^b evenly spaced values within a block. bfloat16 blurs them by
up to 1/256 of their size, which is far less than a step unless the grid has 8 bits; there only the small numbers tell.
"""

from dataclasses import dataclass

import torch

BLUR = 2.0**-8  # half a bfloat16 step, relative to the number
# GGUF's formats and the bits of their grids; the numbers alone do not tell apart formats that have as many
BITS = {"Q4_0": 4, "Q4_1": 4, "Q4_K": 4, "Q5_0": 5, "Q5_1": 5, "Q5_K": 5, "Q6_K": 6, "Q8_0": 8}


@dataclass(frozen=True)
class Finding:
    """bits: of the coarsest grid that fits, 16 when none does; share: of the blocks that fit it, 0 to 1."""

    bits: int
    share: float


def find_format(weight, *, blocks=256, least=0.9, seed=0):
    """The coarsest grid on which a weight lies.

    Args:
        weight: (O, I), as the converted model holds it; I a multiple of 32.
        blocks: how many randomly picked blocks are looked at.
        least: share of the blocks that must fit.

    Returns:
        A Finding.
    """
    if weight.dim() != 2 or weight.shape[1] % 32:
        raise ValueError(f"Expected a matrix whose rows are multiples of 32, got {tuple(weight.shape)}.")
    values = weight.detach().float().reshape(-1, 32)
    generator = torch.Generator().manual_seed(seed)
    values = values[torch.randperm(len(values), generator=generator)[:blocks]]
    for bits, parts in ((4, 1), (5, 1), (6, 2)):  # Q6_K has blocks of 16
        share = grid_fits(values.reshape(-1, 32 // parts), 2**bits - 1).float().mean().item()
        if share >= least:
            return Finding(bits, share)
    share = _fits_eight_bits(values).float().mean().item()
    return Finding(8, share) if share >= least else Finding(16, 1 - share)


def grid_fits(values, most):
    """(N,) bool: whether each block (N, S) lies on evenly spaced values, at most `most` steps from end to end."""
    low, high = values.amin(1), values.amax(1)
    fits = high == low
    for steps in range(1, most + 1):
        numbers = ((values - low[:, None]) / (high - low).clamp(min=1e-30)[:, None] * steps).round()
        # least squares w ≈ a + s k over the block, because both ends are blurred themselves
        centred = numbers - numbers.mean(1, keepdim=True)
        step = (centred * values).sum(1) / centred.square().sum(1).clamp(min=1e-30)
        fitted = values.mean(1, keepdim=True) + step[:, None] * centred
        allowed = 1.25 * BLUR * values.abs() + 0.03 * step.abs()[:, None]
        fits |= ((values - fitted).abs() <= allowed).all(1)
    return fits


def _fits_eight_bits(values):
    """(N,) bool: whether the numbers below a quarter of a block's largest are multiples of a step of largest / 127."""
    largest = values.abs().amax(1, keepdim=True)
    small = values.abs() < largest / 4
    best = torch.full((len(values),), torch.inf, device=values.device)
    for shift in torch.linspace(-1, 1, 17):  # the largest is blurred itself
        step = largest * (1 + shift * BLUR) / 127
        off = (values / step.clamp(min=1e-30) - (values / step.clamp(min=1e-30)).round()).abs()
        allowed = 1.25 * BLUR * (values / step.clamp(min=1e-30)).abs() + 0.03
        best = torch.minimum(best, ((off > allowed) & small).float().sum(1))
    return (best == 0) & (small.sum(1) >= 4)


def compare(model, source, names):
    """Hold the findings against the file's own table.

    Args:
        model: the converted model.
        source: the GGUFFile it came from.
        names: llama.cpp's names of the matrices to look at.

    Returns:
        list of {tensor, found, table, agrees}: bits are found, as "8 bits", the table names a format; they agree when
        the number of bits does.
    """
    from course_utils.models.convert import parameter_name

    weights, rows = dict(model.named_parameters()), []
    for name in names:
        finding, table = find_format(weights[parameter_name(name)]), source.formats[name]
        agrees = finding.bits == BITS.get(table, 16)
        rows.append({"tensor": name, "found": f"{finding.bits} bits", "table": table, "agrees": agrees})
    return rows
