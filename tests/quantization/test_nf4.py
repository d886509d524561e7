"""NF4 and FP4 are bitsandbytes', bit for bit; double quantization up to a neighbouring code for one scale in 200."""

import pytest
import torch

from course_utils.quantization import nf4, weights

bitsandbytes = pytest.importorskip("bitsandbytes", reason="the test extra installs bitsandbytes")


def theirs(weight, table, **how):
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(weight, quant_type=table, blocksize=64, **how)
    return packed.flatten(), state, dequantize_4bit(packed, state)


def test_the_table_is_derived_and_theirs():
    from bitsandbytes.functional import get_4bit_type

    ours = nf4.normal_quantiles()
    assert (ours - get_4bit_type("nf4", device="cpu")).abs().max() <= 1e-6
    assert len(ours) == 16 and ours[0] == -1 and ours[7] == 0 and ours[15] == 1


def shares(table):
    """How often each code is used by normal weights."""
    weight = torch.randn(640, 640, generator=torch.Generator().manual_seed(0))
    packed = nf4.quantize(weight, table=table).codes.int()
    return torch.cat([packed >> 4, packed & 15]).bincount(minlength=16) / weight.numel()


def test_codes_of_normal_weights_are_used_more_evenly_than_even_steps_but_not_equally():
    ours, even = shares("nf4"), shares("int4")[:15]
    assert 0.01 < ours.min() < 0.02 and 0.085 < ours.max() < 0.1
    assert even.max() > 0.13 and even.min() < ours.min()


def test_fp4_is_theirs():
    from bitsandbytes.functional import get_4bit_type

    assert torch.equal(nf4.small_floats(), get_4bit_type("fp4", device="cpu").sort().values)


def test_the_format_of_scales_is_theirs():
    from bitsandbytes.functional import create_dynamic_map

    assert torch.equal(nf4.dynamic_codes(), create_dynamic_map())


@pytest.mark.parametrize("table", ["nf4", "fp4"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_round_trips_are_theirs_bit_for_bit(table, dtype, normal_weight):
    weight = normal_weight.to(dtype)
    packed, state, restored = theirs(weight, table)
    ours = nf4.quantize(weight, table=table)
    assert torch.equal(ours.dequantize(), restored) and torch.equal(ours.scales, state.absmax)
    if table == "nf4":  # fp4's codes are ordered by their bits there, by value here
        assert torch.equal(ours.codes, packed)


def test_double_quantization_is_theirs_up_to_ties_that_they_round_away(normal_weight):
    weight = torch.randn(512, 640, generator=torch.Generator().manual_seed(1)) * 0.03
    _, state, restored = theirs(weight, "nf4", compress_statistics=True)
    ours = nf4.quantize(weight, double=True)
    assert torch.equal(ours.scales, state.state2.absmax) and ours.offset == state.offset
    apart = (ours.scale_codes.int() - state.absmax.int()).abs()
    assert apart.max() <= 1 and (apart > 0).float().mean() < 0.005
    same = (apart == 0).repeat_interleave(64).view(512, 640)
    assert torch.equal(ours.dequantize()[same], restored[same])


def test_double_quantization_costs_little(normal_weight):
    plain, double = (
        weights.relative_error(normal_weight, nf4.quantize(normal_weight, double=d)) for d in (False, True)
    )
    assert plain < double < 1.05 * plain


def test_nf4_beats_fp4_and_even_steps_on_normal_weights():
    weight = torch.randn(256, 256, generator=torch.Generator().manual_seed(2))
    error = {table: weights.relative_error(weight, nf4.quantize(weight, table=table)) for table in nf4.TABLES}
    assert error["nf4"] < 0.95 * error["int4"] < 0.95 * error["fp4"]


@pytest.mark.parametrize("table", nf4.TABLES)
def test_slices_leave_no_seam_and_a_tie_goes_down(table, normal_weight, monkeypatch):
    whole = nf4.quantize(normal_weight, table=table)
    monkeypatch.setattr(nf4, "SLICE", 3 * 64)
    sliced = nf4.quantize(normal_weight, table=table)
    assert torch.equal(whole.codes, sliced.codes) and torch.equal(whole.scales, sliced.scales)
    values = nf4.TABLES[table]()
    blocks = normal_weight.reshape(-1, 64)
    scaled = (blocks * (1.0 / blocks.abs().amax(1))[:, None]).clamp(-1, 1)
    scaled[0, 1:8] = ((values[:-1] + values[1:]) / 2)[:7]  # exactly between two numbers
    found = nf4.quantize(scaled, table=table).codes
    codes = torch.bucketize(scaled, (values[:-1] + values[1:]) / 2).flatten().to(torch.uint8)
    assert torch.equal(found, codes[::2] << 4 | codes[1::2])


@pytest.mark.parametrize("double", [False, True])
def test_an_all_zero_block_is_exact(double, normal_weight):
    normal_weight[2] = 0
    restored = nf4.quantize(normal_weight, double=double).dequantize()
    assert (restored[2] == 0).all() and torch.isfinite(restored).all()


def test_blocks_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="The number of weights is 96, which is no multiple of 64"):
        nf4.quantize(torch.ones(2, 48))


@pytest.mark.parametrize("how", [{"table": "nf5"}, {"block": 3}])
def test_unknown_tables_and_odd_blocks_are_refused(how):
    with pytest.raises(ValueError, match="Expected an even block and one of"):
        nf4.quantize(torch.ones(4, 48), **how)


def test_the_first_code_of_a_byte_is_in_its_high_half():
    weight = torch.tensor([[-1.0, 1.0, 0.0, 1.0]])  # codes 0, 15, 7, 15
    assert nf4.quantize(weight, block=4).codes.tolist() == [0x0F, 0x7F]


@pytest.mark.parametrize("factor", [1e5, 1e6, 3e37])
def test_double_quantization_is_left_out_with_a_word_where_one_block_is_far_larger(factor):
    weight = torch.randn(512, 64, generator=torch.Generator().manual_seed(0))
    weight[3] *= factor / weight[3].abs().max()
    with pytest.warns(UserWarning, match=r"Double quantization left out: \d+ of 512 blocks .* times a typical one"):
        found = nf4.quantize(weight, double=True)
    assert not found.double and torch.equal(found.dequantize(), nf4.quantize(weight).dequantize())
    assert found.nbytes == nf4.quantize(weight).nbytes


def test_a_usual_outlier_and_zero_blocks_are_rounded_twice_without_a_word(recwarn):
    weight = torch.randn(512, 64, generator=torch.Generator().manual_seed(0))
    weight[3] *= 10
    weight[7:300] = 0
    found = nf4.quantize(weight, double=True)
    assert found.double and not len(recwarn)
    assert weights.relative_error(weight[300:], nf4.quantize(weight[300:], double=True)) < 0.1
    assert nf4.quantize(torch.zeros(4, 64), double=True).double and not len(recwarn)
