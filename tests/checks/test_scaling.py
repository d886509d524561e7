"""The checkers of 04 take a right function in any form, and name the slip of a wrong one."""

import math

import pytest
import torch

from course_utils.checks import scaling as check


def loss(n, d, e, a, b, alpha, beta):
    return e + a / n**alpha + b / d**beta


def split(flops, ratio):
    weights = (flops / 6 / ratio) ** 0.5
    return weights, ratio * weights


def effective(unique, read, star=15.39):
    return unique + unique * star * (1 - math.exp(-(read / unique - 1) / star))


def test_the_solution_is_right(capsys):
    assert check.check_loss(loss) and check.check_split(split) and check.check_effective(effective)
    assert capsys.readouterr().out.count("✓") == 3


def test_tensors_will_do_as_well():
    assert check.check_split(lambda *given: torch.tensor(split(*given), dtype=torch.float64))


@pytest.mark.parametrize(
    ("checker", "wrong", "said"),
    [
        (check.check_loss, lambda *_: ..., "returns nothing yet"),
        (check.check_loss, lambda n, d, e, *rest: loss(n, d, 0, *rest), "E is missing"),
        (check.check_loss, lambda n, d, *rest: loss(d, n, *rest), "α belong to the weights"),
        (check.check_loss, lambda n, d, e, a, b, x, y: loss(n, d, e, a, b, -x, -y), "The loss falls"),
        (check.check_loss, lambda *_: 3.0, "E + A / N^α"),
        (check.check_split, lambda flops, ratio: 1.0, "expected two numbers"),
        (check.check_split, lambda *given: split(*given)[::-1], "weights come first"),
        (check.check_split, lambda flops, ratio: split(6 * flops, ratio), "The six is missing"),
        (check.check_split, lambda flops, ratio: (1.0, 2.0), "Together they cost 1.20e+01 FLOPs"),
        (check.check_effective, lambda unique, read: read, "as new text"),
        (check.check_effective, lambda unique, read: effective(unique, read) - unique, "The first reading is missing"),
        (check.check_effective, lambda unique, read: effective(unique, read + unique), "the first is no repeat"),
    ],
)
def test_a_slip_is_named(checker, wrong, said, capsys):
    assert not checker(wrong)
    found = capsys.readouterr().out
    assert found.startswith("✗") and said in found
