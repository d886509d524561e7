"""Bits of documents in windows, loss by place, induction that a made head shows, samples."""

import math

import pytest
import torch
from helpers import tiny_stream

from course_utils.data import many_tasks as tasks
from course_utils.evaluation import pretraining
from course_utils.models import ngram
from course_utils.training import pretrain


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = pretrain.build(tiny_stream.config()).model
    for weight in model.parameters():
        weight.data += 0.05 * torch.randn_like(weight)
    return model.eval()


@torch.no_grad()
def nats(model, ids):
    logits = model(torch.tensor([ids]))[0, :-1].log_softmax(-1)
    return -logits.gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]


def test_documents_that_fit_cost_what_their_tokens_cost(model):
    encoded = [[299, *range(4, 4 + length)] for length in (3, 15, 9)]
    found = pretraining.document_bits(model, encoded, length=16)
    assert found == pytest.approx([nats(model, ids).sum().item() / math.log(2) for ids in encoded], rel=1e-5)


def test_a_longer_one_is_read_in_windows_with_half_a_row_before_every_token(model):
    ids = [299, *range(5, 44)]
    expected = nats(model, ids[:16]).sum()
    for start in (8, 16, 24):
        expected = expected + nats(model, ids[start : start + 16])[7:].sum()
    found = pretraining.document_bits(model, [ids], length=16)
    assert found == pytest.approx([expected.item() / math.log(2)], rel=1e-5)


def test_the_loss_by_place_is_the_mean_of_each_column(model):
    rows = torch.randint(0, 299, (11, 12))
    found = pretraining.loss_by_position(model, rows, at_once=4)
    expected = torch.stack([nats(model, row.tolist()) for row in rows]).mean(0)
    assert torch.allclose(found.float(), expected, atol=1e-5)


def test_repeated_sequences_repeat_and_their_losses_are_those_of_each_copy(model):
    rows = pretraining.repeated(299, count=3, copy=5, among=range(100, 250))
    assert rows.shape == (3, 11) and torch.equal(rows[:, 1:6], rows[:, 6:]) and (rows[:, 0] == 299).all()
    every = torch.stack([nats(model, row.tolist()) for row in rows]).mean(0)
    first, second = pretraining.induction(model, rows)
    assert first == pytest.approx(every[1:5].mean().item(), rel=1e-5)
    assert second == pytest.approx(every[6:].mean().item(), rel=1e-5)


def test_the_score_of_a_head_is_its_attention_behind_the_earlier_copy(model, monkeypatch):
    rows = pretraining.repeated(299, count=2, copy=4, among=range(100, 250))
    made = torch.zeros(1, 2, 9, 9)
    for asking in (5, 6, 7):
        made[0, 1, asking, asking - 3] = 0.75  # token t of the second copy at 4 + t, the follower of the first at t + 1
    monkeypatch.setattr(pretraining, "attention_weights", lambda model, row: made)
    assert pretraining.induction_heads(model, rows).tolist() == [[0.0, 0.75]]
    monkeypatch.undo()
    found = pretraining.induction_heads(model, rows)
    assert found.shape == (2, 2) and (found > 0).all() and (found < 0.5).all()


def test_an_ngram_is_judged_on_the_same_tokens():
    encoded = [[9, 1, 2, 1, 2, 3], [9, 2, 1]]
    counted = ngram.KneserNey(ngram.count([t for ids in encoded for t in ids], order=2, vocabulary=10, boundary=9))
    found = pretraining.counted_bits(counted, encoded)
    assert found == pytest.approx([-counted.logprobs(ids).sum().item() / math.log(2) for ids in encoded])


def test_held_out_documents_are_cut_at_a_character_and_short_ones_left_out():
    found = pretraining.held_out("test", documents=2, size=100, source=tiny_stream.documents)
    assert found.ids == ["news/0", "web/1"] and found.bytes == [100, 100]
    with pytest.raises(ValueError, match="what a model has read"):
        pretraining.held_out("train", documents=2, size=10)
    with pytest.raises(ValueError, match="No document of test has 9,999 bytes"):
        pretraining.held_out("test", documents=2, size=9999, source=tiny_stream.documents)


def test_a_sample_begins_as_asked_and_repeats_with_its_seed(model, tmp_path):
    stream = tiny_stream.make(tmp_path)
    said = pretraining.write(model, stream, "the rain", max_new_tokens=6)
    assert said.startswith("the rain") and said == pretraining.write(model, stream, "the rain", max_new_tokens=6)
    assert said != pretraining.write(model, stream, "the rain", max_new_tokens=6, seed=1)


def test_a_small_model_is_asked_in_words(model, tmp_path, monkeypatch):
    stream, rows = tiny_stream.make(tmp_path), []
    for number in range(12):
        rows.append(tasks.Example(f"the rain {number}", number % 2))
    task = tasks.Task(
        "rain", "{text} is it?", (" old", " plain"), rows[:4], ("old land", "rain on", "a plain"), rows[4:]
    )
    monkeypatch.setattr(tasks, "load", lambda name: task)
    found = pretraining.of_tasks(model, stream, context=32, names=("rain",), shots=(0, 2))
    assert set(found["rain"]) == {"0", "2", "chance"} and found["rain"]["chance"] == 0.5
    assert all(0 <= found["rain"][shots] <= 1 for shots in ("0", "2"))
