import pytest
from transformers import AutoTokenizer

from course_utils.data import dialogue

ROWS = [{"prompt": "is the film good ", "answer": " yes"}, {"prompt": "hello", "answer": "hello world"}]


@pytest.fixture
def tokenizer(tiny_folder):
    return AutoTokenizer.from_pretrained(tiny_folder)


def test_a_chat_is_what_the_template_writes(tokenizer):
    """Examples included: they are earlier turns."""
    way = dialogue.chat(tokenizer).showing(ROWS[:1])
    messages = []
    for row in ROWS:
        messages += [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["answer"]}]
    expected = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert way.beginning + way.question("hello") == list(expected)
    whole = tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
    answered = [*expected, *way.answer("hello world"), way.ends[0]]
    assert list(whole)[: len(answered)] == answered


def test_plain_text_shows_the_examples_before_the_question(tokenizer):
    way = dialogue.Dialogue(tokenizer, "Q\n", "\nA\n", "?", examples=(("the film", "good"),))
    assert tokenizer.decode(way.beginning) == "<bos>Q\nthe film\nA\ngood?\nQ\n"
    assert tokenizer.decode(way.question("a movie")) == "a movie\nA\n"
    assert way.ends == [tokenizer.convert_tokens_to_ids("?"), tokenizer.eos_token_id]


def test_an_end_mark_of_several_tokens_is_refused(tokenizer):
    with pytest.raises(ValueError, match="is 2 tokens; a model stops at a single one"):
        dialogue.Dialogue(tokenizer, "", "\n", "\n?")
