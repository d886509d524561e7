from collections import Counter

import pytest

from course_utils.engine.batching import micro_batches, rows_of_step
from course_utils.engine.recipe import TrainingRecipe

LENGTHS = [(7 * row) % 23 + 1 for row in range(30)]


def recipe(**fields):
    return TrainingRecipe(**({"steps": 100, "batch_size": 6, "learning_rate": 1e-3} | fields))


def batches(steps, **fields):
    return [rows_of_step(step, LENGTHS, recipe(**fields)) for step in range(1, steps + 1)]


@pytest.mark.parametrize("pool", [1, 2, 3, 5])
def test_every_row_comes_once_an_epoch(pool):
    steps = 5 * pool * 6  # whole epochs and whole pools
    assert set(Counter(row for batch in batches(steps, pool=pool) for row in batch).values()) == {steps * 6 // 30}


def test_the_pool_is_one_epoch_when_it_holds_all_rows():
    assert sorted(row for batch in batches(5, pool=5) for row in batch) == list(range(30))


def test_batches_are_a_pure_function_of_seed_and_step():
    assert batches(20)[12] == rows_of_step(13, LENGTHS, recipe())
    assert batches(20) != batches(20, seed=1)
    assert batches(5) != batches(10)[5:]  # epochs differ


def test_sorting_within_a_batch_changes_no_batch_but_its_order():
    flat = [rows_of_step(step, [1] * 30, recipe()) for step in range(1, 11)]
    assert [sorted(batch) for batch in batches(10)] == [sorted(batch) for batch in flat]


@pytest.mark.parametrize("pool", [1, 4])
def test_the_longest_row_comes_first(pool):
    for batch in batches(12, pool=pool):
        assert [LENGTHS[row] for row in batch] == sorted((LENGTHS[row] for row in batch), reverse=True)


def test_a_pool_saves_padding():
    def padded(pool):
        return sum(max(LENGTHS[row] for row in batch) * len(batch) for batch in batches(20, pool=pool))

    assert padded(5) < 0.85 * padded(1)


def test_pooled_batches_come_in_random_order():
    longest = [max(LENGTHS[row] for row in batch) for batch in batches(10, pool=5)]
    assert longest[:5] != sorted(longest[:5], reverse=True) or longest[5:] != sorted(longest[5:], reverse=True)


def test_fewer_rows_than_a_batch_repeat():
    batch = rows_of_step(1, [3, 4], recipe())
    assert Counter(batch) == {0: 3, 1: 3}


def test_micro_batches():
    assert micro_batches([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]


def test_each_group_of_batches_has_an_order_of_its_own():
    longest = [max(LENGTHS[row] for row in batch) for batch in batches(100, pool=5)]
    orders = {tuple(sorted(range(5), key=lambda place: -longest[start + place])) for start in range(0, 100, 5)}
    assert len(orders) > 5, "the longest batch must not stand in the same place in every group"
