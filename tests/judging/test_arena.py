"""Contestants without a model by hand, rounding to four bits, and judges' tables in the contestants' order."""

from types import SimpleNamespace

import pytest
import torch

from course_utils.data import lexicon, reviews
from course_utils.judging import arena
from course_utils.models import sampling

TEXTS = ["the film is good and long", "the film is a bore", "a bad movie without any end", "it was the best of films"]
OPENINGS = ["The film is", "It was the"]


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(reviews, "load", lambda domain, split: {"text": [f"{text} at all" for text in TEXTS]})


def test_people_wrote_what_begins_so(few):
    found = arena.people(OPENINGS)
    assert found["The film is"] == ["the film is good and long at all", "the film is a bore at all"]
    with pytest.raises(ValueError, match="No review begins with 'A good film'"):
        arena.people(["A good film"])


def test_contestants_without_a_model(few):
    found = arena.without_a_model(OPENINGS)
    assert found["person"].texts[1] == "it was the best of films at all"
    assert found["empty"].texts == tuple(OPENINGS)
    for opening, text in zip(OPENINGS, found["retrieval"].texts, strict=True):
        assert text.startswith(opening) and text.endswith("at all")
    assert found["retrieval"].texts == ("The film is without any end at all", "It was the without any end at all")


def test_four_bits_move_every_weight_of_the_blocks_and_none_of_the_head(blocky):
    model, before = blocky(), blocky()
    arena.rounded_to_four_bits(model)
    kept = dict(before.named_parameters())
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, kept[name])}
    assert len(moved) == 14 and all("proj" in name for name in moved)
    weight = model.model.layers[0].mlp.up_proj.weight
    assert all(len(block.unique()) <= 16 for block in weight.reshape(-1, 64))


def test_samples_are_joined_to_their_openings(monkeypatch, tiny_model, tiny_tokenizer):
    ids = tiny_tokenizer(" good film", add_special_tokens=False).input_ids
    drawn = [sampling.Sample((*ids, 1), True), sampling.Sample(tuple(ids), False)]
    monkeypatch.setattr(sampling, "sample", lambda *_, **__: drawn)
    found = arena._sampled(tiny_model, tiny_tokenizer, [[2]] * 2, ["the film is a", "a"], [1], new_tokens=3, seed=0)
    assert found.texts == ("the film is a good film", "a good film") and found.ended == (True, False)


def test_judges_keep_the_order_of_contestants():
    def scorer(prompts, texts, ended):
        return torch.tensor([float(len(text)) + end for text, end in zip(texts, ended, strict=True)])

    answers = {
        "one": arena.Answers(("good film", "bad"), (True, False)),
        "two": arena.Answers(("a", "b c"), (True,) * 2),
    }
    found = arena.judged(SimpleNamespace(gold=scorer, proxy=scorer), answers)
    assert found["gold"].tolist() == [[10, 2], [3, 4]] and found["words"].tolist() == [[2, 1], [1, 2]]
    assert found["lexicon"][0, 0].item() == pytest.approx(lexicon.score("good film"))
