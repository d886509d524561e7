"""The exercises of notebook 17: solutions pass in any form; the stub and plausible slips are named."""

import math

import pytest

from course_utils.checks import evaluation as check
from course_utils.judging import judges, multiple_choice, text_measures


@pytest.mark.parametrize("solution", [
    multiple_choice.wilson, lambda right, items: list(multiple_choice.wilson(right, items)),
])  # fmt: skip
def test_an_interval_is_accepted(solution, capsys):
    assert check.check_interval(solution), capsys.readouterr().out


def plain(right, items):
    share = right / items
    reach = 1.96 * math.sqrt(share * (1 - share) / items)
    return share - reach, share + reach


@pytest.mark.parametrize(("slip", "named"), [
    (lambda right, items: ..., "returns nothing yet"), (plain, "no interval at all"),
    (lambda right, items: multiple_choice.wilson(right, items)[::-1], "low end comes first"),
    (lambda right, items: sum(multiple_choice.wilson(right, items)) / 2, "give both ends"),
    (lambda right, items: (0, 1), "The middle is"),
])  # fmt: skip
def test_slips_of_an_interval_are_named(slip, named, capsys):
    assert not check.check_interval(slip)
    assert named in capsys.readouterr().out


def common(one, two):
    return text_measures.common_length(list(one), list(two))


@pytest.mark.parametrize("solution", [
    lambda one, two: 2 * common(one, two) / (len(one) + len(two)),
    lambda one, two: text_measures.rouge_l(" ".join(one), [" ".join(two)]),
])  # fmt: skip
def test_rouge_is_accepted(solution, capsys):
    assert check.check_rouge(solution), capsys.readouterr().out


@pytest.mark.parametrize(("slip", "named"), [
    (lambda one, two: ..., "returns nothing yet"),
    (lambda one, two: common(one, two) / len(one), "precision alone"),
    (lambda one, two: common(one, two) / len(two), "recall alone"),
    (lambda one, two: common(one, two), "make F of it"),
    (lambda one, two: 1.0, "F is 2"),
])  # fmt: skip
def test_slips_of_rouge_are_named(slip, named, capsys):
    assert not check.check_rouge(slip)
    assert named in capsys.readouterr().out


def test_rouge_without_order_is_named(capsys):
    def bag(one, two):
        return 2 * len(set(one) & set(two)) / (len(one) + len(two))

    assert not check.check_rouge(bag)
    assert "keeps their order" in capsys.readouterr().out


@pytest.mark.parametrize("solution", [
    judges.both_orders, lambda one, two: [0.5 * (a > 0) + 0.5 * (b < 0) for a, b in zip(one, two, strict=True)],
])  # fmt: skip
def test_both_orders_are_accepted(solution, capsys):
    assert check.check_both_orders(solution), capsys.readouterr().out


@pytest.mark.parametrize(("slip", "named"), [
    (lambda one, two: ..., "returns nothing yet"),
    (lambda one, two: [float(a > 0) for a in one], "one order alone"),
    (lambda one, two: [0.5 * (a > 0) + 0.5 * (b > 0) for a, b in zip(one, two, strict=True)], "turn the second"),
    (lambda one, two: [1 - v for v in judges.both_orders(one, two)], "for the pair's second text"),
    (lambda one, two: [float(a - b > 0) for a, b in zip(one, two, strict=True)], "surer of the two"),
    (lambda one, two: [0.5 for _ in one], "Count ½"),
])  # fmt: skip
def test_slips_of_both_orders_are_named(slip, named, capsys):
    assert not check.check_both_orders(slip)
    assert named in capsys.readouterr().out
