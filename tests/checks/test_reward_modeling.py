"""The checkers accept the solutions that the notebook folds away, and no plausible slip."""

import math

import pytest

from course_utils.checks import reward_modeling as check


def pair_loss(chosen, rejected):
    return sum(math.log(1 + math.exp(b - a)) for a, b in zip(chosen, rejected, strict=True)) / len(chosen)


def test_the_loss_of_a_pair_passes(capsys):
    assert check.check_pair_loss(pair_loss)
    assert capsys.readouterr().out.startswith("✓ right: ln 2")


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
        (lambda chosen, rejected: 0.0, "Take −log σ"),
    ],
)
def test_slips_of_the_loss_are_named(wrong, said, capsys):
    assert not check.check_pair_loss(wrong)
    assert said in capsys.readouterr().out


def test_the_last_real_token_passes():
    assert check.check_last_real(lambda mask: [sum(row) - 1 for row in mask])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda mask: ..., "returns nothing yet"),
        (lambda mask: [len(row) - 1 for row in mask], "you read a pad"),
        (lambda mask: [sum(row) for row in mask], "counted from 0"),
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


def test_five_sentences_that_fool_it_pass():
    assert check.check_fooled(by_words, [*PRAISE, *SCORN])


@pytest.mark.parametrize(
    ("sentences", "said"),
    [
        (..., "expected a list of 5 sentences"),
        (PRAISE, "expected a list of 5 sentences"),
        ([*PRAISE, *PRAISE[:1], *SCORN[:1]], "two of the sentences are the same"),
        ([*PRAISE, *[(f"this one, {n}, is bad", "praise") for n in range(2)]], "all have one meaning"),
        ([*PRAISE, SCORN[0], ("it is a bad film", "scorn")], "1 of 5 it read as you meant them"),
        ([*PRAISE, SCORN[0], ("bad", "scorn")], "has 1 words"),
        ([*PRAISE, SCORN[0], "it is a bad film"], "expected ('a sentence', 'praise')"),
        ([*PRAISE, SCORN[0], ("it is a wonderful film", "good")], "expected ('a sentence', 'praise')"),
    ],
)
def test_what_does_not_fool_it_is_named(sentences, said, capsys):
    assert not check.check_fooled(by_words, sentences)
    assert said in capsys.readouterr().out
