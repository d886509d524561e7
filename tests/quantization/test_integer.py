"""Integer rounding on numbers that can be redone by hand, and its properties on any."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.quantization import integer, weights

GROUP = {"granularity": "group", "group": 32}


def test_absmax_by_hand():
    quantized = integer.quantize(torch.tensor([[1.27, -0.5, 0.004, 0.0]]), granularity="tensor")
    assert quantized.scales.item() == pytest.approx(0.01)
    assert quantized.codes.tolist() == [[127, -50, 0, 0]]
    assert torch.allclose(quantized.dequantize(), torch.tensor([[1.27, -0.5, 0.0, 0.0]]))


def test_zero_point_by_hand():
    quantized = integer.quantize(torch.tensor([[-1.0, 0.0, 2.0, 0.4]]), bits=4, zero_point=True)
    assert quantized.scales.item() == pytest.approx(0.2) and quantized.zeros.item() == 5
    assert quantized.codes.tolist() == [[0, 5, 15, 7]]
    assert torch.allclose(quantized.dequantize(), torch.tensor([[-1.0, 0.0, 2.0, 0.4]]))


def test_the_zero_point_is_the_nearest_whole_number():
    # s = 2.6 / 15, and 1 / s = 5.77 lies nearer to 6
    assert integer.quantize(torch.tensor([[-1.0, 1.6]]), bits=4, zero_point=True).zeros.item() == 6


@pytest.mark.parametrize("sign, zero, codes", [(1, 0, [9, 12, 15]), (-1, 15, [6, 3, 0])])
def test_the_range_holds_zero_where_all_weights_have_one_sign(sign, zero, codes):
    weight = sign * torch.tensor([[9.0, 12.0, 15.0]])
    quantized = integer.quantize(weight, bits=4, zero_point=True)
    assert (quantized.scales.item(), quantized.zeros.item(), quantized.codes.tolist()) == (1.0, zero, [codes])
    assert torch.equal(quantized.dequantize(), weight)


def test_a_number_beyond_the_grid_gets_its_end():
    far = torch.tensor([[-9.0, -7.6, 7.6, 9.0]])
    assert integer.codes_of(far, torch.ones(1, 1), None, 4).tolist() == [[-7, -7, 7, 7]]
    assert integer.codes_of(far, torch.ones(1, 1), torch.full((1, 1), 8), 4).tolist() == [[0, 0, 15, 15]]


@pytest.mark.parametrize("zero_point", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("granularity", integer.GRANULARITIES)
def test_no_weight_moves_by_more_than_half_a_step(granularity, bits, zero_point, normal_weight):
    quantized = integer.quantize(normal_weight, bits=bits, granularity=granularity, group=32, zero_point=zero_point)
    steps = quantized.scales.expand(len(quantized.scales), normal_weight.numel() // len(quantized.scales))
    moved = (normal_weight - quantized.dequantize()).abs().reshape(steps.shape)
    assert (
        moved <= steps * (1.01 if zero_point else 0.501)
    ).all()  # a rounded zero-point may cut half a step off an end


def test_smaller_groups_and_more_bits_lose_less(normal_weight):
    def error(**how):
        return weights.relative_error(normal_weight, integer.quantize(normal_weight, **how))

    by_bits = [error(bits=bits) for bits in (2, 3, 4, 5, 6, 8)]
    assert by_bits == sorted(by_bits, reverse=True)
    assert error(bits=4, granularity="tensor") > error(bits=4) > error(bits=4, **GROUP)


def test_one_sided_weights_need_a_zero_point(normal_weight):
    one_sided = normal_weight.abs()
    absmax, zero = (integer.quantize(one_sided, bits=4, zero_point=z, **GROUP) for z in (False, True))
    assert weights.relative_error(one_sided, zero) < 0.6 * weights.relative_error(one_sided, absmax)


@pytest.mark.parametrize("zero_point", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_an_all_zero_row_is_exact_and_spoils_no_other(bits, zero_point, normal_weight):
    normal_weight[7] = 0
    restored = integer.quantize(normal_weight, bits=bits, zero_point=zero_point).dequantize()
    assert (restored[7] == 0).all() and torch.isfinite(restored).all() and (restored[8] != 0).any()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([torch.float32, torch.bfloat16]))
def test_rounding_twice_changes_nothing_more(seed, dtype):
    weight = torch.randn(4, 32, generator=torch.Generator().manual_seed(seed)).to(dtype)
    once = integer.quantize(weight, bits=8).dequantize()
    assert once.dtype == dtype
    assert torch.allclose(integer.quantize(once, bits=8).dequantize().float(), once.float(), rtol=0, atol=2e-2)


def test_a_group_that_does_not_divide_is_refused(normal_weight):
    with pytest.raises(ValueError, match="A row is 128, which is no multiple of 48"):
        integer.quantize(normal_weight, granularity="group", group=48)


@pytest.mark.parametrize("how", [{"bits": 1}, {"bits": 9}, {"granularity": "column"}])
def test_unknown_formats_are_refused(how, normal_weight):
    with pytest.raises(ValueError, match="Expected 2 to 8 bits"):
        integer.quantize(normal_weight, **how)


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_scales_that_do_not_fit_their_dtype_are_refused(factor, normal_weight):
    with pytest.raises(ValueError, match=r"do not fit into torch.float16.*bfloat16"):
        integer.quantize(normal_weight * factor, scale_dtype=torch.float16)


def test_codes_move_with_the_module(normal_weight):
    quantized = integer.quantize(normal_weight, bits=4)
    assert quantized.codes.shape == (96, 128) and set(quantized.state_dict()) == {"codes", "scales"}
    assert not list(quantized.parameters())


def test_scales_that_float16_would_spoil_are_refused():
    weight = torch.full((4, 128), 7 * 8e-8)  # the scale lies between two of float16's smallest numbers
    with pytest.raises(ValueError, match=r"do not fit into torch\.float16: .*wrong by a tenth"):
        integer.quantize(weight, bits=4, granularity="group", scale_dtype=torch.float16)
    integer.quantize(weight, bits=4, granularity="group", scale_dtype=torch.bfloat16)
    weight[1:] = 1.0  # beside usual blocks a vanishing one does not matter
    integer.quantize(weight, bits=4, granularity="group", scale_dtype=torch.float16)
