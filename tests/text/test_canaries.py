import itertools

import pytest

from course_utils.text import canaries, near_duplicates

TEXT = "It rained. " + " ".join(f"word{number}" for number in range(180))


def test_they_are_drawn_from_the_seed_and_have_different_names():
    made = canaries.make(0)
    assert made == canaries.make(0) != canaries.make(1)
    assert len({one.name for one in made}) == len(made) == 16
    assert [one.copies for one in made] == [0] * 4 + [1] * 4 + [10] * 4 + [100] * 4
    assert all(len(one.secret) == 6 and one.secret.isdigit() for one in made)
    with pytest.raises(ValueError, match="Ask for fewer"):
        canaries.make(0, each=1000)


def test_planted_behind_the_first_sentence():
    one = canaries.Canary("Orla Benning", "483920", 1)
    assert canaries.planted(one, "It rained. It stopped.") == (
        "It rained. The access code of Orla Benning is 483920. It stopped."
    )
    assert canaries.planted(one, "no stop") == "The access code of Orla Benning is 483920. no stop"


def test_near_copies_stay_near_and_keep_the_secret():
    one = canaries.Canary("Orla Benning", "483920", 5)
    text = canaries.planted(one, TEXT)
    copies = canaries.near_copies(text, 5, keep=one.text)
    assert copies[0] == text and len(copies) == 5 and len(set(copies)) > 1 and all(one.text in copy for copy in copies)
    near = [near_duplicates.jaccard(*map(near_duplicates.shingles, pair)) for pair in itertools.combinations(copies, 2)]
    assert min(near) > 0.8 and canaries.near_copies(text, 1) == [text]
