import pytest
import torch

from course_utils.adapters import layers, lora


def test_by_hand_on_numbers():
    linear = torch.nn.Linear(2, 2, bias=False)
    linear.weight.data = torch.eye(2)
    layer = lora.LoraLinear(linear, rank=2, alpha=6)
    layer.update["A"].data = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    layer.update["B"].data = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    # x = (1, 1): W x = (1, 1), A x = (3, 0), B A x = (3, −3), times α / r = 3
    assert layer(torch.ones(2)).tolist() == [10.0, -8.0]
    assert layer.delta().tolist() == [[3.0, 6.0], [-3.0, -6.0]]
    assert layer.merged_weight().tolist() == [[4.0, 6.0], [-3.0, -5.0]]


def test_b_of_zero_changes_nothing(base, logits):
    expected = logits(base)
    model = lora.inject(base, rank=4)
    assert torch.equal(logits(model), expected)
    assert all(layer.update["A"].abs().min() > 0 for layer in layers.wrapped(model).values())


def test_an_update_has_the_rank_that_was_asked_for(ours):
    model = ours("lora", {"rank": 3})
    for layer in layers.wrapped(model).values():
        assert torch.linalg.matrix_rank(layer.delta()) == 3


def test_only_a_and_b_get_a_gradient(ours, logits):
    model = ours("lora", {"rank": 2})
    logits(model).sum().backward()
    assert {name.split(".")[-1] for name, weight in model.named_parameters() if weight.grad is not None} == {"A", "B"}


@pytest.mark.parametrize("rank", [0, 17])
def test_a_rank_must_fit(base, rank):
    with pytest.raises(ValueError, match=f"Rank {rank} does not fit .*v_proj, .*Take 1 to 16"):
        lora.inject(base, rank=rank, targets=("v_proj",))
