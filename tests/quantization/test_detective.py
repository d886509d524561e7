"""Each of llama.cpp's grids is recognised from numbers that were rounded to it and then to bfloat16."""

import gguf
import numpy as np
import pytest
import torch

from course_utils.models.gguf_file import GGUFFile
from course_utils.quantization import detective


def through(form, seed=0):
    """(64, 512) normal weights, rounded to a format and to bfloat16."""
    values = np.random.default_rng(seed).normal(0, 0.03, (64, 512)).astype(np.float32)
    kind = gguf.GGMLQuantizationType[form]
    return torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind)).bfloat16()


def k_quant(levels, block, seed=0):
    """The same on the grid of a K format: steps that are not the largest weight's, and an offset with 16 levels."""
    values = torch.randn(64, 512, generator=torch.Generator().manual_seed(seed)).mul(0.03).reshape(-1, block)
    low = values.amin(1, keepdim=True) * 0.97
    step = (values.amax(1, keepdim=True) * 0.97 - low) / (levels - 1)
    if levels > 16:  # around zero
        step, low = values.abs().amax(1, keepdim=True) * 0.97 / (levels // 2), None
        return ((values / step).round().clamp(-levels // 2, levels // 2 - 1) * step).view(64, 512).bfloat16()
    return (((values - low) / step).round().clamp(0, levels - 1) * step + low).view(64, 512).bfloat16()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("form", "bits"), [("Q4_0", 4), ("Q4_1", 4), ("Q5_0", 5), ("Q5_1", 5), ("Q8_0", 8)])
def test_plain_formats_are_found(form, bits, seed):
    finding = detective.find_format(through(form, seed))
    assert finding.bits == bits and finding.share >= 0.9


@pytest.mark.parametrize(("levels", "block", "bits"), [(16, 32, 4), (64, 16, 6)])
def test_k_formats_are_found(levels, block, bits):
    assert detective.find_format(k_quant(levels, block)).bits == bits


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_weights_that_were_never_rounded_are_called_so(dtype):
    weight = torch.randn(64, 512, generator=torch.Generator().manual_seed(5)).mul(0.03).to(dtype)
    assert detective.find_format(weight).bits == 16


def test_rows_must_be_whole_blocks():
    with pytest.raises(ValueError, match="multiples of 32"):
        detective.find_format(torch.zeros(4, 48))


def test_findings_are_held_against_the_table(tiny_gguf, tiny_model):
    rows = detective.compare(tiny_model, GGUFFile(tiny_gguf), ["blk.0.ffn_up.weight", "token_embd.weight"])
    assert [row["table"] for row in rows] == ["Q8_0", "Q8_0"]
    assert [row["found"] for row in rows] == ["8 bits", "8 bits"] and all(row["agrees"] for row in rows)


def test_everything_stays_on_the_weights_device():
    values = torch.empty(6, 32, device="meta")  # which holds no numbers and refuses to be mixed with the CPU's
    assert detective._fits_eight_bits(values).device.type == detective.grid_fits(values, 3).device.type == "meta"
