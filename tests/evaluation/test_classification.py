"""Decisions from log-odds: raw, calibrated on items without labels, and refused when they would mean nothing."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.evaluation import classification

SCORES = st.lists(st.floats(-50, 50, width=32), min_size=10, max_size=60)


def test_log_odds_by_hand():
    logprobs = torch.log(torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]))
    assert classification.log_odds(logprobs).tolist() == pytest.approx([math.log(4), 0, -math.log(9)], abs=1e-6)


@pytest.mark.parametrize("shape", [(2,), (4, 3), (2, 2, 2)])
def test_log_odds_need_two_labels(shape):
    with pytest.raises(ValueError, match=r"shape \(N, 2\), got"):
        classification.log_odds(torch.zeros(shape))


@settings(deadline=None, max_examples=60)
@given(SCORES, st.floats(-20, 20, width=32))
def test_the_threshold_halves_the_items_and_follows_any_lean(values, lean):
    scores = torch.tensor(values, dtype=torch.float64)
    threshold = classification.calibrated_threshold(scores)
    assert (scores > threshold).sum() <= len(scores) / 2 and (scores < threshold).sum() <= len(scores) / 2
    assert classification.calibrated_threshold(scores + lean).item() == pytest.approx((threshold + lean).item())


def test_a_threshold_from_distinct_scores_calls_exactly_half_positive():
    scores = torch.randperm(20).double() + 100
    assert (scores > classification.calibrated_threshold(scores)).sum() == 10


def test_calibration_repairs_a_lean():
    labels = [0, 1] * 10
    scores = torch.tensor([5.0 + label + 0.01 * place for place, label in enumerate(labels)])
    assert classification.correct(scores, labels).mean() == 0.5
    threshold = classification.calibrated_threshold(scores)
    assert classification.correct(scores, labels, threshold).mean() == 1.0


def test_too_few_items_calibrate_nothing():
    with pytest.raises(ValueError, match=r"at least 10 unlabelled items.*got 9"):
        classification.calibrated_threshold(torch.zeros(9))


def test_correct_by_hand():
    scores = torch.tensor([2.0, -1.0, 0.0, 3.0])
    assert classification.correct(scores, (1, 0, 0, 0)).tolist() == [1, 1, 1, 0]
    assert classification.correct(scores, [1, 0, 0, 0], 2.5).tolist() == [0, 1, 1, 0]


def test_each_draw_has_its_own_threshold():
    scores = torch.tensor([[1.0, 3.0], [1.0, 3.0]])
    thresholds = torch.tensor([[0.0], [2.0]])
    assert classification.correct(scores, [0, 1], thresholds).tolist() == [[0, 1], [1, 1]]


@settings(deadline=None, max_examples=40)
@given(SCORES)
def test_turned_labels_turn_the_accuracy(values):
    scores, labels = torch.tensor([value or 1.0 for value in values]), torch.arange(len(values)) % 2  # no ties
    right = classification.correct(scores, labels)
    assert torch.equal(classification.correct(scores, 1 - labels), 1 - right)
    assert torch.equal(classification.correct(-scores, 1 - labels), right)


def test_scores_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="3 scores for 2 labels"):
        classification.correct(torch.zeros(3), [0, 1])
    with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
        classification.correct(torch.tensor([0.0, math.nan]), [0, 1])


def test_auc_counts_the_pairs_in_order():
    scores, labels = torch.tensor([3.0, 1.0, 2.0, 1.0]), [1, 1, 0, 0]
    assert classification.auc(scores, labels) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert classification.auc(scores + 100, labels) == classification.auc(scores, labels), "no threshold is asked for"
    assert classification.auc(-scores, labels) == pytest.approx(1 - classification.auc(scores, labels))


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0], [1, 0]])
def test_auc_needs_both_labels(labels):
    with pytest.raises(ValueError, match=f"got {len(labels)} labels, {sum(labels)} of them positive"):
        classification.auc(torch.tensor([1.0, 2.0, 3.0]), labels)
