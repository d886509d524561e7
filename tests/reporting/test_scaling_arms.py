"""The numbers behind the claims of 04 on mixtures, rivals and what is known by heart."""

import pytest
from helpers import scaling_record

from course_utils.experiments import scaling_grid as grid
from course_utils.reporting import scaling, scaling_arms


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    with scaling_record.few_resamples():
        yield


@pytest.fixture(scope="module")
def record():
    return scaling_record.made()


def test_the_least_gain_is_of_the_kind_that_gains_least():
    best = {"prose": ["prose", -0.3, -0.4, -0.2], "old": ["code", -0.1, -0.2, -0.05]}
    assert scaling_arms.least_gain({"summary": {"mixtures": {"best": best}}}) == ("old", 0.1, 0.05, 0.2)
    assert scaling_arms.least_gain(scaling.EMPTY) is None


def test_the_nearest_rival_is_the_one_with_the_fewest_bits(record, monkeypatch):
    bits = {"vanilla": 3.0, "gemma": 2.9, "experts-weights": 3.2, "lstm": 2.95}
    faster = {"48x2": 0, "64x3": 0, "96x3": 0.01}
    documents = lambda _, kind, size: [bits[kind] - (kind == "gemma") * faster[size] + n for n in range(3)]  # noqa: E731
    monkeypatch.setattr(scaling_arms, "_documents", documents)
    kind, size, *by = scaling_arms.nearest_rival(record)
    assert (kind, size) == ("gemma", "96x3") and by == pytest.approx([-0.11] * 3, abs=1e-5)
    assert scaling_arms.nearest_rival(scaling.EMPTY) is None


def test_the_documents_of_a_rival_are_those_of_its_best_rate(record):
    assert len(scaling_arms._documents(record, "lstm", grid.RIVAL_AT)) == 6


def test_the_largest_step_is_an_even_share_of_a_straight_line():
    assert scaling_arms.largest_step([1, 2, 3, 4]) == pytest.approx(1 / 3)
    assert scaling_arms.largest_step([5, 5, 5, 1]) == 1 and scaling_arms.largest_step([0, 0.5, 2]) == 0.75
    with pytest.raises(ValueError, match="three values or more that change"):
        scaling_arms.largest_step([1, 1, 1])


def test_exact_spans_come_suddenly_and_nats_do_not(record):
    found = scaling_arms.suddenness(record, 8)
    assert len(found) == 3 and all(exact > 0.5 > nats for exact, nats in found)
    assert list(record["summary"]["recited"]) == list(grid.SEEDED) and scaling_arms.suddenness(scaling.EMPTY, 8) == []
