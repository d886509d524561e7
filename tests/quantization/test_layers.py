"""Frozen layers compute what their decoded weights would, forwards and backwards, and leave a model as it was."""

import functools

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model

from course_utils.models.fused_forward import LoraLinear, fast_blocks
from course_utils.quantization import gptq, integer, layers, nf4

IA3 = {"target_modules": ["k_proj"], "feedforward_modules": []}
INT4 = functools.partial(integer.quantize, bits=4, granularity="group", group=32)
each_format = pytest.mark.parametrize("quantize", [nf4.quantize, INT4, integer.quantize])


def with_lora(model, config):
    return get_peft_model(model, layers.refuse_merging(config))


def hidden(model, rows):
    return model.base_model(rows, use_cache=False).last_hidden_state


def dequantized(model):
    """The same model with plain layers of the decoded weights."""
    for layer in layers.linear_layers(model).values():
        layer.weight.data = nf4.quantize(layer.weight.data).dequantize()
    return model


def adapted(model, wrap, **lora):
    """A peft model whose adapters do something, in training mode."""
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", **lora)
    torch.manual_seed(3)
    model = wrap(model, config)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model.train()


def gradients(model, rows):
    model.zero_grad()
    states = hidden(model.get_base_model(), rows)
    (states * torch.randn(states.shape, generator=torch.Generator().manual_seed(5))).sum().backward()
    return {name.replace("base_layer.", ""): w.grad for name, w in model.named_parameters() if w.requires_grad}


@each_format
def test_a_swapped_model_computes_with_the_decoded_weights(quantize, blocky, token_rows):
    model = blocky()
    with layers.rounded(model, quantize) as bits:
        expected = hidden(model, token_rows)
    replaced = layers.swap(model, quantize)
    assert torch.allclose(hidden(model, token_rows), expected, atol=1e-5)
    assert len(replaced) == 14 and 4 < bits < 9


@pytest.mark.parametrize("head", [False, True])
def test_after_the_context_the_model_is_bit_for_bit_as_before(head, blocky, token_rows):
    model = blocky()
    before = hidden(model, token_rows)
    with layers.rounded(model, nf4.quantize, head=head):
        assert not torch.equal(hidden(model, token_rows), before)
    assert torch.equal(hidden(model, token_rows), before)
    with pytest.raises(KeyError), layers.rounded(model, nf4.quantize, head=head):
        raise KeyError
    assert torch.equal(hidden(model, token_rows), before)


def test_a_tied_embedding_is_rounded_with_the_head(blocky):
    model = blocky()
    before = model.get_input_embeddings().weight.clone()
    with layers.rounded(model, nf4.quantize):
        assert torch.equal(model.get_input_embeddings().weight, before)
    with layers.rounded(model, nf4.quantize, head=True):
        assert torch.equal(model.get_input_embeddings().weight, nf4.quantize(before).dequantize())


def test_bytes_are_counted_once_and_with_scales(blocky):
    model = blocky(torch.bfloat16)
    assert layers.model_bytes(model) >= 2 * sum(w.numel() for w in model.parameters())
    before = layers.model_bytes(model)
    count = sum(layer.weight.numel() for layer in layers.linear_layers(model).values())
    layers.swap(model, nf4.quantize)
    table = 14 * 16 * 4  # each layer's table of 16 numbers, which bits a weight leave out
    assert before - layers.model_bytes(model) == count * (16 - 4.5) / 8 - table


def test_only_named_layers_are_taken_and_codes_may_come_from_gptq(blocky, token_rows):
    model = blocky()
    found = gptq.quantize_blocks(model, token_rows, group=64)
    name, other = "model.layers.1.mlp.up_proj", "model.layers.1.mlp.down_proj"
    before = model.get_submodule(other).weight.clone()
    with layers.rounded(model, found, names=[name]):
        assert torch.equal(model.get_submodule(name).weight, found[name].dequantize())
        assert torch.equal(model.get_submodule(other).weight, before)


def test_a_model_is_not_quantized_twice(blocky):
    model = blocky()
    layers.swap(model, nf4.quantize)
    with pytest.raises(ValueError, match=r"no torch\.nn\.Linear layer left"):
        layers.swap(model, nf4.quantize)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_of_the_input_is_that_of_the_decoded_weight(dtype, normal_weight):
    quantized = nf4.quantize(normal_weight.to(dtype))
    frozen, plain = layers.FrozenLinear(quantized), torch.nn.Linear(128, 96, bias=False)
    plain.weight = torch.nn.Parameter(quantized.dequantize(), requires_grad=False)
    x = torch.randn(2, 5, 128, dtype=dtype, requires_grad=True)
    mine, theirs = (torch.autograd.grad(layer(x).square().sum(), x)[0] for layer in (frozen, plain))
    assert torch.allclose(mine, theirs, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5)


def test_gradients_agree_numerically(normal_weight):
    frozen = layers.FrozenLinear(nf4.quantize(normal_weight[:8, :32].double()))
    x, down, up = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((3, 32), (2, 32), (8, 2)))
    assert torch.autograd.gradcheck(frozen, (x,))
    assert torch.autograd.gradcheck(lambda *given: LoraLinear.apply(given[0], frozen, *given[1:], 2.0), (x, down, up))


@pytest.mark.parametrize("fast", [False, True])
def test_every_adapter_gets_the_gradient_of_a_dequantized_reference(fast, blocky, token_rows):
    reference = gradients(adapted(dequantized(blocky()), get_peft_model), token_rows)
    model = blocky()
    layers.swap(model, nf4.quantize)
    model = adapted(model, with_lora)
    if fast:
        with fast_blocks(model):
            ours = gradients(model, token_rows)
    else:
        ours = gradients(model, token_rows)
    assert len(ours) == len(reference) == 28
    for name, expected in reference.items():
        assert (ours[name] - expected).norm() < 1e-4 * expected.norm(), name


def test_gradients_are_the_same_after_a_forward_pass_in_eval_mode(blocky, token_rows):
    model = blocky()
    layers.swap(model, nf4.quantize)
    model = adapted(model, with_lora)
    before = gradients(model, token_rows)
    with torch.inference_mode():
        hidden(model.eval().get_base_model(), token_rows)
    after = gradients(model.train(), token_rows)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_nothing_decoded_is_kept_between_the_passes(normal_weight, blocky, token_rows):
    x, kept = torch.randn(3, 128, requires_grad=True), []
    watch = torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(tuple(t.shape)) or t, lambda t: t)
    with watch:
        layers.FrozenLinear(nf4.quantize(normal_weight))(x)
        assert kept == []
        torch.nn.functional.linear(x, normal_weight.clone().requires_grad_())
        assert (96, 128) in kept or (128, 96) in kept  # which the plain layer does
    model = blocky()
    layers.swap(model, nf4.quantize)
    model = adapted(model, with_lora)
    kept.clear()
    with watch, fast_blocks(model):
        hidden(model.get_base_model(), token_rows)
    assert kept and (128, 64) not in kept and (64, 128) not in kept  # of the MLP and of the queries


def test_under_autocast_the_products_are_in_its_dtype(normal_weight):
    layer, x = layers.FrozenLinear(nf4.quantize(normal_weight)), torch.randn(3, 128, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    assert torch.autograd.grad(y.float().sum(), x)[0].dtype == torch.float32


def test_dropout_and_switched_off_adapters_take_pefts_way(blocky, token_rows):
    model = blocky()
    layers.swap(model, nf4.quantize)
    expected = hidden(model, token_rows)
    model = adapted(model, with_lora, lora_dropout=0.5)
    first, second = (hidden(model.get_base_model(), token_rows) for _ in range(2))
    assert not torch.equal(first, second)
    with model.disable_adapter():
        assert torch.allclose(hidden(model.get_base_model(), token_rows), expected, atol=1e-5)


def test_merging_into_codes_is_refused_and_merging_after_to_linear_is_exact(blocky, token_rows):
    model = blocky()
    layers.swap(model, nf4.quantize)
    model = adapted(model, with_lora).eval()
    expected = model(token_rows).logits
    with pytest.raises(ValueError, match=r"layers\.to_linear"):
        model.merge_and_unload()
    merged = layers.to_linear(model).merge_and_unload()
    assert torch.allclose(merged(token_rows).logits, expected, atol=1e-4)
    assert {type(m) for m in layers.linear_layers(merged).values()} == {torch.nn.Linear}


@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("config", [LoraConfig(target_modules=["q_proj"]), IA3Config(**IA3)], ids=["lora", "ia3"])
def test_pefts_own_merge_into_codes_is_refused_whatever_the_config(config, safe, blocky):
    model = blocky()
    layers.swap(model, nf4.quantize)
    with pytest.raises(ValueError, match=r"cannot be merged into quantized codes.*layers\.to_linear"):
        get_peft_model(model, config).merge_adapter(safe_merge=safe)


def test_a_decoded_weight_is_read_like_any_other_and_cannot_be_set(normal_weight):
    layer, expected = layers.FrozenLinear(nf4.quantize(normal_weight)), nf4.quantize(normal_weight).dequantize()
    assert torch.equal(layer.weight, expected) and torch.equal(layer.weight.data, expected)
    assert type(layer.weight + 1) is torch.Tensor
    with pytest.raises(ValueError, match="change to the decoded copy would be lost"):
        layer.weight.data += 1
