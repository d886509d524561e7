"""Measured numbers carry the mark and as many digits as they are sure of; the tests leave out these numbers alone."""

import re
from pathlib import Path

import pytest
from IPython.core.formatters import DisplayFormatter
from nbval.plugin import get_sanitize_patterns

from course_utils.evaluation.comparison import Estimate
from course_utils.reporting import numbers

SANITIZE = Path(__file__).parents[1] / "nbval_sanitize.cfg"


@pytest.mark.parametrize(
    ("value", "options", "shown"),
    [
        (0.9412, {}, "≈0.941"),
        (0.9412, {"spread": 0.04}, "≈0.941"),
        (0.9412, {"spread": 0.4}, "≈0.94"),
        (0.1, {"digits": 2, "signed": True}, "≈+0.10"),
        (-0.1, {"digits": 2}, "≈−0.10"),
        (-0.001, {"digits": 2}, "≈0.00"),
        (-0.001, {"digits": 2, "signed": True}, "≈+0.00"),
        (0.256, {"percent": True}, "≈25.6%"),
        (12345.6, {}, "≈12,346"),
        (0, {}, "≈0.00"),
    ],
)
def test_a_number_behind_the_mark(value, options, shown):
    assert numbers.about(value, **options) == shown


def test_mean_and_interval_have_the_same_digits():
    assert numbers.estimate(0.1034, (0.06, 0.142), signed=True) == "≈+0.103 [≈+0.060, ≈+0.142]"
    assert numbers.estimate(12.3, (2, 22.6)) == "≈12 [≈2, ≈23]"
    assert numbers.estimate(Estimate(12.3, 2, 22.6, 1, 9)) == numbers.estimate(12.3, (2, 22.6))
    assert numbers.recorded(-0.1034, (-0.142, 0.06), signed=True) == "−0.10 [−0.14, +0.06]"
    assert numbers.estimate(0.25, (0.2, 0.3), percent=True) == "≈25.0% [≈20.0%, ≈30.0%]"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="finite"):
        numbers.about(value)


def patterns():
    return get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8"))


def sanitized(text):
    for regex, replacement in patterns():
        text = re.sub(regex, replacement, text)
    return text


def test_the_sanitizer_leaves_out_what_the_mark_covers_and_nothing_else():
    assert numbers.PATTERN in [regex for regex, _ in patterns()]
    line = "gain ≈+0.11 [≈0.09, ≈1,234.5]: above zero, n=400"
    assert sanitized(line) == sanitized("gain ≈−0.2 [≈1e-7, ≈9]: above zero, n=400")
    for other in ("gain ≈+0.11 [≈0.09, ≈1,234.5]: below zero, n=400", "gain ≈+0.11 [≈0.09, ≈1]: above zero, n=401", ""):
        assert sanitized(line) != sanitized(other)
    assert sanitized("gain 0.11") != sanitized("gain 0.12") and sanitized("gain ≈0.11") != sanitized("gain 0.11")
    assert sanitized("≈25% of them") != sanitized("≈25 of them")


@pytest.mark.parametrize("value", [0.9412, -12345.678, 3e-5, 1e9])
def test_everything_that_about_writes_is_covered(value):
    for options in ({}, {"signed": True}, {"digits": 0}, {"spread": 0.01}):
        assert re.fullmatch(numbers.PATTERN, numbers.about(value, **options))


def test_a_bar_is_one_mark_wherever_it_stopped_and_the_lines_around_it_are_compared():
    bar = "\r  0%|     | 0/6 [00:00<?, ?step/s]\r100%|█████| 6/6 [00:49<00:00,  8.32s/step, loss 0.5]\n"
    saved = "before\n100%|█████| 6/6 [00:00<?, ?step/s]\nafter\n"
    assert sanitized(f"before\n{bar}after\n") == sanitized(saved) != sanitized("before\nafter\n")
    assert sanitized(saved) != sanitized(saved.replace("after", "later"))


def test_a_notebook_shows_nothing_of_a_silent_value_and_code_sees_it():
    for value, plain in ((numbers.Word("holds"), "holds"), (numbers.Flag(True), True), (numbers.Flag(False), False)):
        assert value == plain and bool(value) == bool(plain) and repr(value) == repr(plain)
        assert DisplayFormatter().format(value) == ({}, {})
    assert DisplayFormatter().format("holds")[0] == {"text/plain": "'holds'"}
