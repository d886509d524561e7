"""The exercises of notebook 00: the folded solutions pass; the stub and the usual slips do not, and are named."""

import math

import numpy as np
import pytest
import torch

from course_utils.checks import start


def solved_softmax(logits, temperature):
    exps = [math.exp(z / temperature) for z in logits]
    return [e / sum(exps) for e in exps]


def solved_perplexity(logprobs):
    return math.exp(-sum(logprobs) / len(logprobs))


def in_place(logits, temperature):
    """Right, and changes the list that it was given."""
    for i, z in enumerate(logits):
        logits[i] = math.exp(z / temperature)
    return [e / sum(logits) for e in logits]


@pytest.mark.parametrize(
    "solution",
    [
        solved_softmax,
        in_place,
        lambda z, t: torch.softmax(torch.tensor(z) / t, -1),
        lambda z, t: (z / t).softmax(-1),
        lambda z, t: torch.softmax(z / t, dim=0),
        lambda z, t: np.exp(z / t) / np.sum(np.exp(z / t)),
        lambda z, t: (x for x in solved_softmax(z, t)),
    ],
)
def test_softmax_accepts_the_solution(solution, capsys):
    assert start.check_softmax(solution)
    assert capsys.readouterr().out.startswith("✓ right at every temperature")


@pytest.mark.parametrize(
    ("slip", "named"),
    [
        (lambda z, t: ..., "returns nothing yet"),
        (lambda z, t: solved_softmax(z, 1 / t), "You multiply by the temperature"),
        (lambda z, t: solved_softmax(z, 1), "no effect yet"),
        (lambda z, t: [math.exp(x / t) for x in z], "must sum to 1"),
        (lambda z, t: [p / t for p in solved_softmax(z, 1)], "Divide each logit by the temperature"),
        (lambda z, t: [p ** (1 / t) for p in solved_softmax(z, 1)], "Divide each logit by the temperature"),
        (lambda z, t: solved_softmax(z, t)[:-1], "Divide each logit by the temperature"),
        (lambda z, t: torch.log_softmax(z / t, -1), "Those are log-probabilities"),
        (lambda z, t: np.exp(z * t) / np.exp(z * t).sum(), "You multiply by the temperature"),
        (lambda z, t: 0.5, "Divide each logit by the temperature"),
        (lambda z, t: "half", "Divide each logit by the temperature"),
        (lambda z, t: math.exp(z / t), "raised TypeError"),
    ],
)
def test_softmax_names_the_slip(slip, named, capsys):
    assert not start.check_softmax(slip)
    said = capsys.readouterr().out
    assert said.startswith("✗ ") and named in said and said.count("\n") == 1


def emptied(logprobs):
    """Right, and changes the list that it was given."""
    result = solved_perplexity(logprobs)
    logprobs[:] = [0.0]
    return result


@pytest.mark.parametrize(
    "solution",
    [
        solved_perplexity,
        emptied,
        lambda p: torch.tensor(p).mean().neg().exp(),
        lambda p: torch.exp(-p.mean()),
        lambda p: np.exp(-np.mean(p)),
        lambda p: (-p).mean().exp().item(),
    ],
)
def test_perplexity_accepts_the_solution(solution, capsys):
    assert start.check_perplexity(solution)
    assert capsys.readouterr().out.startswith("✓ right: a perplexity of k")


@pytest.mark.parametrize(
    ("slip", "named"),
    [
        (lambda p: ..., "returns nothing yet"),
        (lambda p: math.exp(sum(p) / len(p)), "turn the sign"),
        (lambda p: math.exp(-sum(p)), "you gave 16, expected 2"),
        (lambda p: sum(math.exp(-x) for x in p) / len(p), "you gave 5, expected 4"),
        (lambda p: 2 ** -p.mean(), "the power is of e, not of 2"),
        (lambda p: p.exp().mean() ** -1, "expected 4"),
        (lambda p: -sum(p) / len(p), "turn the sign, then exp"),
        (lambda p: 2 ** (-sum(p) / len(p)), "expected 2"),
        (lambda p: 1 / (sum(math.exp(x) for x in p) / len(p)), "expected 4"),
        (lambda p: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_perplexity_names_the_slip(slip, named, capsys):
    assert not start.check_perplexity(slip)
    said = capsys.readouterr().out
    assert said.startswith("✗ ") and named in said and said.count("\n") == 1
