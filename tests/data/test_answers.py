import pytest

from course_utils.data import instructions
from course_utils.data.answers import Turns


@pytest.fixture
def turns(tiny_tokenizer):
    return Turns.of(tiny_tokenizer)


def test_prompt_and_answer_are_the_tokens_of_the_whole_dialogue(turns, tiny_tokenizer):
    row = {"prompt": "is the film good?", "answer": "yes, a great film."}
    ids, mask = instructions.encode_dialogue(instructions.dialogue(row), tiny_tokenizer)
    last = max(place for place, said in enumerate(mask) if said)
    assert [*turns.prompt(row["prompt"]), *turns.answer(row["answer"], 99)] == ids[: last + 1]
    assert turns.end == tiny_tokenizer.convert_tokens_to_ids("<end_of_turn>")


def test_a_long_answer_is_cut_and_loses_its_end(turns):
    whole = turns.answer("a great film", 99)
    assert whole[-1] == turns.end and turns.answer("a great film", len(whole)) == whole
    assert turns.answer("a great film", len(whole) - 1) == whole[:-1]


def test_an_opening_is_the_beginning_of_the_answer(turns):
    whole = [*turns.prompt("hello"), *turns.answer("the film is good", 99)]
    begun = turns.prompt("hello", "the film")
    assert whole[: len(begun)] == begun and len(begun) > len(turns.prompt("hello"))
    assert turns.text(whole[len(turns.prompt("hello")) :]) == "the film is good"


def test_an_empty_prompt_is_refused(turns):
    with pytest.raises(ValueError, match="at least one visible character, got an empty one"):
        turns.prompt("  \n")
