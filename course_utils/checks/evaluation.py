"""Checkers of notebook 17: the interval of a share, ROUGE-L, and a verdict over both orders."""

import math

from course_utils.checks import feedback
from course_utils.judging import multiple_choice

_SHARES = ((10, 40), (0, 20), (20, 20), (50, 100), (1, 3))
_ROUGE = (
    (["the", "film", "is", "good"], ["the", "film", "is", "bad"]),
    (["good", "film"], ["film", "good"]),
    (["a", "b", "c", "d", "e"], ["a", "x", "c", "y", "e", "z"]),
    (["x"], ["y"]),
    (["the"], ["the", "best", "film", "of", "the", "year"]),
)
_ORDERS = (
    ([1.0, -1.0, 2.0, 0.5], [-1.0, 1.0, 3.0, -0.5]),
    ([0.2, 3.0], [0.1, -0.1]),
    ([-2.0, -0.5, 1.0], [-1.0, 2.0, -4.0]),
)


def check_interval(interval):
    """Check a function (right, items) → (low, high), Wilson's 95 % interval of a share."""
    return feedback.verdict(
        interval, _SHARES, _interval_problem,
        "right: it stays within 0 and 1, also where all items or none are right.",
    )  # fmt: skip


def _interval_problem(result, right, items):
    expected = multiple_choice.wilson(right, items)
    if feedback.close(result, expected, 1e-4):
        return None
    share, slip = right / items, "The middle is (p + z²/2n) / (1 + z²/n), with z = 1.96."
    reach = 1.96 * math.sqrt(share * (1 - share) / items)
    if feedback.close(result, (share - reach, share + reach), 1e-4):
        slip = "That is p ± 1.96 √(p (1 − p) / n), which is no interval at all where p is 0 or 1."
    elif feedback.close(result, expected[::-1], 1e-4):
        slip = "The low end comes first."
    elif feedback.close(result, sum(expected) / 2, 1e-4):
        slip = "That is its middle; give both ends."
    shown = [round(end, 4) for end in expected]
    return f"for {right} right of {items} you gave {feedback.short(result)}, expected {shown}. {slip}"


def check_rouge(rouge):
    """Check a function (words, words of a person) → ROUGE-L, F of precision and recall by the common subsequence."""
    return feedback.verdict(
        rouge, _ROUGE, _rouge_problem, "right: words in the same order count, what they mean does not."
    )  # fmt: skip


def _common(one, two):
    if not one or not two:
        return 0
    if one[0] == two[0]:
        return 1 + _common(one[1:], two[1:])
    return max(_common(one[1:], two), _common(one, two[1:]))


def _rouge_problem(result, words, person):
    common = _common(words, person)
    expected = 2 * common / (len(words) + len(person))
    if feedback.close(result, expected):
        return None
    slip = "F is 2 · common / (words + words of the person)."
    if feedback.close(result, common / len(words)):
        slip = "That is precision alone: a text of one right word would have 1. Take the person's words in as well."
    elif feedback.close(result, common / len(person)):
        slip = "That is recall alone: a text that says everything would have 1. Take its own words in as well."
    elif feedback.close(result, 2 * len(set(words) & set(person)) / (len(words) + len(person))):
        slip = "That counts common words in any order; the longest common *subsequence* keeps their order."
    elif feedback.close(result, common):
        slip = "That is the length of the longest common subsequence; make F of it."
    return f"for {words} against {person} you gave {feedback.short(result)}, expected {expected:.4g}. {slip}"


def check_both_orders(both_orders):
    """Check a function (forward, backward) → verdicts: 1, ½ or 0 for the pair's first text.

    forward: log-odds of "A" with the pair as it is; backward: with the two texts changed about.
    """
    return feedback.verdict(
        both_orders, _ORDERS, _orders_problem,
        "right: a judge that likes the first place wins nothing by it.", first="tensor",
    )  # fmt: skip


def _orders_problem(result, forward, backward):
    expected = [0.5 * (one > 0) + 0.5 * (two < 0) for one, two in zip(forward, backward, strict=True)]
    if feedback.close(result, expected):
        return None
    slip = "Count ½ for each order in which the pair's first text is taken; changed about, it stands in place B."
    if feedback.close(result, [float(one > 0) for one in forward]):
        slip = "That is one order alone."
    elif feedback.close(
        result, [0.5 * (one > 0) + 0.5 * (two > 0) for one, two in zip(forward, backward, strict=True)]
    ):
        slip = "Changed about, an A is a vote for the pair's *second* text: turn the second verdict round."
    elif feedback.close(result, [1 - value for value in expected]):
        slip = "That is the verdict for the pair's second text."
    elif feedback.close(result, [float(one - two > 0) for one, two in zip(forward, backward, strict=True)]):
        slip = "That takes the surer of the two; where they disagree, the verdict is ½."
    return f"for {forward} and {backward} you gave {feedback.short(result)}, expected {expected}. {slip}"
