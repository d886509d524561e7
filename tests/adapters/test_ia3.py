import pytest
import torch

from course_utils.adapters import ia3, layers


def rescaled(on_input):
    linear = torch.nn.Linear(2, 2, bias=False)
    linear.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    layer = ia3.RescaledLinear(linear, on_input)
    layer.rescale.data = torch.tensor([2.0, 10.0])
    return layer


def test_by_hand_on_numbers():
    # W (1, 1) = (3, 7)
    assert rescaled(on_input=False)(torch.ones(2)).tolist() == [6.0, 70.0]
    # W (2, 10) = (22, 46)
    assert rescaled(on_input=True)(torch.ones(2)).tolist() == [22.0, 46.0]
    assert rescaled(on_input=False).merged_weight().tolist() == [[2.0, 4.0], [30.0, 40.0]]
    assert rescaled(on_input=True).merged_weight().tolist() == [[2.0, 20.0], [6.0, 40.0]]


def test_rescaling_by_ones_changes_nothing(base, logits):
    expected = logits(base)
    assert torch.equal(logits(ia3.inject(base)), expected)


def test_the_mlp_is_rescaled_before_its_matrix_the_rest_behind(base):
    found = {name.rpartition(".")[2]: layer.on_input for name, layer in layers.wrapped(ia3.inject(base)).items()}
    assert found == {"k_proj": False, "v_proj": False, "down_proj": True}


NORMS = {"k_proj": "k_norm", "v_proj": "post_attention_layernorm", "down_proj": "post_feedforward_layernorm"}


def turned(model, kind, factor, epsilon=1.0):
    """The model, in place, with all factors of one kind larger, and the ε of the norms behind them."""
    for name, layer in layers.wrapped(model).items():
        layer.rescale.data *= factor if name.endswith(kind) else 1
    for name, norm in model.named_modules():
        if name.endswith(NORMS[kind]):
            norm.eps *= epsilon
    return model


@pytest.mark.parametrize("kind", NORMS)
def test_a_common_factor_is_a_smaller_epsilon_of_gemmas_norm_and_nothing_else(ours, logits, kind):
    model = ours("ia3", {})
    expected = logits(model)
    torch.testing.assert_close(logits(turned(model, kind, 5, 25)), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits(turned(model, kind, 1 / 5, 1 / 25)), expected, rtol=1e-4, atol=1e-4)


def test_where_a_vector_is_nearly_zero_the_length_counts_as_well(ours, logits):
    for size, felt in ((1, False), (1e-3, True)):
        model = turned(ours("ia3", {}), "down_proj", size)
        expected = logits(model)
        moved = (logits(turned(model, "down_proj", 5)) - expected).abs().max().item()
        assert (moved > 0.1) == felt, f"at {size} of its size a fivefold MLP moves the logits by {moved}"


def test_a_layer_with_a_bias_is_refused():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="0 has a bias"):
        ia3.inject(model, targets=("0",))
