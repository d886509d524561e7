"""Packed matrices: the same numbers bit for bit, in inference alone, and a model that is afterwards as it was."""

import contextlib

import pytest
import torch
from torch.nn import functional as F

from course_utils.models import fused_forward, onednn_weights, packing

pytestmark = pytest.mark.skipif(
    not onednn_weights._fits(torch.zeros(1, 1, dtype=torch.bfloat16)), reason="this CPU does not multiply bf16 matrices"
)


def replaced(model):
    return {name for name, module in model.named_modules() if "forward" in vars(module)}


@torch.inference_mode()
def hidden(model, batch):
    ids, real, _ = batch
    return packing.packed_hidden(model, ids, real)


@pytest.mark.parametrize("fused", [True, False], ids=["fused LoRA", "peft's LoRA"])
def test_the_numbers_are_the_same_bit_for_bit(small_gemma, padded_batch, fused):
    model = small_gemma(torch.bfloat16)
    with fused_forward.fast_blocks(model) if fused else contextlib.nullcontext():
        expected, before = hidden(model, padded_batch), replaced(model)
        with onednn_weights.prepacked(model, rows=4):
            packed = replaced(model) - before
            assert len(packed) == 7 * 2 and all(name.endswith("base_layer") for name in packed)
            assert torch.equal(hidden(model, padded_batch), expected)
        assert replaced(model) == before
        assert torch.equal(hidden(model, padded_batch), expected)


def test_lora_is_cast_once_for_the_adapter_that_is_active(small_gemma, padded_batch, monkeypatch):
    model, taken = small_gemma(torch.bfloat16), []
    lora_factors = onednn_weights.lora_factors
    monkeypatch.setattr(onednn_weights, "lora_factors", lambda layer: taken.append(layer) or lora_factors(layer))
    with fused_forward.fast_blocks(model), model.disable_adapter():
        expected = hidden(model, padded_batch)
        with onednn_weights.prepacked(model, rows=4):
            assert torch.equal(hidden(model, padded_batch), expected)
    with fused_forward.fast_blocks(model), onednn_weights.prepacked(model, rows=4):
        assert not torch.equal(hidden(model, padded_batch), expected)
    assert len(taken) == 2 * 7 * 2


def test_only_frozen_bf16_matrices_of_the_blocks_take_part(small_gemma):
    with onednn_weights.prepacked(small_gemma(torch.float32), rows=4) as model:
        assert not replaced(model)
    with onednn_weights.prepacked(small_gemma(torch.bfloat16), rows=4) as model:
        assert "base_model.model.lm_head" not in replaced(model)


def test_another_dtype_takes_the_original_product(small_gemma):
    with onednn_weights.prepacked(small_gemma(torch.bfloat16, adapter=False), rows=2) as model:
        layer = model.model.layers[0].mlp.up_proj
        assert "forward" in vars(layer)
        with torch.autocast("cpu", torch.bfloat16):
            row = torch.ones(2, 32)
            assert torch.equal(layer(row), F.linear(row, layer.weight))


def test_an_error_leaves_the_model_as_it_was(small_gemma):
    model = small_gemma(torch.bfloat16)
    with pytest.raises(ZeroDivisionError), onednn_weights.prepacked(model, rows=2):
        raise ZeroDivisionError
    assert not replaced(model)
