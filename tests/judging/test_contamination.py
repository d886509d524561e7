"""Detectors by hand and on a model that learned a text; rewording keeps the right answer."""

import pytest
import torch

from course_utils.data.exams import Item
from course_utils.judging import contamination

ITEM = Item("Which of the following is the film?", ("good", "bad", "fine", "a film"), 1)


def test_rewording_keeps_what_is_right_and_changes_letter_and_words():
    other = contamination.reworded(ITEM)
    assert other.choices[other.answer] == "bad" and other.answer != ITEM.answer
    assert "Which one of these" in other.question and ITEM.question not in other.question
    assert contamination.whole(ITEM).endswith("Answer: B")


def test_tokens_are_scored_as_one_text_is_read(tiny_model, tiny_tokenizer):
    rows = [tiny_tokenizer(text).input_ids for text in ("the film is good", "a bad movie is bad")]
    for row, found in zip(rows, contamination.token_scores(tiny_model, rows), strict=True):
        with torch.no_grad():
            logits = tiny_model(torch.tensor([row])).logits[0].log_softmax(-1)
        expected = [logits[place - 1, token].item() for place, token in enumerate(row)][2:]
        assert found.tolist() == pytest.approx(expected, abs=1e-4)


def test_odd_rows_are_refused(tiny_model):
    for rows in ([], [[2]], [[2, 5], [3, 5]]):
        with pytest.raises(ValueError, match="begin with the same one"):
            contamination.token_scores(tiny_model, rows)


def test_the_least_likely_tokens():
    assert contamination.min_k([-1.0, -5.0, -2.0, -3.0, -1.0], 0.4) == pytest.approx(-4)
    assert contamination.min_k([-1.0, -5.0], 0.1) == -5.0
    for bad in (([], 0.2), ([-1.0], 0.0), ([-1.0], 1.5)):
        with pytest.raises(ValueError, match="at least one token"):
            contamination.min_k(*bad)


def test_seen_and_unseen():
    assert contamination.told_apart([2.0, 3.0], [0.0, 1.0]) == 1.0
    assert contamination.told_apart([1.0, 1.0], [1.0, 1.0]) == 0.5


def test_own_order_by_hand():
    own = contamination.own_order([-1.0, -2.0, -3.0], [[-2.0, -3.0], [-1.0, -3.0], [-3.0, -1.0]])
    assert own.tolist() == [1.5, 0.0, -1.0]
