"""The start from the rounding error: the best low-rank repair, put into peft's adapters."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from course_utils.quantization import layers, loftq, nf4


@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
@pytest.mark.parametrize("rank", [1, 5, 12])
def test_low_rank_is_the_truncated_svd(shape, rank):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    up, down = loftq.low_rank(matrix, rank)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    assert up.shape == (shape[0], rank) and down.shape == (rank, shape[1])
    assert torch.allclose(up @ down, u[:, :rank] * s[:rank] @ v[:rank], atol=1e-3)
    assert up.norm() == pytest.approx(down.norm().item(), rel=1e-3)


def test_a_zero_error_needs_no_repair():
    up, down = loftq.low_rank(torch.zeros(4, 6), 2)
    assert (up @ down).abs().max() < 1e-6


@pytest.mark.parametrize("rank", [0, 13])
def test_impossible_ranks_are_refused(rank):
    with pytest.raises(ValueError, match="Expected a rank from 1 to 12"):
        loftq.low_rank(torch.zeros(12, 30), rank)


def test_adapters_start_from_the_error(blocky, token_rows):
    model = blocky()
    exact = model(token_rows).logits
    originals = layers.swap(model, nf4.quantize)
    model = get_peft_model(model, LoraConfig(r=32, lora_alpha=16, target_modules="all-linear"))
    zero_start = (model(token_rows).logits - exact).norm()
    left = loftq.start_from_error(model, originals)
    assert len(left) == 14 and all(0 < share < 0.5 for share in left.values())
    assert (model(token_rows).logits - exact).norm() < 0.8 * zero_start
    with pytest.raises(ValueError, match="not at its zero start"):
        loftq.start_from_error(model, originals)
    with pytest.raises(ValueError, match="None of the original layers has an adapter"):
        loftq.start_from_error(model, {})


def test_the_repair_is_what_the_adapter_adds_at_any_scaling(blocky):
    model = blocky()
    originals = layers.swap(model, nf4.quantize)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=64, target_modules="all-linear"))
    for name, share in loftq.start_from_error(model, originals).items():
        layer = model.get_base_model().get_submodule(name)
        error = originals[name].weight - layer.base_layer.quantized.dequantize()
        added = layer.scaling["default"] * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        assert layer.scaling["default"] == 16
        assert ((error - added).square().sum() / error.square().sum()).item() == pytest.approx(share, rel=1e-3)
