"""Intervals by hand, in simulation, and in their order; a difference pairs the same items."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.evaluation import comparison

pytestmark = pytest.mark.usefixtures("one_thread")

MATRICES = (
    st.integers(2, 5)
    .flatmap(
        lambda draws: st.lists(st.lists(st.floats(-5, 5), min_size=draws, max_size=draws), min_size=2, max_size=12)
    )
    .map(lambda columns: torch.tensor(columns, dtype=torch.float64).T)
)
OVER = pytest.mark.parametrize("over", comparison.OVER)


def width(estimate):
    return estimate.high - estimate.low


def noisy(draws, items, *, by_draw, by_item, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.randn(draws, 1, generator=generator), torch.randn(1, items, generator=generator)
    return by_draw * rows + by_item * columns


def test_two_items_by_hand():
    """Resamples of (0, 1) have mean 0, ½ or 1 with ¼, ½, ¼: 95 % of them span everything, the middle 40 % nothing."""
    assert comparison.mean_interval([0, 1], over="items").interval == (0, 1)
    assert comparison.mean_interval([0, 1], over="items", level=0.4).interval == (0.5, 0.5)


def test_a_matrix_by_hand():
    """Draws differ by 1, items not at all: only resampled draws move the mean, to 0, ½ or 1."""
    matrix = [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    assert comparison.mean_interval(matrix, over="items") == comparison.Estimate(0.5, 0.5, 0.5, 2, 3)
    assert comparison.mean_interval(matrix, over="draws").interval == pytest.approx((0, 1))
    assert comparison.mean_interval(matrix, over="both").interval == pytest.approx((0, 1))
    turned = torch.tensor(matrix).T
    assert comparison.mean_interval(turned, over="draws").interval == pytest.approx((0.5, 0.5))
    assert comparison.mean_interval(turned, over="items").interval == pytest.approx((0, 1))


def test_the_interval_is_that_of_the_normal_law_for_many_items():
    values = torch.randn(2000, generator=torch.Generator().manual_seed(1))
    estimate = comparison.mean_interval(values)
    half = 1.96 * values.std().item() / math.sqrt(2000)
    assert estimate.interval == pytest.approx((estimate.mean - half, estimate.mean + half), abs=half / 10)
    assert width(comparison.mean_interval(values, level=0.5)) == pytest.approx(2 * half * 0.6745 / 1.96, rel=0.1)


def test_95_percent_of_the_intervals_hold_the_truth(monkeypatch):
    monkeypatch.setattr(comparison, "RESAMPLES", 1000)
    truth, runs, items = 0.7, 400, 100
    samples = (torch.rand(runs, items, generator=torch.Generator().manual_seed(0)) < truth).double()
    found = [comparison.mean_interval(sample, over="items", seed=run) for run, sample in enumerate(samples)]
    held = sum(estimate.low <= truth <= estimate.high for estimate in found) / runs
    assert 0.92 <= held <= 0.98


def test_six_draws_are_enough_for_the_crossed_interval_but_not_for_one_over_draws(monkeypatch):
    monkeypatch.setattr(comparison, "RESAMPLES", 500)
    generator = torch.Generator().manual_seed(0)
    held = dict.fromkeys(comparison.OVER, 0)
    for run in range(200):
        parts = (torch.randn(shape, generator=generator) for shape in ((6, 1), (1, 100), (6, 100)))
        matrix = sum(size * part for size, part in zip((1, 3, 5), parts, strict=True))
        for over in comparison.OVER:
            estimate = comparison.mean_interval(matrix, over=over, seed=run)
            held[over] += (estimate.low <= 0 <= estimate.high) / 200
    assert held["both"] >= 0.9 > held["draws"]
    assert held["both"] > held["items"]


@pytest.mark.parametrize(("by_draw", "by_item"), [(1, 1), (0.3, 3), (1, 8), (2, 0.5)])
def test_the_crossed_interval_is_wider_than_either(by_draw, by_item):
    matrix = noisy(8, 60, by_draw=by_draw, by_item=by_item)
    items, draws, both = (width(comparison.mean_interval(matrix, over=over)) for over in comparison.OVER)
    assert both > max(items, draws)
    assert both == pytest.approx(math.hypot(items, draws), rel=0.1)  # the two variances add


@OVER
@settings(deadline=None, max_examples=15)
@given(matrix=MATRICES, shift=st.floats(-3, 3), scale=st.floats(0.1, 3))
def test_intervals_hold_the_mean_and_move_with_the_values(over, matrix, shift, scale):
    estimate = comparison.mean_interval(matrix, over=over)
    assert estimate.mean == pytest.approx(matrix.mean().item())
    assert matrix.min() - 1e-9 <= estimate.low <= estimate.high <= matrix.max() + 1e-9
    moved = comparison.mean_interval(matrix * scale + shift, over=over)
    assert moved.interval == pytest.approx([x * scale + shift for x in estimate.interval], abs=1e-6)


@OVER
def test_a_seed_repeats_an_interval(over):
    matrix = noisy(12, 30, by_draw=1, by_item=1)
    assert comparison.mean_interval(matrix, over=over) == comparison.mean_interval(matrix, over=over)
    assert comparison.mean_interval(matrix, over=over, seed=1) != comparison.mean_interval(matrix, over=over)


@pytest.mark.parametrize("shape", [(30,), (1, 30)])
def test_with_one_draw_both_is_over_items(shape):
    values = torch.randn(30, generator=torch.Generator().manual_seed(2)).reshape(shape)
    assert comparison.mean_interval(values) == comparison.mean_interval(values, over="items")
    assert comparison.mean_interval(values).draws == 1
    with pytest.raises(ValueError, match="One draw cannot say how much draws differ"):
        comparison.mean_interval(values, over="draws")


def test_an_estimate_reads_well():
    estimate = comparison.Estimate(0.51234, 0.4, 0.6, 2, 30)
    assert str(estimate) == "0.512 [0.400, 0.600]"
    assert estimate.interval == (0.4, 0.6)


@OVER
def test_nothing_differs_from_itself(over):
    matrix = noisy(4, 30, by_draw=1, by_item=1)
    same = comparison.paired_difference(matrix, matrix.clone(), over=over)
    assert (same.mean, *same.interval) == (0, 0, 0)


def test_pairing_removes_what_both_sides_share():
    hard = noisy(1, 200, by_draw=0, by_item=5)
    ours = hard + noisy(6, 200, by_draw=0.1, by_item=0.1, seed=3) + 1
    gain = comparison.paired_difference(ours, hard[0])
    assert (gain.draws, gain.items) == (6, 200)
    assert 0.5 < gain.low < gain.mean < gain.high < 1.5
    assert width(gain) < width(comparison.mean_interval(ours)) / 5
    lost = comparison.paired_difference(hard.expand(6, -1), ours)
    assert lost.mean == pytest.approx(-gain.mean)


def test_lists_of_whole_numbers_and_answers_are_taken():
    assert comparison.paired_difference([1, 1, 0], [0, 1, 0]).mean == pytest.approx(1 / 3)
    assert comparison.paired_difference([True, True, False], [False, True, False]).mean == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("values", "how", "says"),
    [
        ([[1.0, 2.0]], {"over": "rows"}, "Unknown over='rows'; expected one of items, draws, both"),
        ([[1.0, 2.0]], {"over": "draws"}, "One draw cannot say"),
        ([[1.0], [2.0]], {}, "at least two of them, got 1"),
        ([], {}, "at least two of them, got 0"),
        ([1.0, math.nan], {}, "NaN or infinite"),
        ([1.0, math.inf], {}, "NaN or infinite"),
        (torch.zeros(0, 5), {}, r"shape \(draws, items\) or \(items,\), got \(0, 5\)"),
        (torch.zeros(2, 3, 4), {}, r"got \(2, 3, 4\)"),
        (3.0, {}, r"got \(\)"),
        ([1.0, 2.0], {"level": 95}, "Is it a percentage"),
    ],
)
def test_what_has_no_interval_is_refused(values, how, says):
    with pytest.raises(ValueError, match=says):
        comparison.mean_interval(values, **how)


@pytest.mark.parametrize(
    ("ours", "baseline", "says"),
    [
        ((3, 5), (4,), "the same items on both sides, got 5 and 4"),
        ((3, 5), (2, 5), r"shape \(3, 5\), or one row for all draws, got \(2, 5\)"),
        ((5,), (2, 5), r"shape \(5,\)"),
    ],
)
def test_what_cannot_be_paired_is_refused(ours, baseline, says):
    with pytest.raises(ValueError, match=says):
        comparison.paired_difference(torch.zeros(ours), torch.zeros(baseline))


def predictions(noise, draws=3, items=400, seed=0):
    """A truth and predictions of it with this much noise."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randn(items, generator=generator)
    return truth, truth + noise * torch.randn(draws, items, generator=generator)


def test_a_correlation_and_its_interval():
    truth, ours = predictions(1.0)
    found = comparison.correlation_difference(ours, None, truth)
    expected = torch.corrcoef(torch.cat([truth[None], ours]))[0, 1:].mean().item()
    assert found.mean == pytest.approx(expected, abs=1e-6)
    assert found.low < found.mean < found.high and found.high - found.low < 0.15
    assert (found.draws, found.items) == (3, 400)


def test_a_difference_of_correlations_is_paired():
    truth, worse = predictions(1.0)
    better = truth + 0.9 * (worse - truth)  # the same errors, a little smaller
    found = comparison.correlation_difference(better, worse, truth, over="items")
    alone = comparison.correlation_difference(better, None, truth, over="items")
    assert found.low > 0 and found.high - found.low < 0.3 * (alone.high - alone.low)
    assert comparison.correlation_difference(worse, worse, truth).interval == (0, 0)
    baseline = comparison.correlation_difference(better, worse[0], truth)
    assert baseline.mean > 0


def test_the_interval_of_a_correlation_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(60):
        truth, ours = predictions(1.0, draws=1, items=150, seed=seed)
        found = comparison.correlation_difference(ours, None, truth, over="items")
        held += found.low <= 0.5**0.5 <= found.high
    assert 50 <= held <= 60


def test_over_draws_the_items_are_kept():
    truth, ours = predictions(1.0)
    same = ours[:1].expand(3, -1)
    assert comparison.correlation_difference(same, None, truth, over="draws").interval == pytest.approx(
        [comparison.correlation_difference(same, None, truth).mean] * 2
    )
    with pytest.raises(ValueError, match="One draw cannot say"):
        comparison.correlation_difference(ours[:1], None, truth, over="draws")


@pytest.mark.parametrize("wrong", [(torch.ones(3), None), (torch.rand(2, 400), torch.rand(3, 400))])
def test_predictions_of_other_items_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected predictions for the 400 items"):
        comparison.correlation_difference(*wrong, predictions(1.0)[0])


def test_a_correlation_is_held_against_a_recorded_one():
    # atanh 0.8 = 1.0986, and 1.96 √(2 / 197) = 0.1975: from tanh 0.9011 = 0.7167 to tanh 1.2961 = 0.8606
    expected = pytest.approx((0.7167, 0.8606), abs=1e-3)
    assert comparison.prediction_interval(0.8, items=200, recorded_items=200) == expected
    low, high = comparison.prediction_interval(0.8, items=2000, recorded_items=2000)
    assert 0.72 < low < 0.8 < high < 0.86


def test_the_prediction_interval_holds_another_sample_as_often_as_it_says():
    held = 0
    for seed in range(100):
        found = []
        for half in (0, 1):
            truth, ours = predictions(1.0, draws=1, items=150, seed=2 * seed + half)
            found.append(comparison.correlation_difference(ours, None, truth, over="items").mean)
        low, high = comparison.prediction_interval(found[1], items=150, recorded_items=150)
        held += low <= found[0] <= high
    assert 88 <= held <= 99


@pytest.mark.parametrize("wrong", [(1.0, 100, 100), (-1.2, 100, 100), (0.5, 100, 3), (0.5, 3, 100)])
def test_no_prediction_from_a_perfect_correlation_or_from_three_items(wrong):
    with pytest.raises(ValueError, match="between -1 and 1 and at least 4 items twice, got "):
        comparison.prediction_interval(wrong[0], items=wrong[1], recorded_items=wrong[2])
