"""Sums of digits: what is asked, what is the answer, and what is read."""

import pytest

from course_utils.data import digit_sums as sums


def test_by_hand():
    assert sums.question((4, 7, 2)) == "4+7+2="
    assert (sums.at_once((4, 7, 2)), sums.by_steps((4, 7, 2))) == ("13", "11,13")
    assert sums.by_steps((9, 9, 9, 9)) == "18,27,36"


def test_draws_differ_are_repeatable_and_leave_out_what_is_asked():
    exam = sums.draw(30, 2, seed="exam")
    rows = sums.draw(51, 2, seed=0, without=exam)
    assert len(set(rows)) == 51 and not set(rows) & set(exam)
    assert sums.draw(51, 2, seed=0, without=exam) == rows != sums.draw(51, 2, seed=1, without=exam)
    assert {len(row) for row in rows} == {2} and set().union(*rows) == set(range(1, 10))


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="There are 51 such sums of 2 digits, not 52"):
        sums.draw(52, 2, seed=0, without=sums.draw(30, 2, seed=1))
    with pytest.raises(ValueError, match="at least two numbers"):
        sums.draw(1, 1, seed=0)


@pytest.mark.parametrize(
    ("text", "number"),
    [("13", 13), ("11,13", 13), ("The sum is 13.", 13), ("4 + 7 = 11, so 11 + 2 = 13\n", 13), ("", -1), ("none", -1)],
)
def test_the_last_number_is_the_answer(text, number):
    assert sums.read(text) == number
    assert sums.right([text], [(4, 7, 2)]) == [int(number == 13)]


def test_votes():
    assert sums.voted(["11,13", "12", "13"]) == 13
    assert sums.voted(["12", "13"]) == 12  # equally frequent: the first
    assert sums.voted(["so", "so", "9"]) == 9 and sums.voted(["so"]) == sums.NEVER


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (" 13.", 13),
        (" 13, since 4+7+2", 13),
        (" 4 + 7 + 2 = 13", 13),
        ("4+7=11, 11+2=13", 13),
        ("none", sums.NEVER),
    ],
)
def test_a_stated_number_stands_first_or_behind_the_last_sign(text, number):
    assert sums.stated(text) == number and sums.right([text], [(4, 7, 2)], by=sums.stated) == [int(number == 13)]
