"""Splits: near-duplicates are found exactly, stay together, and land in the same place on every machine."""

import hashlib
import itertools
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.data import reviews, splits


def brute_force(texts):
    """The definition in words, without any of the module's machinery behind `words`."""
    sets = []
    for text in texts:
        words = splits.words(text)
        sets.append(set(itertools.pairwise(words)) or {tuple(words)})
    pairs = itertools.combinations(range(len(texts)), 2)
    return [(i, j) for i, j in pairs if 2 * len(sets[i] & sets[j]) >= len(sets[i] | sets[j])]


@pytest.fixture(scope="module")
def rows():
    return list(reviews.load("all", "all"))


def test_numbers_and_words_are_what_they_were():
    assert splits.stable_number("movies-1", "42") == 0xDAB52CD25E0549A2
    assert splits.words("The CHÂTEAU isn't 9½, ok?") == ["the", "chateau", "isn", "t", "91", "2", "ok"]
    assert splits.words(":)") == [":)"]


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=7).map(" ".join), max_size=12))
def test_all_near_duplicates_are_found_in_small_worlds(texts):
    assert splits.near_duplicates(texts) == brute_force(texts)


def test_all_near_duplicates_are_found_in_real_rows_and_stay_together(rows):
    pick = random.Random(0)
    contrived = [row for row in rows if row["domain"] == "tweets" and 1400 < int(row["id"][7:]) < 1900]
    sample = pick.sample(rows, 900) + pick.sample(contrived, 300)
    found = brute_force([row["text"] for row in sample])
    assert splits.near_duplicates([row["text"] for row in sample]) == found
    assert len(found) > 100, "the sample proves nothing without duplicates"
    apart = [(sample[i]["id"], sample[j]["id"]) for i, j in found if sample[i]["split"] != sample[j]["split"]]
    assert not apart


def test_no_text_and_no_document_is_in_two_splits(rows):
    for key in (lambda row: " ".join(splits.words(row["text"])), lambda row: row["document"]):
        places = {}
        for row in rows:
            places.setdefault(key(row), set()).add(row["split"])
        assert all(len(where) == 1 for where in places.values())


def test_duplicates_across_domains_stay_together():
    texts = ["Nothing new here", "a b c d", "nothing NEW here!", "x y z", "x y z, too"]
    documents = ["news-1", "news-1", "tweets-3", "news-2", "news-3"]
    assert splits.groups(texts, documents) == [0, 0, 0, 3, 3]


def test_groups_of_nothing():
    assert splits.near_duplicates([]) == [] and splits.assign([], [], []) == []


def test_rows_follow_what_is_fixed_and_fit_nowhere_between_two():
    ids, texts = ["a", "b", "c", "d", "e"], ["p q r", "p q r s", "p q r s t", "u v w", "U V W"]
    free = splits.assign(ids, texts, ids)
    assert free[0] == free[1] == free[2] and free[3] == free[4]
    assert splits.assign(ids, texts, ids, {"a": "ten"}) == ["ten", "ten", "ten", *free[3:]]
    assert splits.assign(ids, texts, ids, {"a": "ten", "c": "test"})[:3] == ["ten", None, "test"]


def test_the_order_of_rows_does_not_matter(rows):
    some = random.Random(1).sample(rows, 3000)
    columns = ("id", "text", "document")
    there = dict(zip([r["id"] for r in some], splits.assign(*[[r[c] for r in some] for c in columns]), strict=True))
    back = some[::-1]
    again = dict(zip([r["id"] for r in back], splits.assign(*[[r[c] for r in back] for c in columns]), strict=True))
    assert there == again


def test_the_table_of_splits_is_the_same_everywhere_and_for_good(rows):
    table = "\n".join(sorted(f"{row['id']} {row['split']}" for row in rows))
    digest = hashlib.blake2b(table.encode(), digest_size=8).hexdigest()
    assert digest == "661f238930925c9c", (
        "rows moved between splits: every number that the course reports changes with them"
    )


@pytest.mark.parametrize("domain", reviews.FILES)
def test_shares(rows, domain):
    own = [row["split"] for row in rows if row["domain"] == domain]
    for split, share in splits.SHARES.items():
        assert own.count(split) / len(own) == pytest.approx(share, abs=0.01)


def test_a_thousand_equal_texts_take_no_time_and_are_told(capsys):
    text = " ".join(f"word{number}" for number in range(120))
    ids = [f"own-{number}" for number in range(1000)]
    started = time.perf_counter()
    assert len(set(splits.assign(ids, [text] * 990 + [f"other {n} text {n}" for n in range(10)], ids)[:990])) == 1
    assert time.perf_counter() - started < 5
    assert "990 of 1000 rows say nearly the same as row 0" in capsys.readouterr().out


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=5).map(" ".join), max_size=12))
def test_groups_are_the_joined_near_duplicates(texts):
    expected = list(range(len(texts)))
    for left, right in brute_force(texts) * len(texts):  # until nothing moves
        expected[left] = expected[right] = min(expected[left], expected[right])
    assert splits.groups(texts, [str(row) for row in range(len(texts))]) == expected


def test_rows_that_differ_are_split_without_a_word(capsys):
    ids = [f"own-{number}" for number in range(40)]
    splits.assign(ids, [f"tell me of {number} and {number * 7}" for number in range(40)], ids)
    assert capsys.readouterr().out == ""
