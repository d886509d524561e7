"""What a plot takes. What it refuses stands in tests/test_bad_inputs.py."""

import torch

from course_utils.evaluation.comparison import Estimate
from course_utils.reporting import plot_checks

GOOD = Estimate(0.5, 0.4, 0.7, 1, 20)


def test_probabilities_are_floats_within_their_bounds():
    assert plot_checks.probabilities([("a", torch.tensor(0.5)), (" ", 1 + 1e-7)]) == [("a", 0.5), (" ", 1.0)]
    assert plot_checks.probabilities(zip(["a"], [0], strict=True)) == [("a", 0.0)]


def test_good_parts_pass_without_a_word():
    plot_checks.axes((9, 4.6), None, title="t", xlabel="", ylabel="")
    assert plot_checks.bars({"a": GOOD, "b": GOOD}, {"a": 1}, 0.5) == ["a", "b"]
    plot_checks.curve(["a", "b"], {"a": ("#1f5fa8", [GOOD, GOOD])}, [("chance", "#222222", 0.5)], (0, 1))
