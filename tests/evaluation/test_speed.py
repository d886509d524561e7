"""A machine's speed is a median after a warm-up, and minutes scale with it."""

import itertools

import pytest
import torch

from course_utils import recipes
from course_utils.evaluation import speed


def test_speed_is_the_median_after_a_warm_up(tiny_model, monkeypatch):
    seconds = [100.0, 4.0, 1.0, 2.0]  # the first round warms up
    ticks = itertools.chain.from_iterable((10.0 * n, 10.0 * n + s) for n, s in enumerate(seconds))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(ticks))
    assert speed.reading_speed(tiny_model, 30) == 15.0


def test_as_many_known_tokens_are_read_as_were_asked_for(tiny_model, monkeypatch):
    read, base = [], tiny_model.base_model.forward
    monkeypatch.setattr(tiny_model.base_model, "forward", lambda row, **how: read.append(row) or base(row, **how))
    assert speed.reading_speed(tiny_model, 400, rounds=1) > 0
    assert [tuple(row.shape) for row in read] == [(1, 400)] * 2
    assert torch.cat(read).max() < tiny_model.config.vocab_size


@pytest.mark.parametrize("tier", recipes.TIERS)
def test_minutes_are_the_recipes_at_the_speed_they_were_measured_at(tier):
    rows = speed.minutes_here(recipes.READING_SPEED[tier], tier)
    assert [row["notebook"] for row in rows] == recipes.notebooks()
    for row in rows:
        recipe = recipes.of(row["notebook"], tier)
        assert row == {"notebook": row["notebook"], "minutes": recipe.minutes, "memory GB": recipe.memory_gb}


def test_half_the_speed_takes_twice_as_long():
    usual, slow = (speed.minutes_here(recipes.READING_SPEED["cpu"] / by, "cpu") for by in (1, 2))
    assert [row["minutes"] for row in slow] == [2 * row["minutes"] for row in usual]
    assert [row["memory GB"] for row in slow] == [row["memory GB"] for row in usual]
