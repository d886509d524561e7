"""The fused forward methods against the stock modules: same loss, same gradients, and gone afterwards."""

import pytest
import torch
from helpers import two_layer_gemma as small
from helpers.two_layer_gemma import shaken
from torch.nn import functional as F

from course_utils.adapters import library
from course_utils.models import fused_forward, packing
from course_utils.models.logprobs import linear_cross_entropy, next_token_targets


def loss_and_gradients(model, batch):
    ids, real, answer = batch
    model.zero_grad()
    hidden = packing.packed_hidden(model, ids, real)
    targets = next_token_targets(ids, answer)[real]
    loss = linear_cross_entropy(hidden, model.get_output_embeddings().weight, targets, chunk_size=5)
    loss.backward()
    return loss.item(), {n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None}


def relative(actual, expected):
    return ((actual.double() - expected.double()).norm() / expected.double().norm()).item()


def replaced(model):
    return {type(module).__name__ for module in model.modules() if "forward" in vars(module)}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)], ids=str)
def test_loss_and_gradients_equal_the_stock_modules(small_gemma, padded_batch, dtype, tolerance):
    model = small_gemma(dtype)
    loss, expected = loss_and_gradients(model, padded_batch)
    with fused_forward.fast_blocks(model):
        assert replaced(model) == {"Linear", "Gemma3RMSNorm", "Gemma3MLP"}
        fast_loss, actual = loss_and_gradients(model, padded_batch)
    assert fast_loss == pytest.approx(loss, rel=tolerance)
    assert actual.keys() == expected.keys() and len(expected) == 2 * 7 * 2
    for name, gradient in expected.items():
        assert actual[name].dtype == gradient.dtype == torch.float32
        assert relative(actual[name], gradient) <= tolerance, name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)], ids=str)
def test_ia3_equals_the_stock_modules(padded_batch, dtype, tolerance):
    model = shaken(library.attach(small.build(dtype), "ia3"))
    loss, expected = loss_and_gradients(model, padded_batch)
    with fused_forward.fast_blocks(model):
        assert replaced(model) == {"Linear", "Gemma3RMSNorm", "Gemma3MLP"}
        fast_loss, actual = loss_and_gradients(model, padded_batch)
    assert fast_loss == pytest.approx(loss, rel=tolerance)
    assert actual.keys() == expected.keys() and len(expected) == 3 * 2
    assert all(relative(actual[name], expected[name]) <= tolerance for name in expected)


def test_bfloat16_is_as_close_to_the_truth_as_the_stock_modules(small_gemma, padded_batch):
    _, truth = loss_and_gradients(small_gemma(torch.bfloat16).float(), padded_batch)
    model = small_gemma(torch.bfloat16)
    _, stock = loss_and_gradients(model, padded_batch)
    with fused_forward.fast_blocks(model):
        _, quick = loss_and_gradients(model, padded_batch)
    errors = [[relative(found[name], truth[name]) for name in truth] for found in (stock, quick)]
    assert sum(errors[1]) <= 1.2 * sum(errors[0])


def test_ten_steps_of_training_stay_together(small_gemma, padded_batch):
    curves = []
    for quick in (False, True):
        model, losses = small_gemma(), []
        optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-3)
        with fused_forward.fast_blocks(model) if quick else torch.enable_grad():
            for _ in range(10):
                losses.append(loss_and_gradients(model, padded_batch)[0])
                optimizer.step()
        curves.append(losses)
    assert curves[0][-1] < curves[0][0] - 0.1
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)


def test_the_model_is_as_before_even_after_an_error(small_gemma):
    model = small_gemma()
    with pytest.raises(KeyError), fused_forward.fast_blocks(model):
        assert replaced(model)
        raise KeyError
    assert not replaced(model)


def test_switching_the_adapter_off_still_works(small_gemma, padded_batch):
    ids, real, _ = padded_batch
    model = small_gemma().eval()
    with model.disable_adapter():
        expected = packing.packed_hidden(model, ids, real)
    with fused_forward.fast_blocks(model), model.disable_adapter():
        torch.testing.assert_close(packing.packed_hidden(model, ids, real), expected, rtol=1e-5, atol=1e-5)
    model.merge_adapter()
    merged = packing.packed_hidden(model, ids, real)
    with fused_forward.fast_blocks(model):
        torch.testing.assert_close(packing.packed_hidden(model, ids, real), merged, rtol=1e-5, atol=1e-5)


def unsupported(model):
    return [module for module in model.modules() if hasattr(module, "lora_dropout")]


@pytest.mark.parametrize("lora", [{"lora_dropout": 0.5}, {"use_dora": True}, {"lora_bias": True}], ids=str)
def test_what_is_not_covered_takes_the_original_method(small_gemma, padded_batch, lora, monkeypatch):
    monkeypatch.setattr(
        fused_forward.LoraLinear, "apply", lambda *args: pytest.fail("used for an adapter it does not cover")
    )
    model = small_gemma(**lora)
    torch.manual_seed(3)
    loss, expected = loss_and_gradients(model, padded_batch)
    torch.manual_seed(3)
    with fused_forward.fast_blocks(model):
        fast_loss, actual = loss_and_gradients(model, padded_batch)
    assert fast_loss == pytest.approx(loss, rel=1e-5)
    assert all(relative(actual[name], expected[name]) <= 1e-4 for name in expected)


def test_full_tuning_and_autocast_take_the_original_method(small_gemma, padded_batch, monkeypatch):
    for function in (fused_forward.LoraLinear, fused_forward.ScaledRMSNorm):
        monkeypatch.setattr(function, "apply", lambda *args: pytest.fail("used where it is not covered"))
    tuned = small_gemma(adapter=False)
    _, expected = loss_and_gradients(tuned, padded_batch)
    with fused_forward.fast_blocks(tuned):
        _, actual = loss_and_gradients(tuned, padded_batch)
    assert all(relative(actual[name], expected[name]) <= 1e-5 for name in expected)
    adapted = small_gemma()
    with fused_forward.fast_blocks(adapted), torch.autocast("cpu", torch.bfloat16):
        loss_and_gradients(adapted, padded_batch)


def test_gradcheck_in_double():
    def tensor(*shape, grad=True):
        generator = torch.Generator().manual_seed(sum(shape))
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_(grad)

    frozen = torch.nn.Linear(3, 5, dtype=torch.float64).requires_grad_(False)
    adapter = tensor(2, 4, 3), tensor(2, 3), tensor(5, 2)
    check = torch.autograd.gradcheck
    assert check(lambda x, down, up: fused_forward.LoraLinear.apply(x, frozen, down, up, 1.7), adapter)
    assert check(fused_forward.Rescale.apply, (tensor(2, 4, 3), tensor(3)))
    assert check(lambda x: fused_forward.ScaledRMSNorm.apply(x, frozen.bias.abs(), 1e-6), (tensor(2, 3, 5),))
    assert check(fused_forward.GatedGelu.apply, (tensor(2, 4), tensor(4, 2).T))


def test_the_norm_equals_transformers_formula():
    x, weight = torch.randn(7, 12) * 3, torch.randn(12) * 0.2
    expected = F.rms_norm(x, (12,), 1 + weight, 1e-6)
    torch.testing.assert_close(fused_forward.ScaledRMSNorm.apply(x, 1 + weight, 1e-6), expected)


def test_inside_itself_it_changes_nothing_and_leaves_the_outer_one_in_place(small_gemma, padded_batch):
    model = small_gemma()
    with fused_forward.fast_blocks(model):
        outer = {name: part.forward for name, part in model.named_modules() if "forward" in vars(part)}
        with fused_forward.fast_blocks(model):
            loss_and_gradients(model, padded_batch)
        assert outer == {name: part.forward for name, part in model.named_modules() if "forward" in vars(part)}
    assert not any("forward" in vars(part) for part in model.modules())
