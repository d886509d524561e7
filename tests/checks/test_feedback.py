"""A checker compares what came as numbers, whatever holds them, and turns a crash into a sentence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.checks import feedback


def test_verdicts_are_one_line_each(capsys):
    assert feedback.passed("right") is True
    assert feedback.failed("wrong") is False
    assert capsys.readouterr().out == "✓ right\n✗ wrong\n"


def test_attempt_gives_the_result():
    assert feedback.attempt(lambda a, b: a + b, 1, 2) == (3, None)
    assert feedback.attempt(lambda: 0) == (0, None)


@pytest.mark.parametrize("nothing", [None, ...])
def test_attempt_knows_the_stub(nothing):
    result, problem = feedback.attempt(lambda: nothing)
    assert result is None and "returns nothing yet" in problem


def test_attempt_turns_a_crash_into_a_sentence():
    assert feedback.attempt(lambda x: x / 0, 1) == (None, "your function raised ZeroDivisionError: division by zero")
    result, problem = feedback.attempt(lambda: 1, "too", "many")
    assert result is None and "raised TypeError" in problem


@pytest.mark.parametrize("hold", [float, torch.tensor, np.float64, lambda x: [x], lambda x: torch.tensor([x])])
def test_a_number_is_close_whatever_holds_it(hold):
    assert feedback.close(hold(2.0), 2.0)
    assert not feedback.close(hold(2.1), 2.0)


@pytest.mark.parametrize("hold", [list, tuple, torch.tensor, np.array])
def test_numbers_are_close_whatever_holds_them(hold):
    assert feedback.close(hold([1.0, 2.0]), [1.0, 2.0])
    assert not feedback.close(hold([1.0, 2.1]), [1.0, 2.0])
    assert not feedback.close(hold([1.0]), [1.0, 2.0])


@pytest.mark.parametrize("came", ["words", {"a": 1}, object(), [[1.0], [2.0]], float("nan"), print, []])
def test_what_is_no_such_number_is_not_close(came):
    assert feedback.close(came, 1.0) is False


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-9, 0.5))
def test_tolerance_is_relative_and_absolute(value, tolerance):
    room = tolerance * max(1, abs(value))
    assert feedback.close(value + 0.9 * room, value, tolerance)
    assert not feedback.close(value + 3 * room, value, tolerance)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456, "0.1235"),
        (3, "3"),
        ("a", "'a'"),
        ([0.5, 1], "[0.5, 1]"),
        ((0.25,), "[0.25]"),
        (torch.tensor([0.5, 0.25]), "[0.5, 0.25]"),
        (torch.tensor(2.0), "2"),
    ],
)
def test_values_are_short_to_read(value, shown):
    assert feedback.short(value) == shown
