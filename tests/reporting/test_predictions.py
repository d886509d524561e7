"""A guess is written down before its answer, stays after it, and headless runs never answer in the reader's place."""

import numpy as np
import pytest
import torch

from course_utils import runtime
from course_utils.reporting import predictions

SHOTS = {"question": "accuracy with 16 examples", "within": (0, 1)}


def printed(capsys):
    return capsys.readouterr().out.splitlines()


def test_guess_score_and_ledger(capsys):
    predictions.predict("icl-16-shot", 0.8, **SHOTS)
    assert predictions.ledger()[0]["measured"] is None
    assert not predictions.score("icl-16-shot", 0.9251)
    assert printed(capsys) == [
        "your guess, before the run: 0.8 – accuracy with 16 examples",
        "you said 0.8, it is ≈0.93: too low",
    ]
    (row,) = predictions.ledger()
    assert (row["guess"], row["measured"], row["close"], row["notebook"]) == (0.8, 0.93, False, "interactive")
    assert row["predicted_at"].endswith("+00:00")


@pytest.mark.parametrize(("guess", "word"), [(0.84, "close"), (1.0, "close"), (0.5, "too low")])
def test_close_is_a_tenth_of_the_range(capsys, guess, word):
    predictions.predict("a", guess, **SHOTS)
    assert predictions.score("a", 0.9) == (word == "close")
    assert printed(capsys)[-1].endswith(": " + word)


def test_close_without_a_range_is_a_tenth_of_the_truth(capsys):
    predictions.predict("parameters", 300, question="parameters", unit="million")
    assert not predictions.score("parameters", 268.1, digits=0)
    assert printed(capsys)[-1] == "you said 300 million, it is ≈268 million: too high"
    assert predictions.score("parameters", 280, tolerance=20, digits=0)


def test_a_guess_may_change_until_its_score_only(capsys):
    predictions.predict("a", 0.5, **SHOTS)
    predictions.predict("a", 0.6, **SHOTS)
    assert [row["guess"] for row in predictions.ledger()] == [0.6]
    predictions.score("a", 0.9)
    capsys.readouterr()
    predictions.predict("a", 0.9, **SHOTS)
    assert printed(capsys) == ["You have seen the answer, so your first guess stays: 0.6 – accuracy with 16 examples"]
    assert predictions.ledger()[0]["guess"] == 0.6


def test_running_a_finished_notebook_again_prints_the_same(capsys):
    predictions.predict("a", 0.5, **SHOTS)
    predictions.score("a", 0.9)
    first = printed(capsys)
    kept = predictions.ledger()
    predictions.predict("a", 0.5, **SHOTS)
    assert predictions.ledger() == kept
    predictions.score("a", 0.9)
    assert printed(capsys) == first
    assert predictions.ledger() == kept


def test_a_score_without_a_guess_says_so_and_goes_on(capsys):
    assert predictions.score("a", 0.9) is None
    assert printed(capsys) == ["no guess written down for 'a'; it is ≈0.90"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.8", "without quotes"),
        ("0,8", "with a point and not a comma"),
        ((0, 8), r"is \(0, 8\).*with a point and not a comma"),
        (True, "a number"),
        (np.bool_(True), "a number"),
        (None, "a number"),
        (np.array([0.8]), "a number"),
        (80, "a percentage"),
        (float("nan"), "is nan; expected a finite number. Is it the result of a calculation"),
        (np.float32("inf"), "is inf; expected a finite number. Is it the result of a calculation"),
    ],
)
def test_a_guess_that_makes_no_sense_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        predictions.predict("a", value, **SHOTS)
    assert predictions.ledger() == []


def test_a_decimal_comma_is_told_apart_from_a_second_argument():
    with pytest.raises(ValueError, match=r"is \(0, 8\); expected a number\. Write it with a point and not a comma"):
        predictions.predict("a", 0, 8, **SHOTS)
    assert predictions.ledger() == []


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), np.array(0.5), torch.tensor(0.5)])
def test_a_number_of_numpy_or_torch_is_a_guess(value, capsys):
    predictions.predict("a", value, **SHOTS)
    assert predictions.ledger()[0]["guess"] == 0.5
    assert printed(capsys) == ["your guess, before the run: 0.5 – accuracy with 16 examples"]


def test_a_whole_number_beyond_all_floats_is_refused():
    with pytest.raises(ValueError, match=r"Your guess for 'parameters' is 1000.*; expected a finite number"):
        predictions.predict("parameters", 10**400, question="parameters")


@pytest.mark.parametrize("measured", [float("nan"), np.float32("inf"), None, "0,5", [0.5], True])
def test_what_was_measured_must_be_a_number_and_the_guess_stays_unscored(measured):
    predictions.predict("a", 0.5, **SHOTS)
    with pytest.raises(ValueError, match=r"What was measured for 'a' is .*; expected a (finite )?number"):
        predictions.score("a", measured)
    assert predictions.ledger()[0]["measured"] is None


def test_a_headless_run_leaves_the_readers_ledger_alone(monkeypatch):
    predictions.predict("a", 0.5, **SHOTS)
    monkeypatch.setenv("COURSE_NOTEBOOK", "05_in_context_learning")
    assert predictions.ledger() == []
    predictions.predict("a", 0.8, **SHOTS)
    predictions.score("a", 0.9)
    assert predictions.path().parent == runtime.results()
    predictions.forget("05_in_context_learning")
    assert predictions.ledger() == []
    monkeypatch.delenv("COURSE_NOTEBOOK")
    assert [(row["guess"], row["measured"]) for row in predictions.ledger()] == [(0.5, None)]
