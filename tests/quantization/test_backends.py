"""Every back end keeps the same model in fewer bytes; silent re-packing is guarded."""

import pytest
import torch

from course_utils.quantization import backends, layers

QUANTIZED = [name for name in backends.BACKENDS if name not in ("bf16", "fp32")]


@pytest.mark.parametrize("name", QUANTIZED)
def test_fewer_bits_are_fewer_bytes(name, blocky, one_thread):
    backend = backends.BACKENDS[name]
    model = blocky(backend.dtype)
    plain, count = backends.stored_bytes(model), sum(m.weight.numel() for m in layers.linear_layers(model).values())
    converted = backends.stored_bytes(backend.convert(model))
    saved = 8 * (plain - converted) / count  # bits a weight
    wide = backend.dtype.itemsize * 8
    bits = {"bitsandbytes NF4": 4.13}.get(name, 8.5)  # torchao keeps int4 in a byte each
    assert saved == pytest.approx(wide - bits, abs=0.75)


def test_bytes_of_a_plain_model_count_a_tied_head_once(blocky):
    model = blocky()
    assert backends.stored_bytes(model) == layers.model_bytes(model)


class Packing:
    """What bitsandbytes does to a 4-bit layer on a CPU with bf16 at the first forward pass in eval mode."""

    def __init__(self):
        self.packing_format_for_cpu = False


def four_bit(packed=False):
    """A module that looks like bitsandbytes' 4-bit layer, so that the guard is tested on every machine."""
    layer = torch.nn.Linear(2, 2)
    layer.support_avx512bf16_for_cpu = True
    layer.weight.quant_state = Packing()
    layer.weight.quant_state.packing_format_for_cpu = packed
    return torch.nn.Sequential(layer)


def test_repacked_layers_are_refused():
    with pytest.raises(ValueError, match=r"1 bitsandbytes layers were re-packed.*backends\.trainable"):
        backends.check_trainable(four_bit(packed=True))
    with pytest.raises(ValueError, match="re-packed"), backends.trainable(four_bit(packed=True)):
        pass
    backends.check_trainable(four_bit())
    backends.check_trainable(torch.nn.Linear(2, 2))


def test_inside_the_guard_nothing_is_repacked_and_after_it_all_is_as_before():
    model = four_bit()
    with pytest.raises(KeyError), backends.trainable(model):
        assert model[0].support_avx512bf16_for_cpu is False
        raise KeyError
    assert model[0].support_avx512bf16_for_cpu is True


def adapter_gradients(model, rows):
    model.zero_grad()
    states = model.get_base_model().base_model(rows, use_cache=False).last_hidden_state
    (states * torch.randn(states.shape, generator=torch.Generator().manual_seed(5))).sum().backward()
    return {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("make", [backends.bitsandbytes_nf4, backends.bitsandbytes_int8])
def test_a_bias_goes_along_and_is_its_own(make, one_thread):
    pytest.importorskip("bitsandbytes", reason="the test extra installs bitsandbytes")
    layer = torch.nn.Linear(64, 32).eval()
    made, before = make(layer).to("cpu"), layer.bias.detach().clone()
    assert torch.allclose(made(torch.zeros(2, 64)), before.expand(2, 32), atol=1e-2)
    assert not made.bias.requires_grad and torch.equal(layer.bias, before) and layer.bias.dtype == torch.float32
    assert make(torch.nn.Linear(64, 32, bias=False)).bias is None


@pytest.mark.parametrize("there", [True, False])
def test_only_a_cpu_with_the_instructions_repacks(there):
    model = four_bit()
    model[0].support_avx512bf16_for_cpu = there
    assert backends.repacks(model) is there and not backends.repacks(torch.nn.Linear(2, 2))
    assert not backends.repacks(model.to("meta")), "another device never does"


@pytest.mark.parametrize("guarded", [True, False])
def test_bitsandbytes_gradients_after_eval_are_a_dequantized_references(guarded, blocky, token_rows, one_thread):
    bnb = pytest.importorskip("bitsandbytes", reason="the test extra installs bitsandbytes")
    from peft import LoraConfig, get_peft_model

    def adapted(model):
        torch.manual_seed(0)
        model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
        return model.eval()  # the slip: nobody calls train()

    model = blocky()
    reference = blocky()
    backends.BACKENDS["bitsandbytes NF4"].convert(model)
    for name, layer in layers.linear_layers(reference).items():
        layer.weight.data = backends.decoded(model.get_submodule(name))
    expected = adapter_gradients(adapted(reference), token_rows)
    model = adapted(model)
    if not guarded:
        if not bnb.functional.has_avx512bf16():
            pytest.skip("bitsandbytes re-packs on CPUs with AVX512-BF16 alone, and this one has none")
        assert backends.repacks(model)
        with torch.no_grad():
            model.get_base_model().base_model(token_rows)
        with pytest.raises(ValueError, match="re-packed"):
            backends.check_trainable(model)
        ours = adapter_gradients(model, token_rows)
        assert any((ours[name] - gradient).norm() > 0.5 * gradient.norm() for name, gradient in expected.items())
        return
    with backends.trainable(model):
        with torch.no_grad():
            model.get_base_model().base_model(token_rows)
        backends.check_trainable(model)
        ours = adapter_gradients(model, token_rows)
    assert len(ours) == 28
    for name, gradient in expected.items():
        assert (ours[name] - gradient).norm() <= 2e-2 * gradient.norm(), name
