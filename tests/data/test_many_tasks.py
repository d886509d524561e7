"""Six tasks: balanced, disjoint, the same on every machine, and one of the reader's own."""

from collections import Counter

import pytest

from course_utils.data import many_tasks

ROWS = [(f"word{n} of kind {'ab'[n % 2]}", n % 2) for n in range(90)]


@pytest.mark.parametrize("name", many_tasks.NAMES)
def test_each_task_is_balanced_and_shows_nothing_that_it_asks(name):
    task = many_tasks.load(name)
    counts = Counter(task.labels)
    assert len(task.test) == 200 and set(counts.values()) == {200 // len(task.words)}
    parts = [{e.text for e in task.train}, set(task.unlabelled), {e.text for e in task.test}]
    assert not (parts[0] & parts[2] or parts[1] & parts[2] or parts[0] & parts[1])
    assert len(task.unlabelled) == 60 and {e.label for e in task.train} == set(counts)
    drawn = task.draw(8, seed=0)
    assert drawn == task.draw(8, seed=0) != task.draw(8, seed=1)
    assert set(Counter(e.label for e in drawn).values()) == {8 // len(task.words)}
    assert task.prompt(drawn).count("\n\n") >= 8 and task.asked("Yes") in task.question.replace("{text}", "Yes")


def test_an_own_task_and_what_is_refused():
    task = many_tasks.own("kinds", "Which? {text}\nKind:", (" a", " b"), ROWS, test=20, unlabelled=10)
    assert len(task.test) == 20 and Counter(task.labels) == {0: 10, 1: 10}
    assert {e.text[-1] for e in task.train if e.label} == {"b"}
    with pytest.raises(ValueError, match=r"has [0-9]+ rows of ' a' to ask about, expected 100"):
        many_tasks.own("kinds", "Which? {text}\nKind:", (" a", " b"), ROWS)
    with pytest.raises(ValueError, match="labels from 0 to 1"):
        many_tasks.own("kinds", "Which? {text}\nKind:", (" a", " b"), [*ROWS, ("more", 2)])
    with pytest.raises(ValueError, match=r"place \{text\} once"):
        many_tasks.own("kinds", "Which?", (" a", " b"), ROWS, test=20, unlabelled=10)
    with pytest.raises(ValueError, match="start with a space"):
        many_tasks.own("kinds", "{text}", ("a", "b"), ROWS, test=20, unlabelled=10)
    with pytest.raises(ValueError, match="Choose from: sentiment"):
        many_tasks.load("nothing")
    with pytest.raises(ValueError, match="are to be drawn"):
        task.draw(200, seed=0)


def test_an_answer_never_stands_in_the_question():
    """A direction is asked without its choices, a turn without its question mark."""
    assert all(" A:" not in e.text and "\n" not in e.text for e in many_tasks.load("direction").test)
    assert not any(e.text.endswith(("?", ".")) for e in many_tasks.load("turn").test)
