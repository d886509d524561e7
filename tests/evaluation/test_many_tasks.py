"""Three kinds of answerer under one rule: a prompted model, anything with logits, a specialist."""

import pytest
import torch

from course_utils.data import many_tasks as tasks
from course_utils.evaluation import many_tasks

ROWS = [(f"{'good fine great' if n % 2 else 'bad poor dull'} film {n}", n % 2) for n in range(120)]


@pytest.fixture
def task():
    return tasks.own("films", "Review: {text}\nIt is", (" bad", " good"), ROWS, test=20, unlabelled=20)


def test_a_specialist_learns_what_words_tell(task):
    found = many_tasks.over_draws(many_tasks.specialist, task, 8, 3)
    assert found["raw"].shape == (3, 20) and found["raw"].mean() == 1
    gain = many_tasks.above(found["calibrated"], 0.5)
    assert gain.mean == pytest.approx(0.5) and many_tasks.above(found["raw"], found["raw"]).mean == 0
    three = tasks.Task("films", "{text} is", (" bad", " good", " odd"), task.train, task.unlabelled, task.test)
    scores = many_tasks.specialist(three, task.draw(8, seed=0), ["good film"])  # a label that it never met
    assert scores.shape == (1, 3) and scores.argmax() == 1 and scores[0, 2] == -30


def test_calibration_takes_a_lean_away():
    labels = torch.tensor([0, 1] * 20)
    odds = torch.randn(40, generator=torch.Generator().manual_seed(0)) + 4 * labels + 10  # leans to label 1
    scores = torch.log_softmax(torch.stack([-odds / 2, odds / 2], -1).double(), -1)
    assert many_tasks.right(scores, labels).mean() == 0.5
    assert many_tasks.right(many_tasks.calibrated(scores, scores), labels).mean() > 0.9
    with pytest.raises(ValueError, match="NaN"):
        many_tasks.right(scores * float("nan"), labels)


def test_logits_of_any_kind_give_the_scores_of_a_prompted_model(task, tiny_model, tiny_tokenizer):
    encode = lambda text: tiny_tokenizer(text, add_special_tokens=False).input_ids  # noqa: E731
    texts, bos = [e.text for e in task.test][:5], tiny_tokenizer.bos_token_id
    begun = []  # <bos> stands before the prompt alone

    def first(text):
        begun.append(text)
        return ([bos] if len(begun) == 1 else []) + encode(text)

    ours = many_tasks.by_logits(lambda ids: tiny_model(ids).logits, first, context=500, rows=3)
    examples = task.draw(2, seed=0)
    a = torch.log_softmax(ours(task, examples, texts), -1)
    b = many_tasks.prompted(tiny_model, tiny_tokenizer)(task, examples, texts)
    assert len(encode(" good")) == len(encode(" bad")) == 1
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_where_a_specialist_draws_level():
    assert many_tasks.level_at({8: 0.6, 16: 0.8, 32: 0.7, 64: 0.8}, 0.75) == 64
    assert many_tasks.level_at({8: 0.8, 16: 0.9}, 0.75) == 8 and many_tasks.level_at({8: 0.5}, 0.75) is None


def test_of_a_prompt_that_is_too_long_the_first_tokens_go(task):
    read = []

    def logits(ids):
        read.append(ids)
        return torch.zeros(*ids.shape, 256)

    ask = many_tasks.by_logits(logits, lambda text: list(text.encode()), context=12)
    ask(task, task.draw(8, seed=0), ["a film"])
    # eleven of twelve bytes are read, the last one is only predicted; words of four and five letters
    assert [bytes(row.tolist()) for row in torch.cat(read)] == [b"lm\nIt is ba", b"m\nIt is goo"]
