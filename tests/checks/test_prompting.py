"""The exercises of notebook 06: solutions pass in any form; the stub and plausible slips are named."""

import re
from collections import Counter

import numpy as np
import pytest
import torch

from course_utils.checks import prompting as check
from course_utils.models import sampling


@pytest.mark.parametrize("solution", [
    lambda z, n, f, p: z - f * n - p * (n > 0),
    lambda z, n, f, p: [a - f * b - p * (b > 0) for a, b in zip(z, n, strict=True)],
    lambda z, n, f, p: sampling.penalized(z, n, frequency=f, presence=p),
    lambda z, n, f, p: np.array(z) - f * np.array(n) - p * np.sign(n),
])  # fmt: skip
def test_penalties_are_accepted(solution, capsys):
    assert check.check_penalties(solution)
    assert capsys.readouterr().out.startswith("✓ right: each word")


@pytest.mark.parametrize(("slip", "named"), [
    (lambda z, n, f, p: ..., "returns nothing yet"),
    (lambda z, n, f, p: z + f * n + p * (n > 0), "taken away, not added"),
    (lambda z, n, f, p: z - f * n - p * n, "once, however often"),
    (lambda z, n, f, p: z - f * (n > 0) - p * (n > 0), "once for each time"),
    (lambda z, n, f, p: z - f * n - p, "one that did not keeps"),
    (lambda z, n, f, p: z - p * n - f * (n > 0), "swapped"),
    (lambda z, n, f, p: z, "Take frequency × count"),
    (lambda z, n, f, p: z / (1 + f * n), "Take frequency × count"),
])  # fmt: skip
def test_slips_of_penalties_are_named(slip, named, capsys):
    assert not check.check_penalties(slip)
    assert named in capsys.readouterr().out


def nucleus(probabilities, p):
    order = torch.as_tensor(probabilities).argsort(descending=True)
    ordered = torch.as_tensor(probabilities).double()[order]
    before = ordered.cumsum(0) - ordered
    return order[(before < p - 1e-6) | (torch.arange(len(order)) == 0)]


@pytest.mark.parametrize("solution", [
    nucleus, lambda q, p: nucleus(q, p).tolist(), lambda q, p: set(nucleus(q, p).tolist()),
    lambda q, p: sampling.top_p(torch.as_tensor(q).log(), p).isfinite().nonzero()[:, 0],
])  # fmt: skip
def test_top_p_is_accepted(solution, capsys):
    assert check.check_top_p(solution), capsys.readouterr().out


@pytest.mark.parametrize(("slip", "named"), [
    (lambda q, p: ..., "returns nothing yet"),
    (lambda q, p: check._places([float(x) for x in q], p, crossing=False), "crosses p stays"),
    (lambda q, p: list(range(len(check._places([float(x) for x in q], p)))), "Sort by probability"),
    (lambda q, p: [float(q[w]) for w in check._places([float(x) for x in q], p)], "not their probabilities"),
    (lambda q, p: [n for n, x in enumerate(q) if x >= p], "Go from the most probable"),
])  # fmt: skip
def test_slips_of_top_p_are_named(slip, named, capsys):
    assert not check.check_top_p(slip)
    assert named in capsys.readouterr().out


def voted(texts):
    found = [int(numbers[-1]) for text in texts if (numbers := re.findall(r"\d+", text))]
    return Counter(found).most_common(1)[0][0]


def number(text, place):
    return int((re.findall(r"\d+", text) or [-1])[place])


def test_a_vote_is_accepted(capsys):
    assert check.check_vote(voted), capsys.readouterr().out


@pytest.mark.parametrize(("slip", "named"), [
    (lambda texts: ..., "returns nothing yet"),
    (lambda texts: str(voted(texts)), "a number, not a text"),
    (lambda texts: Counter(number(text, 0) for text in texts).most_common(1)[0][0], "a step on the way"),
    (lambda texts: max(number(text, -1) for text in texts), "the largest"),
    (lambda texts: number(texts[-1], -1), "last text's answer alone"),
    (lambda texts: Counter(number(text, -1) for text in texts).most_common(1)[0][0], "do not vote"),
])  # fmt: skip
def test_slips_of_a_vote_are_named(slip, named, capsys):
    assert not check.check_vote(slip)
    assert named in capsys.readouterr().out
