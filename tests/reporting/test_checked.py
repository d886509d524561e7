"""Arguments of the reporting functions: what is taken, and what each refusal says. More in tests/test_bad_inputs.py."""

import numpy as np
import pytest
import torch

from course_utils.evaluation.comparison import Estimate
from course_utils.reporting import checked


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), torch.tensor(0.5)])
def test_a_number_is_pythons_own_whatever_held_it(value):
    assert checked.finite(value, "It") == 0.5 and type(checked.finite(value, "It")) is float
    assert type(checked.finite(np.int64(3), "It")) is int


@pytest.mark.parametrize(
    ("value", "slip"), [(True, "Write 1 or 0"), (None, "Was the cell"), ((0, 8), "0,8 is two numbers")]
)
def test_the_slip_is_named(value, slip):
    with pytest.raises(ValueError, match=slip):
        checked.finite(value, "It")


def test_texts_ends_and_estimates():
    assert checked.text("a", "It") == "a" and checked.text("", "It", blank=True) == ""
    assert checked.ends([0, 1.5], "It") == (0, 1.5)
    found = Estimate(0.5, 0.4, 0.6, 1, 9)
    assert checked.estimate(found, "it") is found
    with pytest.raises(ValueError, match="expected an Estimate"):
        checked.estimate(torch.ones(2), "it")  # it has a mean, as a method


@pytest.mark.parametrize("mean", [0.21, 0.5, 0.79])
def test_a_mean_may_lie_outside_by_the_intervals_width(mean):
    assert checked.interval((0.4, 0.6), mean, "It") == (0.4, 0.6)


@pytest.mark.parametrize("mean", [0.19, 0.81])
def test_a_mean_farther_away_is_of_another_quantity(mean):
    with pytest.raises(ValueError, match="far from the mean"):
        checked.interval((0.4, 0.6), mean, "It")
