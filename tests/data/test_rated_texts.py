"""Rated texts come in lists: every pair far enough apart, by the half of the people who decide."""

import pytest
import torch
from transformers import AutoTokenizer

from course_utils.data import preference, rated_texts, reviews


def test_texts_carry_the_mean_of_the_half_that_decides():
    rows = preference.rated_rows("gold", "test")
    found = rated_texts.load(rows, 50, part=1, seed=3)
    means = dict(zip(rows["id"], reviews.panel_mean(reviews.panel_parts(rows)[1]), strict=True))
    assert len(set(found["id"])) == 50 and all(means[row["id"]] == row["mean"] for row in found)
    assert found["id"] != rated_texts.load(rows, 50, part=1, seed=4)["id"]
    with pytest.raises(ValueError, match="Expected 9999 rated texts, there are"):
        rated_texts.load(rows, 9999)


def test_all_pairs_far_enough_apart_and_no_other():
    better, worse = rated_texts.pairs_of([1.0, 3.0, 1.2, -2.0], 0.3)
    assert set(zip(better.tolist(), worse.tolist(), strict=True)) == {(1, 0), (1, 2), (1, 3), (0, 3), (2, 3)}
    assert len(rated_texts.pairs_of([1.0, 1.1], 0.3)[0]) == 0


def test_a_list_is_a_batch_of_texts_with_its_pairs(tiny_folder):
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    rows = [{"prompt": "the film?", "text": text, "mean": mean} for text, mean in (("good", 2), ("a bad film", -1))]
    encoded = rated_texts.encode(rows, tokenizer, answer_tokens=12)
    pairs = [{"prompt": "the film?", "chosen": "good", "rejected": "a bad film"}]
    expected = preference.encode(pairs, tokenizer, answer_tokens=12)[0]
    assert [row["text_ids"] for row in encoded] == [expected["chosen_ids"], expected["rejected_ids"]]
    batch = rated_texts.ListCollator(tokenizer.pad_token_id, 0.5)(encoded)
    same = preference.PairCollator(tokenizer.pad_token_id)([expected])
    assert batch.keys() == same.keys() and all(torch.equal(batch[name], same[name]) for name in batch)
    with pytest.raises(ValueError, match="All 2 texts are longer than 2 tokens"):
        rated_texts.encode(rows, tokenizer, answer_tokens=12, max_length=2)
