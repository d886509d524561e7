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


def test_the_least_gain_and_the_nearest_rival_are_those_of_their_tables(record):
    _, gain, low, high = scaling_arms.least_gain(record)
    assert gain == min(-by for _, by, _, _ in record["summary"]["mixtures"]["best"].values()) and low <= gain <= high
    kind, size, by, low, high = scaling_arms.nearest_rival(record)
    bits = {of: record["summary"]["rivals"][of][size]["bits_per_byte"] for of in ("vanilla", kind)}
    assert kind != "vanilla" and size in ("48x2", "64x3", "96x3") and low <= by <= high
    assert (by < 0) == (bits[kind] < bits["vanilla"])
    assert scaling_arms.least_gain(scaling.EMPTY) is None and scaling_arms.nearest_rival(scaling.EMPTY) is None


def test_the_largest_step_is_an_even_share_of_a_straight_line():
    assert scaling_arms.largest_step([1, 2, 3, 4]) == pytest.approx(1 / 3)
    assert scaling_arms.largest_step([5, 5, 5, 1]) == 1 and scaling_arms.largest_step([0, 0.5, 2]) == 0.75
    with pytest.raises(ValueError, match="three values or more that change"):
        scaling_arms.largest_step([1, 1, 1])


def test_exact_spans_come_suddenly_and_nats_do_not(record):
    found = scaling_arms.suddenness(record, 8)
    assert len(found) == 3 and all(exact > 0.5 > nats for exact, nats in found)
    assert list(record["summary"]["recited"]) == list(grid.SEEDED) and scaling_arms.suddenness(scaling.EMPTY, 8) == []
