"""Means count what the mask counts and nothing else; whitening leaves mean 0 and variance 1."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import tensors

NUMBERS = st.lists(st.tuples(st.floats(-100, 100), st.booleans()), min_size=1, max_size=30)


def split(pairs):
    values = torch.tensor([value for value, _ in pairs], dtype=torch.float64)
    return values, torch.tensor([counts for _, counts in pairs])


def test_mean_by_hand():
    values, mask = torch.tensor([[1.0, 2.0], [3.0, 100.0]]), torch.tensor([[True, True], [True, False]])
    assert tensors.masked_mean(values, mask).item() == 2.0


@settings(deadline=None, max_examples=50)
@given(NUMBERS)
def test_mean_is_that_of_the_counted_values(pairs):
    counted = [value for value, counts in pairs if counts]
    values, mask = split(pairs)
    if not counted:
        with pytest.raises(ValueError, match="counts no token"):
            tensors.masked_mean(values, mask)
        return
    assert tensors.masked_mean(values, mask).item() == pytest.approx(math.fsum(counted) / len(counted), abs=1e-9)


def test_nothing_outside_the_mask_reaches_the_mean_or_its_gradient():
    values = torch.tensor([1.0, math.nan, 3.0], requires_grad=True)
    mean = tensors.masked_mean(values, torch.tensor([True, False, True]))
    mean.backward()
    assert mean.item() == 2.0
    assert values.grad.tolist() == [0.5, 0.0, 0.5]


def test_whitening_by_hand():
    values, mask = torch.tensor([1.0, 3.0, 50.0]), torch.tensor([True, True, False])
    assert tensors.whiten(values, mask).tolist() == pytest.approx([-1.0, 1.0, 0.0])


@settings(deadline=None, max_examples=50)
@given(NUMBERS.filter(lambda pairs: len({round(v, 1) for v, counts in pairs if counts}) > 1), st.floats(0.5, 20))
def test_whitened_values_have_mean_0_and_variance_1_at_any_scale(pairs, scale):
    values, mask = split(pairs)
    white = tensors.whiten(values, mask)
    assert white[mask].mean().item() == pytest.approx(0, abs=1e-6)
    assert white[mask].var(unbiased=False).item() == pytest.approx(1, abs=1e-5)
    assert (white[~mask] == 0).all()
    assert torch.allclose(tensors.whiten(values * scale + 7, mask), white, atol=1e-5)


def test_equal_values_whiten_to_zero():
    assert tensors.whiten(torch.full((3,), 5.0), torch.ones(3, dtype=torch.bool)).tolist() == [0, 0, 0]


def test_shapes_are_named_with_their_tensors():
    tensors.check_same_shape(a=torch.zeros(2, 3), b=torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"logprobs \(2, 3\), mask \(2, 2\)") as error:
        tensors.check_same_shape(logprobs=torch.zeros(2, 3), mask=torch.zeros(2, 2))
    assert "shifted by a token" in str(error.value)


def test_a_mask_of_other_shape_or_type_is_refused():
    with pytest.raises(ValueError, match="one shape"):
        tensors.masked_mean(torch.zeros(3), torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"torch.float32.*mask\.bool\(\)"):
        tensors.masked_mean(torch.zeros(3), torch.ones(3))


def test_a_batch_is_moved_whole_and_what_is_there_already_stays_itself():
    batch = {"input_ids": torch.ones(2, 3, dtype=torch.int64), "mask": torch.ones(2, 3, dtype=torch.bool)}
    there = tensors.moved(batch, torch.device("meta"))
    assert {name: tensor.device.type for name, tensor in there.items()} == {"input_ids": "meta", "mask": "meta"}
    assert all(tensor is batch[name] for name, tensor in tensors.moved(batch, "cpu").items())
