"""Four bits by table: each block of weights, divided by its largest, is rounded to the nearest of 16 given numbers.

NF4 (Dettmers et al. 2023) takes the 16 numbers from quantiles of the normal distribution, closest where most weights
are. Its codes would be used about equally often by normal weights as they are; divided by the largest of their block
they crowd towards zero, and a code takes from 2 % to 9 % of them. FP4 takes its numbers from a tiny floating-point
format. Double quantization rounds the blocks' scales once more, to 8 bits, because at blocks of 64 a float32 scale
costs half a bit a weight.

The tables, the rounding and the double quantization are those of bitsandbytes; a block that is cut off at the end is
refused here and allowed there.
"""

import warnings
from functools import lru_cache

import torch

from course_utils.quantization import weights

SCALES_IN_BLOCK = 256  # scales that share a scale of their own
SLICE = 1 << 18  # weights that are rounded at one time, so that what comes between stays in a CPU's cache
OFFSET = 0.9677083  # outermost quantile, 1 − ½ (1/30 + 1/32): between half a step from the end on 15 and on 16 steps


def normal_quantiles():
    """NF4's 16 numbers: 8 positive and 7 negative quantiles of the normal distribution, and zero, scaled to [−1, 1]."""
    positive = torch.special.ndtri(torch.linspace(OFFSET, 0.5, 9)[:-1].double())
    negative = -torch.special.ndtri(torch.linspace(OFFSET, 0.5, 8)[:-1].double())
    values = torch.cat([negative, positive, torch.zeros(1)]).float().sort().values
    return values / values.max()


def small_floats():
    """bitsandbytes' FP4 in order, scaled to [−1, 1]: sign, 2 exponent bits, 1 fraction bit; zero comes twice.

    2^e (1 + m/2) for e = 1, 2, 3 and m = 0, 1; the fourth exponent holds 0 and a subnormal 1/16. Divided by 12.
    """
    magnitudes = [0.0, 1 / 16] + [2**e * (1 + m / 2) for e in (1, 2, 3) for m in (0, 1)]
    return torch.tensor(sorted([*magnitudes, *(-m for m in magnitudes)])) / 12


def even_steps():
    """The 15 numbers of symmetric int4 as a table, to compare the spacing alone at the same blocks and scales."""
    return torch.arange(-7, 8) / 7


TABLES = {"nf4": normal_quantiles, "fp4": small_floats, "int4": even_steps}


@lru_cache(maxsize=1)
def dynamic_codes():
    """The 256 numbers of the 8-bit format for scales (Dettmers 2016): 7 decades, each with twice as many steps.

    Returns:
        (256,) float32 in [−1, 1], sorted.
    """
    magnitudes = []
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2**decade + 1, dtype=torch.float32)
        magnitudes += (10 ** (decade - 6) * (edges[:-1] + edges[1:]) / 2.0).tolist()
    return torch.tensor(sorted([*magnitudes, *(-m for m in magnitudes), 0.0, 1.0]))


class TableWeight(weights.QuantizedWeight):
    """Packed codes into a table of 16 numbers, and a scale for each block: float32, or 8 bits and scales of scales."""

    def __init__(self, weight, codes, scales, table, block, double):
        super().__init__(weight, 4)
        self.block, self.double = block, double
        codes = codes.flatten().to(torch.uint8)
        self.register_buffer("codes", codes[::2] << 4 | codes[1::2])  # two in a byte, the first in the high half
        self.register_buffer("table", table, persistent=False)
        if double:
            self.register_buffer("offset", scales.mean())
            codes, scales = _nearest_dynamic(scales - self.offset)
            self.register_buffer("scale_codes", codes)
        self.register_buffer("scales", scales)

    @property
    def nbytes(self):
        """Codes, scales, scales of scales; the table is the same for every weight and not counted."""
        return super().nbytes - self.table.nbytes

    def block_scales(self):
        """(blocks,) float32, after double quantization where there is one."""
        if not self.double:
            return self.scales
        return _from_dynamic(self.scale_codes, self.scales, self.offset)

    def dequantize(self):
        """(O, I) in the dtype that came in."""
        table = torch.nn.functional.pad(self.table, (0, 16 - len(self.table)))
        pairs = torch.cartesian_prod(table, table)  # a byte holds two codes: one look gives both numbers
        values = torch.nn.functional.embedding(self.codes.int(), pairs).view(-1, self.block)
        return values.mul_(self.block_scales()[:, None]).view(self.shape).to(self.dtype)


def quantize(weight, *, table="nf4", block=64, double=False):
    """Round each block of a weight to a table of 16 numbers.

    Args:
        weight: (O, I), finite; blocks run along its rows and on into the next row.
        table: "nf4", "fp4" or "int4".
        block: weights that share a scale; O · I must be a multiple.
        double: whether to round the scales to 8 bits in their turn; where that would spoil blocks beside far larger
            ones, the scales stay float32, with a warning.

    Returns:
        A TableWeight. Bits a weight: 4 + 32/64 = 4.5 at blocks of 64; 4 + 8/64 + 32/(64·256) = 4.127 with double.

    Raises:
        ValueError: NaN or infinite weights, a block that does not divide, an unknown table.
    """
    weights.check_weight(weight)
    weights.check_divides(weight.numel(), block, "The number of weights")
    if table not in TABLES or block % 2:
        raise ValueError(f"Expected an even block and one of {sorted(TABLES)}, got {block} and {table!r}.")
    values = TABLES[table]().to(weight.device)
    parts = [_codes(part.float(), values) for part in weight.detach().reshape(-1, block).split(-(-SLICE // block))]
    codes, scales = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    return TableWeight(weight, codes, scales, values, block, double and _roundable(scales))


def _roundable(scales):
    """Whether 8 bits keep the scales; warns where not: the offset and the outer scale are those of the largest."""
    offset = scales.mean()
    kept = _from_dynamic(*_nearest_dynamic(scales - offset), offset)
    typical = scales[scales > 0].median() if scales.any() else scales.new_zeros(())
    spoiled = ~((kept - scales).abs() <= 0.5 * scales.clamp(min=typical))  # so that NaN is spoiled as well
    if spoiled.any():
        warnings.warn(
            f"Double quantization left out: {int(spoiled.sum())} of {len(scales)} blocks would get a scale wrong by "
            f"more than half, because the largest is {float(scales.max() / typical):.3g} times a typical one. This "
            "weight keeps float32 scales. Is one weight an outlier, or was a step of training too large?",
            stacklevel=3,
        )
    return not spoiled.any()


def _codes(blocks, values):
    """(codes (N, size) uint8, scales (N,)) of float32 blocks (N, size) in a sorted table."""
    scales = blocks.abs().amax(1)
    # w / max|w|, as a product with the reciprocal, like bitsandbytes; an all-zero block stays zero
    scaled = (blocks * (1.0 / scales.clamp(min=1e-38))[:, None]).clamp_(-1, 1)
    # a code counts the borders below it, which is faster than a search
    return sum((scaled > border).view(torch.uint8) for border in (values[:-1] + values[1:]) / 2), scales


def _nearest_dynamic(scales):
    """(codes (blocks,) uint8, outer scales (⌈blocks / 256⌉,) float32) of scales around zero."""
    padded = torch.nn.functional.pad(scales, (0, -len(scales) % SCALES_IN_BLOCK)).view(-1, SCALES_IN_BLOCK)
    outer = padded.abs().amax(1)
    table = dynamic_codes().to(scales.device)
    scaled = padded * (1.0 / outer.clamp(min=1e-38))[:, None]
    codes = torch.bucketize(scaled, (table[:-1] + table[1:]) / 2)
    return codes.flatten()[: len(scales)].to(torch.uint8), outer


def _from_dynamic(codes, outer, offset):
    """(blocks,) float32 scales from what `_nearest_dynamic` gave."""
    outer = outer.repeat_interleave(SCALES_IN_BLOCK)[: len(codes)]
    return dynamic_codes().to(outer.device)[codes.long()] * outer + offset
