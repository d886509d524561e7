import random

import pytest

from course_utils.text import canaries, quality, training_sets


def article(seed):
    """About 170 words, six sentences; nobody's."""
    dice = random.Random(seed)
    words = [f"w{dice.randrange(500)}x" for _ in range(150)]
    return "\n".join(" ".join(["the", "and", "of", *dice.sample(words, 26)]) + "." for _ in range(6))


TEXTS = [article(seed) for seed in range(120)]
MEASURE = training_sets.Measure(4000, lambda text: len(text.split()))


def tokens(found):
    return sum(map(MEASURE.count, found.texts))


def test_as_they_are_and_cut_at_a_word():
    found = training_sets.raw(TEXTS, MEASURE)
    assert found.texts == TEXTS[: len(found.texts)] and 4000 <= tokens(found) < 4200
    assert len(training_sets.cut("ab " * 2000)) < training_sets.CHARACTERS and training_sets.cut("ab") == "ab"
    assert len(training_sets.cut("a" * 4000)) == training_sets.CHARACTERS
    with pytest.raises(ValueError, match="Too little text: 174 of 4,000"):
        training_sets.raw(TEXTS[:1], MEASURE)


def test_filtered_counts_what_went():
    dirty = [text for pair in zip(TEXTS, ["menu\nhome"] * len(TEXTS), strict=True) for text in pair]
    found = training_sets.filtered(dirty, MEASURE)
    assert tokens(found) >= 4000 and found.taken == found.kept + found.reasons.total()
    assert len(found.texts) == found.kept and found.reasons["sentences"] >= found.kept - 1
    assert all(quality.judge(text)[1] is None for text in found.texts)


def test_copies_come_and_go(monkeypatch):
    monkeypatch.setattr(training_sets, "CARRIER", (1, 2000))
    planted = [canaries.Canary("Ines Quist", "123456", 6), canaries.Canary("Kofi Halmi", "654321", 0)]
    copied, further = training_sets.with_copies(TEXTS, TEXTS[50:], planted, MEASURE)
    assert tokens(copied) >= 4000 and sum(planted[0].text in text for text in copied.texts) == 6
    assert not any("Kofi" in text for text in copied.texts) and not set(further) & set(copied.texts)
    clean = training_sets.deduplicated(copied, further, MEASURE)
    assert tokens(clean) >= 4000 and sum(planted[0].text in text for text in clean.texts) == 1
    assert clean.taken == len(copied.texts) == clean.kept + clean.reasons.total() and clean.reasons["near-copy"]
    with pytest.raises(ValueError, match="1 canaries need as many texts"):
        training_sets.with_copies(TEXTS, [], planted, MEASURE)
