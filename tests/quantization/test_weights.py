"""Bits are counted with their scales; broken weights are refused with their place."""

import pytest
import torch

from course_utils.quantization import integer, nf4, weights


def test_bits_are_counted_with_scales(normal_weight):
    group = {"bits": 4, "granularity": "group", "group": 64, "scale_dtype": torch.float16}
    assert integer.quantize(normal_weight, **group).bits_per_weight == 4 + 16 / 64
    assert integer.quantize(normal_weight, **group, zero_point=True).bits_per_weight == 4 + (16 + 8) / 64
    assert integer.quantize(normal_weight, bits=8).bits_per_weight == 8 + 32 / 128
    assert nf4.quantize(normal_weight).bits_per_weight == 4.5


def test_double_quantization_saves_what_the_paper_says():
    weight = torch.randn(256, 1024)
    assert nf4.quantize(weight, double=True).bits_per_weight == pytest.approx(4 + 8 / 64 + 32 / (64 * 256), abs=2e-4)


@pytest.mark.parametrize("form", [integer.quantize, nf4.quantize])
@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
def test_broken_weights_are_refused_with_their_place(form, broken, normal_weight):
    normal_weight[3, 5] = broken
    with pytest.raises(ValueError, match=r"1 of 12288 weights are NaN or infinite, the first in row 3, column 5"):
        form(normal_weight)


def test_only_a_float_matrix_is_quantized():
    with pytest.raises(ValueError, match=r"Expected a matrix"):
        weights.check_weight(torch.zeros(3))
    with pytest.raises(ValueError, match=r"got torch\.int64"):
        weights.check_weight(torch.zeros(3, 3, dtype=torch.int64))


def test_a_block_that_does_not_divide_is_refused_and_others_named():
    with pytest.raises(ValueError, match=r"A row is 96, which is no multiple of 128.*fit: \[16, 32\]"):
        weights.check_divides(96, 128, "A row")


def test_the_error_of_nothing_lost_is_zero():
    assert weights.relative_error(torch.zeros(4, 64), nf4.quantize(torch.zeros(4, 64))) == 0.0


def test_the_error_is_relative(normal_weight):
    once, ten = (weights.relative_error(w, nf4.quantize(w)) for w in (normal_weight, 10 * normal_weight))
    assert 0.05 < once < 0.15 and once == pytest.approx(ten, rel=1e-4)
