import pytest
from datasets import Dataset

from course_utils.data import lexicon, openings, reviews, splits

FRONT = ["The film", "A story", "This tale", "One scene", "Some plot", "Each part", "That role", "Such music"]


@pytest.fixture
def rows(monkeypatch):
    """Reviews in which "glorious" praises always, the other words as often as not."""
    texts = [f"{front} {word} made by them for us" for front in FRONT for word in ("is", "was", "good", "glorious")]
    rows = [{"text": text, "mean": 2.0} for text in texts] * 3
    rows += [{"text": text, "mean": -2.0} for text in texts if "glorious" not in text] * 4
    monkeypatch.setattr(reviews, "load", lambda domain, split: Dataset.from_list(rows))
    monkeypatch.setattr(lexicon, "valences", lambda: {"good": 1.9})
    openings.neutral_words.cache_clear()
    yield
    openings.neutral_words.cache_clear()


def test_openings_say_neither_good_nor_bad_and_are_in_one_split(rows):
    found = {split: openings.load(split)["opening"] if len_of(split) else [] for split in splits.SHARES}
    everything = [opening for split in found.values() for opening in split]
    assert sorted(everything) == sorted(f"{front} {word}" for front in FRONT for word in ("is", "was"))


def len_of(split):
    wanted = [f"{front} {word}".lower() for front in FRONT for word in ("is", "was")]
    return sum(splits.split_of(opening) == split for opening in wanted)


def test_words_of_one_side_or_of_the_lexicon_are_not_neutral(rows):
    assert "film" in openings.neutral_words()
    assert not {"good", "glorious"} & openings.neutral_words()


def test_too_many_are_refused(rows):
    assert len(openings.load("train", 2)) == 2
    with pytest.raises(ValueError, match="Expected 99 neutral openings"):
        openings.load("train", 99)


def test_an_encoded_prompt_knows_where_the_answer_began(tiny_tokenizer):
    rows = [{"prompt": "hello", "opening": "the film"}, {"prompt": "hello"}]
    begun, plain = openings.encode(rows, tiny_tokenizer)
    assert plain["opening_length"] == 0 and begun["prompt_ids"][: -begun["opening_length"]] == plain["prompt_ids"]
    assert tiny_tokenizer.decode(begun["prompt_ids"][-begun["opening_length"] :]).strip() == "the film"
    with pytest.raises(ValueError, match="Prompt 1: Expected a prompt with at least one visible character"):
        openings.encode([{"prompt": "hello"}, {"prompt": " "}], tiny_tokenizer)
