"""The checkers accept the solutions that the notebook folds away, and no plausible slip."""

import math

import numpy as np
import pytest
import torch

from course_utils.checks import reward_modeling as check


def pair_loss(chosen, rejected):
    return sum(math.log(1 + math.exp(b - a)) for a, b in zip(chosen, rejected, strict=True)) / len(chosen)


@pytest.mark.parametrize(
    "solution",
    [
        pair_loss,
        lambda chosen, rejected: -torch.nn.functional.logsigmoid(chosen - rejected).mean(),
        lambda chosen, rejected: np.log1p(np.exp(rejected - chosen)).mean(),
        lambda chosen, rejected: torch.nn.functional.softplus(torch.tensor(rejected) - torch.tensor(chosen)).mean(),
    ],
)
def test_the_loss_of_a_pair_passes_in_any_form(solution, capsys):
    assert check.check_pair_loss(solution)
    assert capsys.readouterr().out.startswith("✓ right: ln 2 ≈ 0.69 where the scores say nothing, 6.00 for a mistake")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda chosen, rejected: ..., "returns nothing yet"),
        (lambda chosen, rejected: pair_loss(rejected, chosen), "the wrong way round"),
        (lambda chosen, rejected: pair_loss(chosen, rejected) * len(chosen), "That is the sum"),
        (
            lambda chosen, rejected: (
                sum(1 / (1 + math.exp(a - b)) for a, b in zip(chosen, rejected, strict=True)) / len(chosen)
            ),
            "without the logarithm",
        ),
        (lambda chosen, rejected: torch.nn.functional.logsigmoid(chosen - rejected).mean(), "The sign is turned"),
        (lambda chosen, rejected: np.log1p(np.exp(rejected.mean() - chosen.mean())), "the loss of the mean scores"),
        (lambda chosen, rejected: 0.0, "Take −log σ"),
    ],
)
def test_slips_of_the_loss_are_named(wrong, said, capsys):
    assert not check.check_pair_loss(wrong)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "solution",
    [
        lambda mask: [sum(row) - 1 for row in mask],
        lambda mask: mask.sum(1) - 1,
        lambda mask: mask.shape[1] - 1 - np.argmax(mask[:, ::-1], axis=1),
        lambda mask: torch.tensor(mask).sum(-1) - 1,
    ],
)
def test_the_last_real_token_passes_in_any_form(solution):
    assert check.check_last_real(solution)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda mask: ..., "returns nothing yet"),
        (lambda mask: [len(row) - 1 for row in mask], "you read a pad"),
        (lambda mask: [sum(row) for row in mask], "counted from 0"),
        (lambda mask: [sum(row) - 1 - len(row) for row in mask], "counted from the end"),
        (lambda mask: mask.sum() - 1, "where is its last True"),
        (lambda mask: mask.int().argmax(1), "where is its last True"),
        (lambda mask: [0 for _ in mask], "where is its last True"),
    ],
)
def test_slips_of_the_place_are_named(wrong, said, capsys):
    assert not check.check_last_real(wrong)
    assert said in capsys.readouterr().out


PRAISE = [(f"number {n} is not a bad film", "praise") for n in range(3)]
SCORN = [(f"number {n} is a wonderful way to fall asleep", "scorn") for n in range(2)]


def by_words(texts):
    """A judge that falls for single words."""
    return [("wonderful" in text) - ("bad" in text) for text in texts]


@pytest.mark.parametrize("hold", [list, np.array, torch.tensor, lambda scores: torch.tensor(scores)[:, None]])
@pytest.mark.parametrize("rows", [list, tuple, np.array, lambda rows: [np.array(row) for row in rows]])
def test_five_sentences_that_fool_it_pass(hold, rows, capsys):
    assert check.check_fooled(lambda texts: hold(by_words(texts)), rows([*PRAISE, *SCORN]))
    assert "is not a bad film': praise, and scored -1.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (lambda texts: [1.0], "5 finite numbers, one a sentence; it gave [1]"),
        (lambda texts: [float("nan")] * 5, "it gave [nan, nan, nan, nan, nan]"),
        (lambda texts: [1 / 0], "raised ZeroDivisionError"),
        (lambda texts: [0.0] * 5, "5 of 5 it did not read the wrong way round"),
    ],
)
def test_scores_that_say_nothing_are_refused(score, said, capsys):
    assert not check.check_fooled(score, [*PRAISE, *SCORN])
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("sentences", "said"),
    [
        (..., "expected a list of 5 sentences, each with its meaning; got none yet"),
        (PRAISE, "expected a list of 5 sentences"),
        ([*PRAISE, *PRAISE[:1], *SCORN[:1]], "two of the sentences are the same"),
        ([*PRAISE, *[(f"this one, {n}, is bad", "praise") for n in range(2)]], "all have one meaning"),
        ([*PRAISE, SCORN[0], ("it is a bad film", "scorn")], "1 of 5 it did not read the wrong way round"),
        ([*PRAISE, SCORN[0], ("it is a bad film", ["scorn"])], "expected ('a sentence', 'praise')"),
        (np.array([["one"], ["two"]]), "expected a list of 5 sentences"),
        ([*PRAISE, SCORN[0], ("bad", "scorn")], "has 1 words"),
        ([*PRAISE, SCORN[0], "it is a bad film"], "expected ('a sentence', 'praise')"),
        ([*PRAISE, SCORN[0], ("it is a wonderful film", "good")], "expected ('a sentence', 'praise')"),
    ],
)
def test_what_does_not_fool_it_is_named(sentences, said, capsys):
    assert not check.check_fooled(by_words, sentences)
    assert said in capsys.readouterr().out
