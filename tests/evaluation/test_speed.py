"""A machine's speed is a median after a warm-up, and minutes scale with it."""

import itertools

import pytest
import torch

from course_utils import recipes
from course_utils.evaluation import speed


def test_speed_is_the_median_after_a_warm_up(tiny_model, monkeypatch):
    seconds = [0.5, 4.0, 1.0, 2.0]  # the first round only warms up, however long it takes
    ticks = itertools.chain.from_iterable((10.0 * n, 10.0 * n + s) for n, s in enumerate(seconds))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(ticks))
    assert speed.reading_speed(tiny_model, 30) == 15.0


def test_two_actions_are_timed_in_turns_and_the_first_round_is_left_out(monkeypatch):
    ticks, done = iter([0, 9, 10, 10, 13, 14, 20, 21, 22, 30, 31, 33]), []
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(ticks))
    assert speed.in_turns(lambda: done.append("a"), lambda: done.append("b"), rounds=3) == [0.5, 1.0, 3.0]
    assert done == ["a", "b"] * 4


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


class Clock:
    """A clock that goes one second further each time it is read."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(speed.time, "perf_counter", self.read)

    def read(self):
        self.now += 1.0
        return self.now


def test_writing_counts_the_tokens_of_all_rows(tiny_model, monkeypatch):
    Clock(monkeypatch)
    assert speed.writing_speed(tiny_model, rows=3, tokens=5) == 15.0


def test_writing_feeds_each_token_once_and_never_a_strided_head(tiny_model):
    widths, seen = [], []
    hooks = [
        tiny_model.base_model.register_forward_pre_hook(
            lambda module, arguments, keywords: widths.append(arguments[0].shape[1]), with_kwargs=True
        ),
        tiny_model.lm_head.register_forward_pre_hook(lambda module, given: seen.append(given[0].is_contiguous())),
    ]
    speed.writing_speed(tiny_model, rows=2, tokens=3, prompt=4)
    for hook in hooks:
        hook.remove()
    assert widths == [4, 1, 1, 1, 1] and seen == [True] * 5


def test_a_copy_counts_what_is_read_and_written(monkeypatch):
    Clock(monkeypatch)
    assert speed.copy_bandwidth(megabytes=1, rounds=2) == 2 * 2**20
