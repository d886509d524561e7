"""What stands word for word elsewhere: counted by hand on short texts."""

import pytest

from course_utils.text import overlap

HELD = "one two three four five six seven eight nine ten"  # three runs of eight words


@pytest.mark.parametrize(
    ("trained", "share"),
    [
        ([], 0),
        (["nine ten " + HELD[:39]], 1 / 3),  # "one … eight"
        ([HELD.upper() + "!"], 1),
        (["x " + HELD + " y"], 1),  # quoted inside a longer one
        ([HELD.replace("five", "5")], 0),  # in the middle, so in every run
        ([HELD.replace("ten", "10"), "two three four five six seven eight nine ten"], 1),  # from two texts
    ],
)
def test_the_share_of_runs_that_were_seen(trained, share):
    assert overlap.seen_shares([HELD], trained).tolist() == [pytest.approx(share)]


def test_a_repeated_run_counts_once():
    twice = "a b a b a b"  # the runs of two: "a b" and "b a"
    assert overlap.seen_shares([twice], ["a b"], length=2).tolist() == [0.5]


def test_short_texts_are_not_alike_because_they_are_short():
    short = ["too short", "also short", ""]
    assert overlap.seen_shares(short, ["something else"]).tolist() == [0, 0, 0]
    assert overlap.seen_shares(short, ["Too short."]).tolist() == [1, 0, 0]


def test_the_training_text_is_read_once_and_in_any_order():
    texts = [HELD, "one two three four five six seven eight", "no"]
    for trained in (texts[:2], texts[1::-1]):
        assert overlap.seen_shares(texts, iter(trained)).tolist() == [1, 1, 0]
    assert overlap.seen_shares([], texts).tolist() == []
