"""Prompts from their parts: each text is what it says, and no two are the same."""

import pytest

from course_utils.data import many_tasks, prompt_parts


def test_a_prompt_from_its_parts():
    whole = prompt_parts.built("sentiment", prompt_parts.PARTS).split("\n")
    assert whole[2:] == ["Review: {text}", "Sentiment:"] and len(whole) == 4
    assert prompt_parts.built("sentiment", ("indicator", "input")) == "Review: {text}\nSentiment:"
    assert prompt_parts.built("sentiment", ("input",)) == "Review: {text}\n"
    assert prompt_parts.built("turn", ()) == ""
    with pytest.raises(ValueError, match="got output"):
        prompt_parts.built("turn", ("output",))


def test_sixteen_sets_with_names_of_their_own():
    sets = prompt_parts.combinations()
    codes = [prompt_parts.code(on) for on in sets]
    assert len(set(codes)) == 16 and codes[0] == "----" and codes[-1] == "icxo"
    assert prompt_parts.code(("input", "instruction")) == "i-x-"
    for place, part in enumerate(prompt_parts.PARTS):
        assert sum(code[place] != "-" for code in codes) == 8
        assert all((code[place] != "-") == (part in on) for code, on in zip(codes, sets, strict=True))


@pytest.mark.parametrize("task", prompt_parts.TASKS)
def test_every_task_is_one_of_those_with_answers(task):
    assert task in many_tasks.NAMES
    assert prompt_parts.built(task, prompt_parts.PARTS).count("{text}") == 1


@pytest.mark.parametrize("task", prompt_parts.REWORDINGS)
def test_wordings_have_the_text_once_and_differ(task):
    found = prompt_parts.wordings(task)
    assert next(iter(found)) == "plain" and len(set(found.values())) == len(found)
    assert all(text.count("{text}") == 1 for text in found.values())
    assert sum(name.startswith("reworded") for name in found) == 8
    plain = prompt_parts.REWORDINGS[task][0]
    role = next(text for name, text in found.items() if name.startswith("role"))
    emotion = next(text for name, text in found.items() if name.startswith("emotion"))
    assert role.index("You are") < role.index(plain) and emotion.index(plain) < emotion.index("career")
    assert '"""{text}"""' in found["layout: quotes"] and found["layout: sections"].startswith("## Task")


def test_candidates_differ_and_are_repeatable():
    drawn = prompt_parts.candidates(48, seed=0)
    assert len({(text, words) for text, words in drawn}) == 48 and drawn == prompt_parts.candidates(48, seed=0)
    assert drawn != prompt_parts.candidates(48, seed=1)
    assert all(text.count("{text}") == 1 and not text.endswith((" ", "\n")) for text, _ in drawn)


def test_every_task_has_the_same_wordings_by_name():
    names = {tuple(prompt_parts.wordings(task)) for task in prompt_parts.REWORDINGS}
    assert len(names) == 1 and len({len(said) for said in prompt_parts.REWORDINGS.values()}) == 1
