"""LLM.int8 (Dettmers et al. 2022): activations in 8 bits too, except for the few columns that are far too large.

In the paper's large models a handful of hidden dimensions carry values up to twenty times the rest. One scale for a row
then leaves the rest six of the 127 codes on each side of zero. So those columns stay in floating point, and all others
are multiplied as whole numbers:

    x Wᵀ = x[:, out] W[:, out]ᵀ  +  s_x s_w (q_x q_wᵀ)      out = columns with any |x| ≥ threshold

Deviation: the products of whole numbers are summed in float32, which is exact up to 2²⁴, i.e. 1,040 products of 127².
"""

import torch

from course_utils.quantization import integer

THRESHOLD = 6.0  # the paper's, for models of 6.7 B and more


def outlier_columns(inputs, threshold=THRESHOLD):
    """(K,) int64, the columns of inputs (..., I) in which some value reaches the threshold."""
    return (inputs.abs() >= threshold).reshape(-1, inputs.shape[-1]).any(0).nonzero().flatten()


def matmul(inputs, weight, *, threshold=THRESHOLD):
    """inputs · weightᵀ with both in 8 bits, but for the outlier columns.

    Args:
        inputs: (..., I) activations.
        weight: an IntegerWeight of 8 bits with a scale a row, (O, I).
        threshold: columns with a value of this size stay in floating point; infinity rounds all of them.

    Returns:
        (..., O) float32.

    Raises:
        ValueError: the weight is in another format, or the inputs hold NaN.
    """
    if weight.bits != 8 or weight.zeros is not None or len(weight.scales) != weight.shape[0]:
        raise ValueError("LLM.int8 needs absmax codes of 8 bits with a scale a row: integer.quantize(weight, bits=8).")
    rows = inputs.reshape(-1, inputs.shape[-1]).float()
    if not torch.isfinite(rows).all():
        raise ValueError("The activations hold NaN or infinite values; no scale fits them.")
    kept = outlier_columns(rows, threshold)
    regular = rows.index_fill(1, kept, 0.0)
    scales, _ = integer.grid(regular, 8)
    codes = integer.codes_of(regular, scales, None, 8)
    product = codes.float() @ weight.codes.float().t() * scales * weight.scales.float().t()
    exact = rows[:, kept] @ weight.dequantize().float()[:, kept].t()
    return (product + exact).view(*inputs.shape[:-1], -1)
