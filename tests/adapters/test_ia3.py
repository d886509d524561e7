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


def test_gemmas_norm_on_keys_leaves_only_the_direction(ours, logits):
    model = ours("ia3", {"targets": ("k_proj",), "on_input": ()})
    expected = logits(model)
    for layer in layers.wrapped(model).values():
        layer.rescale.data *= 5
    torch.testing.assert_close(logits(model), expected, rtol=1e-3, atol=1e-3)


def test_a_layer_with_a_bias_is_refused():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="0 has a bias"):
        ia3.inject(model, targets=("0",))
