"""Around linear layers and away again; merged equals unmerged."""

import pytest
import torch
from helpers import two_layer_gemma as small

from course_utils.adapters import ia3, layers, lora
from course_utils.quantization import layers as quantized
from course_utils.quantization import nf4

IN_LAYERS = {"lora": (lora, {"rank": 4, "targets": ("q_proj", "v_proj", "down_proj")}), "ia3": (ia3, {})}


@pytest.mark.parametrize("method", IN_LAYERS)
def test_merged_equals_unmerged_and_remove_restores_the_base(method, ours, logits):
    module, sizes = IN_LAYERS[method]
    model, before = ours(method, sizes), small.build().state_dict()
    expected, plain = logits(model), logits(small.build().eval())
    assert not torch.allclose(expected, plain, atol=1e-2)
    module.merge(model)
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)
    module.merge(model)  # twice is once
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)
    assert module.remove(model) is model
    assert torch.equal(logits(model), plain)
    assert {name: weight.tolist() for name, weight in model.state_dict().items()} == {
        name: weight.tolist() for name, weight in before.items()
    }


@pytest.mark.parametrize("method", IN_LAYERS)
def test_unmerged_in_bfloat16_remove_restores_every_bit(method):
    module, sizes = IN_LAYERS[method]
    before = small.build(torch.bfloat16).state_dict()
    model = module.inject(small.build(torch.bfloat16), **sizes)
    module.remove(model)
    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)


def test_only_the_chosen_layers_are_wrapped(base):
    lora.inject(base, targets=("v_proj",))
    assert list(layers.wrapped(base)) == [f"model.layers.{n}.self_attn.v_proj" for n in (0, 1)]
    with pytest.raises(ValueError, match="already has an adapter"):
        lora.inject(base)


def test_no_layer_chosen_is_refused(base):
    with pytest.raises(ValueError, match="none given"):
        lora.inject(base, targets=())


@pytest.mark.parametrize("method", IN_LAYERS)
def test_merging_around_codes_is_refused_before_anything_is_merged_and_right_after_to_linear(method, logits):
    module, sizes = IN_LAYERS[method]
    model = small.build().eval()
    name = "model.layers.1.self_attn.v_proj"
    model.set_submodule(name, quantized.FrozenLinear(nf4.quantize(model.get_submodule(name).weight)))
    model = small.shaken(module.inject(model, **sizes))
    expected = logits(model)
    with pytest.raises(ValueError, match=rf"around {name} cannot be merged: .* a FrozenLinear, .*Nothing was merged"):
        module.merge(model)
    assert torch.equal(logits(model), expected) and all(w.original is None for w in layers.wrapped(model).values())
    module.merge(quantized.to_linear(model))
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)
