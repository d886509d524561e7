"""The exercises of notebook 05: the solutions pass; the stub, plausible slips and forbidden choices do not."""

import random
import statistics

import numpy as np
import pytest
import torch

from course_utils.checks import in_context as check
from course_utils.data import prompts
from course_utils.evaluation import classification, in_context

POOL = [prompts.Example(f"review {n}", n % 2) for n in range(20)]
QUESTIONS = in_context.Questions(("a", "b", "c", "d"), (1, 0, 1, 0))


class Recency:
    """A judge that calls everything what the examples show most: right half of the time when they are one-sided."""

    def scores(self, examples, texts):
        lean = sum(2 * example.label - 1 for example in examples)
        truth = torch.tensor([1.0, -1.0, 1.0, -1.0])
        return torch.full((len(texts),), float(lean)) if lean else truth


@pytest.mark.parametrize(
    "solution",
    [
        lambda scores: scores.median(),
        lambda scores: scores.median().item(),
        lambda scores: statistics.median(scores.tolist()),
        lambda scores: sorted(scores)[len(scores) // 2],
        lambda scores: scores.quantile(0.5),
        lambda scores: np.median(scores),
        lambda scores: np.quantile(scores, 0.5),
        lambda scores: list.sort(scores) or scores[len(scores) // 2],
    ],
)
def test_threshold_accepts_the_solution_in_any_form(solution, capsys):
    assert check.check_threshold(solution)
    assert capsys.readouterr().out.startswith("✓ right: half of the unlabelled")


def test_threshold_agrees_with_the_package():
    scores = torch.tensor([-1.0, 4.0, 0.5, 10.0, 2.0, 1.0, 7.0, 8.0, -3.0, 6.0, 5.0])
    assert classification.calibrated_threshold(scores) == statistics.median(scores.tolist())


@pytest.mark.parametrize(
    ("slip", "named"),
    [
        (lambda scores: ..., "returns nothing yet"),
        (lambda scores: scores.mean(), "That is the mean"),
        (lambda scores: 0.0, "Half of the scores should lie above"),
        (lambda scores: (scores.max() + scores.min()) / 2, "Half of the scores should lie above"),
        (lambda scores: scores[len(scores) // 2], "so sort them first"),
        (lambda scores: scores.max(), "Half of the scores should lie above"),
        (lambda scores: sum(scores) / len(scores), "That is the mean"),
        (lambda scores: np.median(scores) + 0.01, "Half of the scores should lie above"),
        (lambda scores: scores.sigmoid().median(), "Half of the scores should lie above"),
        (lambda scores: scores, "Half of the scores should lie above"),
        (lambda scores: scores.medium(), "raised AttributeError"),
    ],
)
def test_threshold_names_the_slip(slip, named, capsys):
    assert not check.check_threshold(slip)
    said = capsys.readouterr().out
    assert said.startswith("✗ ") and named in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "chosen", [[1, 3, 5, 7], (0, 2, 4, 6), range(0, 8, 2), np.arange(4) * 2, torch.tensor([1, 3, 5, 7])]
)
def test_four_one_sided_examples_make_it_worse(chosen, capsys):
    assert check.check_worse_examples(Recency(), POOL, QUESTIONS, chosen)
    said = capsys.readouterr().out
    assert "with your four 50% are right, with four drawn at random 100% (100% at the worst of 8 draws), with" in said
    assert "with one answer for all 50% at best" in said


def test_four_balanced_examples_do_not(capsys):
    assert not check.check_worse_examples(Recency(), POOL, QUESTIONS, [0, 1, 2, 3])
    assert "which label comes most often, and which last" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        (..., "expected a list of 4 positions"),
        (None, "expected a list of 4 positions"),
        ([...], "expected a list of 4 positions"),
        (7, "expected a list of 4 positions"),
        ([1, 3, 5], "expected a list of 4 positions"),
        ([1, 3, 5, 20], "whole numbers from 0 to 19"),
        ([1, 3, 5, -1], "whole numbers from 0 to 19"),
        ([1, 3, 5, 7.0], "whole numbers from 0 to 19"),
        ([True, 3, 5, 7], "whole numbers from 0 to 19"),
        ([1, 1, 1, 1], "shown once only"),
    ],
)
def test_what_is_not_four_examples_is_refused(chosen, named, capsys):
    assert not check.check_worse_examples(Recency(), POOL, QUESTIONS, chosen)
    said = capsys.readouterr().out
    assert said.startswith("✗ ") and named in said


class Noise:
    """A judge that any examples leave equally good: right four times in five, by chance of the examples."""

    def __init__(self, loss=0.0):
        self.loss = loss  # what a pool's first example costs

    def scores(self, examples, texts):
        rng = random.Random(" ".join(example.text for example in examples))
        right = 0.8 - self.loss * (examples[0].text == "review 0")
        return torch.tensor([1.0 if rng.random() < right else -1.0 for _ in texts])


ALL_POSITIVE = in_context.Questions(tuple(map(str, range(48))), (1,) * 48)


def test_draws_at_random_are_seldom_accepted():
    rng = random.Random(0)
    draws = [rng.sample(range(1, 20), 4) for _ in range(400)]
    accepted = sum(bool(check.check_worse_examples(Noise(), POOL, ALL_POSITIVE, draw)) for draw in draws)
    assert accepted <= 20  # one in twenty


def test_what_is_worse_by_less_than_the_margin_is_refused(capsys):
    assert not check.check_worse_examples(Noise(loss=0.05), POOL, ALL_POSITIVE, [0, 3, 5, 7])
    assert "that may be chance" in capsys.readouterr().out
    assert check.check_worse_examples(Noise(loss=0.4), POOL, ALL_POSITIVE, [0, 3, 5, 7])
