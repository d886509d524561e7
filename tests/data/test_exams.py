"""Items have the form of their kind, the right answer moves with its choice, and nothing depends on the machine."""

import pytest

from course_utils.data import exams


def test_a_question_is_read_with_its_choices():
    text = "What is it?\nA. a film\nB. a book.\nC. a song\nD. no idea\nAnswer:"
    item = exams.parsed(text, [rf"\n{letter}\." for letter in exams.LETTERS], "B")
    assert item == exams.Item("What is it?", ("a film", "a book", "a song", "no idea"), 1)
    assert item.listed() == "What is it?\nA. a film\nB. a book\nC. a song\nD. no idea\nAnswer:"
    assert item.unlisted() == "What is it?\nAnswer:" and item.chance == 0.25


@pytest.mark.parametrize("text", ["What is it? A: one; B: two", "Why? A: one; B: one; C: two."])
def test_another_form_is_left_out(text):
    assert exams.parsed(text, [" A:", "; B:", "; C:"], "A") is None


def test_the_right_answer_moves_with_its_choice():
    item = exams.Item("?", ("a", "b", "c"), 2)
    for by in range(7):
        moved = item.rotated(by)
        assert moved.choices[moved.answer] == "c" and sorted(moved.choices) == ["a", "b", "c"]
    assert item.rotated(1).choices == ("b", "c", "a") and item.rotated(3) == item


@pytest.mark.parametrize(("choices", "answer"), [(("a",), 0), (("a", "a"), 0), (("a", "b"), 2), (tuple("abcde"), 0)])
def test_what_is_no_item_is_refused(choices, answer):
    with pytest.raises(ValueError, match="xpected"):
        exams.Item("?", choices, answer)


def test_sums_are_right_and_spread_over_the_letters():
    items = exams.sums(200)
    for item in items:
        one, two = map(int, item.question.removeprefix("What is ").removesuffix("?").split(" + "))
        assert int(item.choices[item.answer]) == one + two and len(set(item.choices)) == 4
    assert len({item.question for item in items}) == 200
    assert all(30 < sum(item.answer == place for item in items) < 70 for place in range(4))


@pytest.mark.parametrize(("kind", "choices"), [
    ("knowledge", 4), ("reasoning", 4), ("common-sense", 3), ("arithmetic", 4), ("conversation", 4),
])  # fmt: skip
def test_each_kind_has_items_of_one_form(kind, choices):
    items = exams.load(kind, 100)
    assert {len(item.choices) for item in items} == {choices}
    assert items == exams.load(kind)[:100] and all(len(item.question) <= exams.LONGEST for item in items)
    assert all(sum(item.answer == place for item in items) >= 10 for place in range(choices))


def test_a_wrong_kind_and_too_many_are_refused():
    with pytest.raises(ValueError, match="There is no kind 'history'"):
        exams.load("history")
    with pytest.raises(ValueError, match="Expected 500 items of arithmetic, there are 400"):
        exams.load("arithmetic", 500)


def test_a_long_answer_is_cut_behind_a_word():
    cut = exams._cut("word " * 60, 42)
    assert cut == "word word word word word word word word" and exams._cut("a\n b", 3) == "a b"
