"""A model asked by prompts: where the text goes, where the answer begins, and what counts as its end."""

import pytest
import torch
from helpers import tiny_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer

from course_utils.data.many_tasks import Task
from course_utils.data.prompts import Example
from course_utils.evaluation.prompting import Asked, object_in
from course_utils.models import convert

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = (" good", " bad")


@pytest.fixture
def plain(tiny_model, tiny_tokenizer):
    return Asked(tiny_model, tiny_tokenizer, turns=False)


@pytest.fixture(scope="module")
def turns(tmp_path_factory):
    """A tiny instruct model with its own template."""
    folder = tmp_path_factory.mktemp("chat")
    convert.write(tiny_gguf.write_llama(tmp_path_factory.mktemp("file") / "chat.gguf"), folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return Asked(model, AutoTokenizer.from_pretrained(folder), turns=True)


def expected(asked, text, words):
    """log p of each word's first token behind a whole text, by one pass without anything shared."""
    ids = torch.tensor([asked.encoded(text)])
    with torch.inference_mode():
        logits = asked.model(ids).logits[0, -1]
    first = [asked.tokenizer(word, add_special_tokens=False).input_ids[0] for word in words]
    return logits[first].log_softmax(-1)


@pytest.mark.parametrize("prompt", ["the film {text} is", "{text} =>", "is the film\n{text}"])
def test_scores_behind_plain_text_are_those_of_the_whole(plain, prompt):
    texts = ["good", "a bad movie", "no"]
    found = plain.scores(prompt, WORDS, texts)
    for row, text in zip(found, texts, strict=True):
        whole = prompt.replace("{text}", text)
        torch.testing.assert_close(row, expected(plain, whole, WORDS), atol=1e-4, rtol=1e-4)


def test_where_the_answer_begins_a_line_its_words_have_no_space(plain):
    torch.testing.assert_close(
        plain.scores("film {text}\n", WORDS, ["good"])[0],
        expected(plain, "film good\n", ("good", "bad")),
        atol=1e-4,
        rtol=1e-4,
    )


@pytest.mark.parametrize(
    ("prompt", "words"), [("is the film", WORDS), ("", ("good", "bad")), ("film\n", ("good", "bad"))]
)
def test_without_the_text_all_texts_are_alike(plain, prompt, words):
    found = plain.scores(prompt, WORDS, ["good", "bad", "no"])
    torch.testing.assert_close(found, expected(plain, prompt, words).expand(3, -1), atol=1e-4, rtol=1e-4)


def test_turns_stand_around_the_prompt_and_nothing_in_front(turns):
    assert turns.whole("go {text}").startswith("<|im_start|>user: go {text}<|im_end|>")
    assert turns.encoded(turns.whole("go"))[0] == 1 != turns.encoded("go")[0]
    found = turns.scores("film {text}", (" g", " f"), ["go", "12"])
    for row, text in zip(found, ["go", "12"], strict=True):
        want = expected(turns, turns.whole(f"film {text}"), (" g", " f"))
        torch.testing.assert_close(row, want, atol=1e-4, rtol=1e-4)


def test_words_that_begin_alike_are_refused(plain):
    with pytest.raises(ValueError, match="begin with one token"):
        plain.scores("film {text}", (" good", " good"), ["a"])


def test_a_task_is_judged_raw_and_calibrated(plain):
    rows = [Example("film", 0), Example("movie", 1), Example("world", 0), Example("hello", 1)]
    task = Task("own", "{text} is", WORDS, [], ("good film", "bad film"), rows)
    found = plain.judged("the {text} is", task)
    scores = plain.scores("the {text} is", WORDS, [row.text for row in rows])
    assert found["raw"].tolist() == (scores.argmax(-1) == torch.tensor([0, 1, 0, 1])).double().tolist()
    assert found["calibrated"].shape == (4,)


def test_answers_end_at_the_line_unless_they_may_go_on(plain, turns, tiny_tokenizer):
    newline = tiny_tokenizer("\n", add_special_tokens=False).input_ids

    def forced(logits, written):
        shaped = torch.full_like(logits, -torch.inf)
        for row, tokens in enumerate(written):
            shaped[row, newline[0] if len(tokens) == 1 else tiny_tokenizer.get_vocab()["good"]] = 0
        return shaped

    assert plain.write(["the film"], new_tokens=4, reshape=forced)[0].rstrip() == "good"
    assert plain.write(["the film"], new_tokens=4, reshape=forced, lines=True)[0] == "good\ngoodgood"
    assert plain.write(["the"], new_tokens=4, begun=[" film"]) == plain.write(["the film"], new_tokens=4)
    with pytest.raises(ValueError, match="shorter"):
        plain.write(["the", "film"], new_tokens=4, begun=[" film"])
    assert newline[0] in plain.ends and turns.ends == [0, 2]
    assert len(turns.write(["go", "film"], new_tokens=3)) == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', '{"a": 1}'), ('Here:\n```json\n{\n "a": "}"\n}\n```', '{\n "a": "}"\n}'), ("none", "none"),
        ('{a} then {"b": {"c": 2}} {"d": 3}', '{"b": {"c": 2}}'), ('{"a": 1', '{"a": 1'),
    ],
)  # fmt: skip
def test_an_object_is_found_among_other_text(text, found):
    assert object_in(text) == found
