"""Rounding a weight to whole numbers times a scale: absmax and zero-point, per tensor, row or group.

    absmax      s = max|w| / (2^(b−1) − 1)          q = round(w / s)               ŵ = s q
    zero-point  s = (max w − min w) / (2^b − 1)     q = round(w / s) + z           ŵ = s (q − z), z = round(−min w / s)

A scale may serve the whole tensor, one row, or a group of neighbours in a row; more scales cost bits and save error.
Absmax wastes one code (−2^(b−1)) so that zero and both signs are exact; zero-point keeps zero exact too, since its
range always includes it.
"""

import torch

from course_utils.quantization import weights

GRANULARITIES = ("tensor", "row", "group")


class IntegerWeight(weights.QuantizedWeight):
    """codes (blocks, size) int8 or uint8; scales (blocks, 1); zeros (blocks, 1) or None."""

    def __init__(self, weight, codes, scales, zeros, bits):
        super().__init__(weight, bits)
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", zeros)

    def dequantize(self):
        """(O, I) in the dtype that came in."""
        numbers = self.codes.float() if self.zeros is None else self.codes.float() - self.zeros.float()
        return (numbers * self.scales.float()).reshape(self.shape).to(self.dtype)


def quantize(weight, *, bits=8, granularity="row", group=128, zero_point=False, scale_dtype=torch.float32):
    """Round a weight to whole numbers of `bits` bits.

    Args:
        weight: (O, I), finite.
        bits: 2 to 8.
        granularity: how many weights share a scale: the "tensor", a "row", or a "group" of neighbours in a row.
        group: weights in a group; must divide I.
        zero_point: False for absmax, True for zero-point.
        scale_dtype: in which scales are kept and counted; torch.float16 is what 4-bit formats use.

    Returns:
        An IntegerWeight.

    Raises:
        ValueError: NaN or infinite weights, a group that does not divide, an unknown granularity, or weights whose
            scale does not fit into scale_dtype.
    """
    weights.check_weight(weight)
    if granularity not in GRANULARITIES or not 2 <= bits <= 8:
        raise ValueError(f"Expected 2 to 8 bits and one of {GRANULARITIES}, got {bits} and {granularity!r}.")
    blocks = _blocks(weight.detach().float(), granularity, group)
    scales, zeros = grid(blocks, bits, zero_point, scale_dtype)
    return IntegerWeight(weight, codes_of(blocks, scales, zeros, bits), scales, zeros, bits)


def grid(blocks, bits, zero_point=False, scale_dtype=torch.float32):
    """The (scales, zeros) of blocks (N, size): each (N, 1), zeros uint8, or None without zero_point."""
    if zero_point:
        low, high = blocks.amin(1, keepdim=True).clamp(max=0), blocks.amax(1, keepdim=True).clamp(min=0)
        scales = _kept((high - low) / (2**bits - 1), scale_dtype)
        return scales, (-low / scales.float()).round().clamp(0, 2**bits - 1).to(torch.uint8)
    return _kept(blocks.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1), scale_dtype), None


def codes_of(blocks, scales, zeros, bits):
    """(N, size) whole numbers: int8 around zero, or uint8 with a zero-point."""
    numbers = (blocks / scales.float()).round()
    if zeros is None:
        most = 2 ** (bits - 1) - 1
        return numbers.clamp(-most, most).to(torch.int8)
    return (numbers + zeros.float()).clamp(0, 2**bits - 1).to(torch.uint8)


def _blocks(weight, granularity, group):
    if granularity == "group":
        weights.check_divides(weight.shape[1], group, "A row")
        return weight.reshape(-1, group)
    return weight if granularity == "row" else weight.reshape(1, -1)


def _kept(scales, dtype):
    """Scales as they are stored; an all-zero block gets scale 1, with which zero is exact."""
    scales = torch.where(scales == 0, 1.0, scales)
    kept = scales.to(dtype)
    spoiled = (kept.float() - scales).abs() > 0.1 * scales.clamp(min=scales.median())  # as below float16's normal range
    if not torch.isfinite(kept).all() or (kept == 0).any() or spoiled.any():
        raise ValueError(
            f"Scales from {scales.min():.3g} to {scales.max():.3g} do not fit into {dtype}: "
            "some would become 0, infinite or wrong by a tenth. Keep them in torch.bfloat16 or torch.float32."
        )
    return kept
