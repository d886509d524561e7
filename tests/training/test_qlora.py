"""QLoRA and LoRA differ in the frozen weights alone; the start from the error repairs; training goes down."""

import pytest
import torch

from course_utils.engine import loop, stages
from course_utils.engine.recipe import TrainingRecipe
from course_utils.quantization import layers
from course_utils.training import qlora

ROWS = [{"text": f"{word} film", "ratings": [rating] * 3} for word, rating in (("great", 3), ("bad", -3)) * 4]
RECIPE = TrainingRecipe(steps=4, batch_size=4, learning_rate=1e-2, warmup_steps=1, schedule="constant")


def adapters(model):
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def test_both_draw_the_same_start_on_every_linear_layer(blocky):
    found = []
    for quantized in (False, True):
        torch.manual_seed(1)
        found.append(adapters(qlora.adapted(blocky(), rank=4, quantized=quantized)))
    plain, rounded = found
    assert len(plain) == 28 and plain.keys() == rounded.keys()
    assert all(torch.equal(plain[name], rounded[name]) for name in plain)


def test_frozen_layers_are_rounded_only_when_asked(blocky):
    for quantized in (False, True):
        model = qlora.adapted(blocky(), rank=4, quantized=quantized)
        assert sum(isinstance(module, layers.FrozenLinear) for module in model.modules()) == 14 * quantized


def test_the_start_from_the_error_is_closer_to_the_exact_model(blocky, token_ids):
    exact = blocky()(token_ids).logits
    away = {}
    for start in qlora.STARTS:
        model = qlora.adapted(blocky(), rank=16, quantized=True, start=start)
        away[start] = (model(token_ids).logits - exact).norm().item()
    assert away["error"] < 0.9 * away["zero"]


@pytest.fixture
def token_ids():
    return torch.randint(4, 320, (3, 20), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("wrong", [{"start": "random"}, {"start": "error", "quantized": False}])
def test_impossible_starts_are_refused(wrong, blocky):
    with pytest.raises(ValueError, match="Expected a start of"):
        qlora.adapted(blocky(), **({"rank": 4, "quantized": True} | wrong))


def test_it_learns_on_rounded_weights(tiny_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    job = qlora.job(ROWS, RECIPE, rank=4, quantized=True)
    module = stages.seeded(job.build, RECIPE.seed)
    frozen = [layer for layer in module.modules() if isinstance(layer, layers.FrozenLinear)]
    codes = [layer.quantized.codes.clone() for layer in frozen]
    result = loop.train(module, job.rows, job.collate, RECIPE, tmp_path / "run", progress=False)
    assert result.losses[-1] < result.losses[0]
    assert len(codes) == 14 and all(torch.equal(c, f.quantized.codes) for c, f in zip(codes, frozen, strict=True))


def test_a_batch_goes_to_its_device(token_ids):
    batch = qlora.batch_of(token_ids, "meta")
    assert {values.device.type for values in batch.values()} == {"meta"} and batch["input_ids"].shape == (3, 20)
    assert torch.equal(qlora.batch_of(token_ids)["input_ids"], token_ids)


def test_gradients_equal_those_of_a_model_with_the_decoded_weights(blocky, token_ids):
    batch = qlora.batch_of(token_ids)
    reference = blocky()
    for layer in layers.linear_layers(reference).values():
        layer.weight.data = qlora.quantize(layer.weight.data).dequantize()
    expected = qlora.gradients(qlora.adapted(reference, rank=4, quantized=False), batch)
    ours = qlora.gradients(qlora.adapted(blocky(), rank=4, quantized=True), batch)
    assert len(ours) == 28 and ours.keys() == expected.keys()
    for name, gradient in expected.items():
        assert gradient.norm() > 0 and (ours[name] - gradient).norm() < 1e-4 * gradient.norm(), name
