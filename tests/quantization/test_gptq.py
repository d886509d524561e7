"""GPTQ against rounding to nearest, in the same format: what counts is the layer's output on real-looking inputs."""

import pytest
import torch

from course_utils.quantization import gptq, integer, layers

NEAREST = {"bits": 4, "granularity": "group", "group": 64, "scale_dtype": torch.float16}


@pytest.fixture
def inputs():
    """(2000, 128) inputs whose dimensions go together, as those of a layer do."""
    generator = torch.Generator().manual_seed(4)
    mix = torch.randn(128, 128, generator=generator) * torch.linspace(0.05, 2, 128)[:, None]
    return torch.randn(2000, 128, generator=generator) @ mix


def output_error(weight, quantized, inputs):
    return ((inputs @ (weight - quantized.dequantize()).t()) ** 2).sum().item()


def test_it_repairs_half_of_what_rounding_breaks(normal_weight, inputs):
    half = len(inputs) // 2
    ours = gptq.quantize(normal_weight, gptq.hessian(inputs[:half]), group=64)
    nearest = integer.quantize(normal_weight, **NEAREST)
    assert ours.nbytes == nearest.nbytes and ours.codes.shape == nearest.codes.shape
    held_out = inputs[half:]
    assert output_error(normal_weight, ours, held_out) < 0.5 * output_error(normal_weight, nearest, held_out)


def test_lazy_batches_are_the_formula_column_by_column(normal_weight, inputs):
    curvature = gptq.hessian(inputs).double()
    work, expected = normal_weight.double().clone(), torch.empty_like(normal_weight)
    curvature += 0.01 * curvature.diagonal().mean() * torch.eye(128)
    factor = torch.linalg.cholesky(torch.linalg.inv(curvature), upper=True)
    for column in range(128):
        if column % 64 == 0:
            scale = work[:, column : column + 64].abs().amax(1) / 7
            scale = scale.half().double()
        expected[:, column] = (work[:, column] / scale).round().clamp(-7, 7) * scale
        error = (work[:, column] - expected[:, column]) / factor[column, column]
        work[:, column + 1 :] -= error[:, None] * factor[column, column + 1 :]
    ours = gptq.quantize(normal_weight, gptq.hessian(inputs), group=64).dequantize()
    assert ((ours - expected).abs() < 1e-6).double().mean() > 0.98  # a rare tie of fp32 falls the other way


def test_independent_inputs_leave_rounding_to_nearest(normal_weight):
    ours = gptq.quantize(normal_weight, torch.eye(128), group=64)
    assert torch.equal(ours.dequantize(), integer.quantize(normal_weight, **NEAREST).dequantize())


def test_inputs_that_are_always_zero_do_no_harm(normal_weight, inputs):
    inputs[:, 5] = 0
    assert torch.isfinite(gptq.quantize(normal_weight, gptq.hessian(inputs), group=64).dequantize()).all()


def test_what_cannot_be_calibrated_is_refused(normal_weight, inputs):
    with pytest.raises(ValueError, match="Expected finite calibration inputs"):
        gptq.hessian(torch.tensor([[float("nan")]]))
    with pytest.raises(ValueError, match="Expected finite calibration inputs"):
        gptq.hessian(torch.zeros(0, 4))
    with pytest.raises(ValueError, match=r"Expected a Hessian \(128, 128\), got \(4, 4\)"):
        gptq.quantize(normal_weight, torch.eye(4))
    with pytest.raises(ValueError, match="A row is 128, which is no multiple of 100"):
        gptq.quantize(normal_weight, torch.eye(128), group=100)
    with pytest.raises(ValueError, match="not positive definite"):
        gptq.quantize(normal_weight, -torch.eye(128), group=64)


def test_watching_adds_up_over_batches(inputs):
    layer = torch.nn.Linear(128, 4)
    with gptq.watched({"a": layer}) as found:
        layer(inputs[:500])
        layer(inputs[500:].view(3, 500, 128))
    assert torch.allclose(found["a"], gptq.hessian(inputs), rtol=1e-4, atol=1e-3)
    layer(inputs)
    assert torch.allclose(found["a"], gptq.hessian(inputs), rtol=1e-4, atol=1e-3)  # watches no longer


def test_a_whole_model_is_quantized_block_by_block_and_left_alone(blocky, token_rows):
    model = blocky()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = gptq.quantize_blocks(model, token_rows, group=64)
    assert len(found) == 14 and all(found[name].shape == model.get_submodule(name).weight.shape for name in found)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert same_as_alone(model, 0, found, token_rows)  # the first block saw the model's own inputs
    assert not same_as_alone(model, 1, found, token_rows)
    with layers.rounded(model, found, names=[name for name in found if ".layers.0." in name]):
        assert same_as_alone(model, 1, found, token_rows)  # the second those behind the rounded first


def same_as_alone(model, number, found, rows):
    """Whether a block's queries were quantized as they would be on the inputs that the model gives them now."""
    name = f"model.layers.{number}.self_attn.q_proj"
    layer = model.get_submodule(name)
    with gptq.watched({"q": layer}) as curvature, torch.no_grad():
        model.base_model(rows)
    return torch.equal(found[name].dequantize(), gptq.quantize(layer.weight, curvature["q"], group=64).dequantize())


@pytest.mark.parametrize(
    ("shape", "group"), [((1, 128), 64), ((96, 1), 1), ((96, 128), 64)], ids=["one output", "one input", "transposed"]
)
def test_the_weight_is_left_alone_whatever_its_layout(shape, group):
    weight = torch.randn(shape[::-1], generator=torch.Generator().manual_seed(0)).t()
    before = weight.clone()
    found = gptq.quantize(weight, torch.eye(shape[1]), group=group)
    assert torch.equal(weight, before)
    expected = integer.quantize(before, **NEAREST | {"group": group})
    assert torch.equal(found.dequantize(), expected.dequantize())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_broken_hessian_is_not_called_too_few_rows(number, normal_weight):
    curvature = torch.eye(128)
    curvature[3, 4] = number
    with pytest.raises(ValueError, match=r"1 of 16384 numbers of the Hessian are NaN or infinite"):
        gptq.quantize(normal_weight, curvature, group=64)
