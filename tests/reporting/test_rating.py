"""A reader's choices count like anybody's, last over restarts, and are never made by a headless run."""

import pytest

from course_utils.reporting import rating

PAIRS = [
    {"chosen": f"good {n}", "rejected": f"bad {n}", "chosen_id": f"c{n}", "rejected_id": f"r{n}"} for n in range(8)
]


def by_panel(mine, number):
    """The side on which the panel's choice stands."""
    return "AB"[mine.sides(number).index(PAIRS[number]["chosen"])]


def test_choices_are_right_where_the_panel_chose_the_same():
    mine = rating.Rating(PAIRS)
    assert mine.open == list(range(8)) and mine.right.tolist() == [] and mine.bars() == {}
    mine.choose(0, by_panel(mine, 0))
    assert mine.bars() == {}
    mine.choose(3, "AB"[by_panel(mine, 3) == "A"])
    assert mine.right.tolist() == [1.0, 0.0] and mine.open == [1, 2, 4, 5, 6, 7]
    assert mine.bars()["you, 2 pairs"].mean == 0.5


def test_the_better_text_stands_on_both_sides():
    mine = rating.Rating(PAIRS)
    assert {by_panel(mine, number) for number in range(8)} == {"A", "B"}
    assert all(set(mine.sides(n)) == {PAIRS[n]["chosen"], PAIRS[n]["rejected"]} for n in range(8))


def test_choices_last_and_can_be_changed():
    rating.Rating(PAIRS).choose(2, "A")
    rating.Rating(PAIRS).choose(2, "B")
    again = rating.Rating(PAIRS)
    assert again.choices == {2: "B"}
    assert rating.Rating(PAIRS[3:]).choices == {}


def test_a_headless_run_does_not_read_them(monkeypatch):
    rating.Rating(PAIRS).choose(2, "A")
    monkeypatch.setenv("COURSE_NOTEBOOK", "08_reward_modeling")
    assert rating.Rating(PAIRS).choices == {}


@pytest.mark.parametrize(("number", "side"), [(0, "C"), (8, "A"), (-1, "B")])
def test_what_is_no_choice_is_refused(number, side):
    with pytest.raises(ValueError, match="Expected 'A' or 'B' for one of the pairs 0 to 7"):
        rating.Rating(PAIRS).choose(number, side)
