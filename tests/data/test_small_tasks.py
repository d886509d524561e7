"""Dates agree with the calendar's own notation; the Korean list is forty different pairs."""

from datetime import datetime

import pytest

from course_utils.data import small_tasks


@pytest.mark.parametrize("seed", [0, 1])
def test_dates_are_what_the_calendar_says(seed):
    for question, answer in small_tasks.dates(40, seed=seed):
        assert datetime.strptime(question, "%d %B %Y").strftime("%Y-%m-%d") == answer


def test_the_same_seed_gives_the_same_dates():
    assert small_tasks.dates(seed=3) == small_tasks.dates(seed=3) != small_tasks.dates(seed=4)


def test_korean_words_are_forty_pairs_without_a_repeat_in_english():
    pairs = small_tasks.korean()
    assert len(pairs) == len({english for english, _ in pairs}) == 40
    assert all(english.isascii() and all("가" <= letter <= "힣" for letter in korean) for english, korean in pairs)


@pytest.mark.parametrize("task", [small_tasks.capitals, small_tasks.opposites])
def test_other_lists_are_forty_eight_pairs_of_single_words_without_a_repeat(task):
    pairs = task()
    assert len(pairs) == len({question for question, _ in pairs}) == len({answer for _, answer in pairs}) == 48
    assert all(question.isalpha() and answer.isalpha() for question, answer in pairs)
    assert pairs == task() and pairs != sorted(pairs)
