"""Bytes counted from a configuration: exact for weights, within 15 % of what a step really allocates."""

import dataclasses
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig

from course_utils.models.logprobs import BLOCK_WORDS
from course_utils.models.packing import use_row_attention
from course_utils.quantization import memory
from course_utils.training import qlora

# The real model, without its weights
GEMMA = memory.Shape(18, 640, 2048, 4, 1, 256, 262_144, True, 4, True)


def meta_parameters(config):
    with torch.device("meta"):
        return sum(weight.numel() for weight in AutoModelForCausalLM.from_config(config).parameters())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", [Gemma3TextConfig, LlamaConfig])
def test_weights_are_counted_exactly(family, tied):
    sizes = {"vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3}
    config = family(**sizes, num_attention_heads=4, num_key_value_heads=2, head_dim=32, tie_word_embeddings=tied)
    assert memory.Shape.of(config).parameters == meta_parameters(config)


@pytest.mark.parametrize(
    ("size", "parameters"), [("1 B", 1.236e9), ("7 B", 6.738e9), ("13 B", 13.016e9), ("70 B", 68.977e9)]
)
def test_public_models_have_their_published_size(size, parameters):
    assert memory.SHAPES[size].parameters == pytest.approx(parameters, rel=1e-3)


def test_this_course_model_has_its_size():
    assert GEMMA.parameters == 268_098_176
    assert GEMMA.adapter(16) == 3_796_992  # 1.4163 % of the weights


def test_why_so_little_is_saved_here_and_so_much_at_7b():
    assert memory.saved_by_qlora(GEMMA) == pytest.approx(0.28, abs=0.005)
    assert memory.saved_by_qlora(GEMMA, memory.Setting("qlora", quantized_head=True)) == pytest.approx(0.742, abs=0.005)
    assert memory.saved_by_qlora(memory.SHAPES["7 B"]) == pytest.approx(0.713, abs=0.005)
    shares = [memory.saved_by_qlora(shape) for shape in memory.SHAPES.values()]
    assert shares == sorted(shares)


def test_the_peak_is_at_the_loss_or_at_the_update():
    assert memory.Step(10, 5, 20, 3, 4).peak == 10 + 20 + 7
    assert memory.Step(10, 9, 20, 3, 4).peak == 10 + 20 + 9
    assert memory.Step(10, 5, 20, 3, 4, 6).peak == 10 + 20 + 9
    assert memory.Step(10, 5, 20, 3, 4, head_gradient=8).peak == 10 + 20 + 7 + 8, (
        "the head's gradient is there at both times"
    )
    assert memory.Step(10, 9, 20, 3, 4, head_gradient=8).peak == 10 + 20 + 9 + 8
    parts = ["weights", "gradients", "optimizer", "activations", "logits", "working", "head_gradient"]
    assert list(memory.Step(1, 2, 3, 4, 5).parts) == parts


def test_the_heads_gradient_is_counted_once():
    full = memory.step(GEMMA, memory.Setting("full"))
    assert full.head_gradient == 4 * GEMMA.embedding and full.gradients + full.head_gradient == 4 * GEMMA.parameters
    assert full.activations < 1.5 * memory.step(GEMMA, memory.Setting("lora")).activations
    assert memory.step(GEMMA, memory.Setting("qlora")).head_gradient == 0


def test_a_gpu_takes_the_softmax_of_larger_slices():
    on_cpu, on_gpu = (memory.step(GEMMA, memory.Setting(device=device)).logits for device in ("cpu", "cuda"))
    assert on_gpu - on_cpu == (2 + 4) * (BLOCK_WORDS["gpu"] - BLOCK_WORDS["cpu"])


def test_methods_stand_in_the_order_that_everybody_knows():
    for shape in (GEMMA, *memory.SHAPES.values()):
        full, lora, qlora = (memory.step(shape, memory.Setting(method)).peak for method in memory.METHODS)
        assert full > 2 * lora > 2 * qlora


def test_checkpointing_and_paging_save_what_they_promise():
    shape, plain = memory.SHAPES["7 B"], memory.Setting("qlora", rows=8, length=512)
    less = memory.step(shape, dataclasses.replace(plain, checkpointing=True))
    assert less.activations < 0.2 * memory.step(shape, plain).activations
    assert memory.step(shape, dataclasses.replace(plain, optimizer_paged=True)).optimizer == 0


@pytest.mark.parametrize("wrong", [{"method": "magic"}, {"rows": 0}, {"bits": -1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        memory.Setting(**wrong)


@pytest.mark.parametrize(
    ("method", "dtype"),
    [("full", torch.float32)] + [(m, d) for m in ("lora", "qlora") for d in (torch.float32, torch.bfloat16)],
)
def test_prediction_is_within_15_percent_of_a_step(method, dtype, blocky, one_thread):
    model, rows = blocky(dtype), torch.randint(4, 320, (16, 48), generator=torch.Generator().manual_seed(0))
    shape = memory.Shape.of(model.config)
    use_row_attention(model)
    if method == "full":
        model.requires_grad_(True)
    else:
        model = qlora.adapted(model, rank=16, quantized=method == "qlora")
    peak = qlora.step_bytes(model, qlora.batch_of(rows))
    setting = memory.Setting(method, rows=16, length=48, base_bytes=dtype.itemsize, activation_bytes=dtype.itemsize)
    predicted = memory.step(shape, setting).peak
    assert math.isclose(predicted, peak, rel_tol=0.15), f"predicted {predicted:,}, measured {peak:,}"
