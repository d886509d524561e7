"""The stream: whole documents in a drawn order, rows of equal length, read by step alone, counted once and again."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers import tiny_stream

from course_utils.engine.recipe import TrainingRecipe
from course_utils.text import corpus, token_stream

RECIPE = TrainingRecipe(method="full", steps=6, batch_size=4, learning_rate=1e-2, max_length=tiny_stream.LENGTH)


@pytest.fixture
def stream(tmp_path):
    return tiny_stream.make(tmp_path)


def test_every_document_stands_whole_once_behind_its_boundary(stream):
    ends = [*stream.starts[1:], len(stream.tokens)]
    found = [stream.decode(stream.tokens[start:end]) for start, end in zip(stream.starts, ends, strict=True)]
    assert sorted(found) == sorted(tiny_stream.TEXTS) and found != tiny_stream.TEXTS
    assert (np.flatnonzero(stream.tokens == stream.boundary) == stream.starts).all()
    assert stream.encode(found[0]) == stream.tokens[: stream.starts[1]].tolist()
    assert stream.tokens.max() == stream.boundary == tiny_stream.VOCABULARY - 1


def test_it_is_made_once_and_a_seed_changes_the_order_alone(tmp_path):
    first, asked = tiny_stream.make(tmp_path), []
    again = tiny_stream.make(tmp_path, documents=lambda: asked.append(1))
    other = tiny_stream.make(tmp_path, seed=1)
    assert not asked and (again.tokens == first.tokens).all() and again.tokenizer.merges == first.tokenizer.merges
    assert sorted(other.tokens) == sorted(first.tokens) and (other.tokens != first.tokens).any()
    assert isinstance(again.tokens, np.memmap) and again.tokens.dtype == np.uint16
    assert not list(tmp_path.glob(".tmp-*")) and not list(tmp_path.glob("*/unordered"))


def test_a_share_has_fewer_documents_and_the_same_vocabulary(tmp_path):
    whole, some = tiny_stream.make(tmp_path), tiny_stream.make(tmp_path, share=0.4)
    assert 5 < len(some.starts) < 30 and some.tokenizer.merges == whole.tokenizer.merges


def test_no_held_out_document_is_in_the_corpus_stream(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(corpus, "documents", lambda split="train": asked.append(split) or tiny_stream.documents())
    token_stream.prepare(tmp_path, tiny_stream.VOCABULARY, say=lambda line: None)
    assert asked and set(asked) == {"train"}


@pytest.mark.parametrize("vocabulary", [257, 1 << 17])
def test_a_vocabulary_that_fits_no_file_is_refused(tmp_path, vocabulary):
    with pytest.raises(ValueError, match="from 258 to 65,536"):
        token_stream.prepare(tmp_path, vocabulary, documents=tiny_stream.documents, key="tiny")


def test_rows_are_the_stream_cut_and_batches_know_their_documents(stream):
    rows = token_stream.Rows(stream, 16)
    assert np.concatenate([row["input_ids"] for row in (rows[n] for n in range(len(rows)))]).tolist() == (
        stream.tokens[: 16 * len(rows)].tolist()
    )
    batch = token_stream.RowCollator(stream.boundary)([rows[n] for n in range(8)])
    borders = [(row[1:] != row[:-1]).nonzero().flatten() + 1 for row in batch["documents"]]
    for tokens, places in zip(batch["input_ids"], borders, strict=True):
        assert set(places.tolist()) == set((tokens[1:] == stream.boundary).nonzero().flatten().add(1).tolist())
    assert "documents" not in token_stream.RowCollator(stream.boundary, across=True)([rows[0]])
    with pytest.raises(IndexError):
        rows[len(rows)]
    with pytest.raises(ValueError, match="that there are, got 100000"):
        token_stream.Rows(stream, 16, 100_000)


def test_what_was_read_is_a_function_of_the_step(stream):
    count = 10
    read = [token_stream.read_by(step, RECIPE, count) for step in range(7)]
    for before, after in pairwise(read):
        assert after[: len(before)].tolist() == before.tolist() and len(after) == len(before) + 4
    assert sorted(read[5][:10]) == sorted(read[5][10:20]) == list(range(10)), "every epoch takes every row"
    assert token_stream.counted(2, RECIPE, count) == (8 * 16, 0)
    assert token_stream.counted(6, RECIPE, count) == (10 * 16, 14 * 16)


def test_tokens_to_count_stand_in_the_order_of_the_stream(stream):
    rows = token_stream.Rows(stream, 16, 10)
    assert token_stream.tokens_of(rows, np.array([3, 1, 2])).tolist() == stream.tokens[16:64].tolist()
    assert torch.from_numpy(token_stream.tokens_of(rows, np.array([0]))).dtype == torch.int64


def test_documents_that_teach_no_merge_are_refused(tmp_path):
    alike = [corpus.Document("mine/1", "web", text) for text in ("the rain in Spain", "the rain again")]
    with pytest.raises(ValueError, match=r"teach no merge.*an id of its own"):
        token_stream.prepare(tmp_path, 300, documents=lambda: alike, key="mine")
    assert not list(tmp_path.glob("stream-*"))
