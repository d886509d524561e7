"""Tables line up, say what is missing, and are never empty."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.reporting import tables

ROWS = [{"name": "raw", "accuracy": 0.5, "n": 200}, {"name": "calibrated", "accuracy": 0.81234, "n": 1500}]
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(-1e6, 1e6), st.text("abc –", max_size=9))


def test_words_stand_left_and_numbers_right():
    assert tables.as_text(ROWS).splitlines() == [
        "name        accuracy     n",
        "──────────  ────────  ────",
        "raw            0.500   200",
        "calibrated     0.812  1500",
    ]


def test_show_prints_the_text(capsys):
    tables.show(ROWS, title="Shots")
    assert capsys.readouterr().out == "Shots\n\n" + tables.as_text(ROWS) + "\n"


def test_columns_are_chosen_and_ordered():
    assert tables.as_text(ROWS, ["n", "name"]).splitlines()[2] == " 200  raw"
    assert tables.as_text(ROWS, ("accuracy",)).splitlines() == ["accuracy", "────────", "   0.500", "   0.812"]


def test_missing_values_and_answers_in_words():
    rows = [{"n": 1, "ok": True, "why": None}, {"n": None, "ok": False}, {"n": 30, "ok": True, "why": "x"}]
    assert tables.as_text(rows).splitlines() == [
        " n  ok   why",
        "──  ───  ───",
        " 1  yes  –",
        " –  no   –",
        "30  yes  x",
    ]


@pytest.mark.parametrize("rows", [[], ()])
def test_no_rows_are_an_error(rows):
    with pytest.raises(ValueError, match="at least one row"):
        tables.as_text(rows)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.fixed_dictionaries({"one": VALUES, "a longer name": VALUES, "end": st.just("|")}), min_size=1))
def test_columns_line_up(rows):
    lines = tables.as_text(rows).splitlines()
    assert len(lines) == len(rows) + 2
    assert len({line.rindex("|") for line in lines[2:]}) == 1
    assert lines[0].index("end") == lines[2].rindex("|")
    assert all(line == line.rstrip() for line in lines)


def test_texts_stand_side_by_side_and_cannot_break_the_page():
    shown = tables.side_by_side([{"asked": "why", "said": "<b>so\nand so"}, {"asked": "who", "said": "I"}]).data
    assert shown.count("<tr>") == 3 and shown.count("<th") == 2 and shown.count("<td") == 4
    assert "&lt;b&gt;so\nand so" in shown and "<b>" not in shown
    with pytest.raises(ValueError, match="at least one row"):
        tables.side_by_side([])
