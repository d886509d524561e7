"""MinHash by hand: equal to a library, near-copies found, nothing joined into chains, no order that matters."""

import random
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from datasketch import MinHash

from course_utils.text import near_duplicates as near

WORDS = [f"word{number}" for number in range(5000)]


def text_of(seed, words=200):
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def noisy(text, changes, seed):
    words, dice = text.split(), random.Random(seed)
    for _ in range(changes):
        words[dice.randrange(len(words))] = dice.choice(WORDS)
    return " ".join(words)


def fingerprints(texts):
    return np.array([near.fingerprint(text) for text in texts], near.FINGERPRINT)


def kept_texts(texts):
    return sorted(texts[row] for row in near.unique(texts)[0])


@pytest.mark.parametrize("text", ["", "one", "하나 둘 셋 넷 다섯 여섯", text_of(0), text_of(1, near.MANY + 700)])
def test_signatures_are_those_of_the_library_with_the_same_permutations_and_hash(text):
    a, b = near.permutations()
    peer = MinHash(num_perm=len(a), scheme="affine32", permutations=(a, b), hashfunc=lambda value: value >> 32)
    peer.update_batch(near.shingles(text).tolist())
    assert (near.signature(near.shingles(text)) == peer.hashvalues).all()


def test_signatures_agree_about_as_often_as_the_sets_overlap():
    one, other = text_of(2, 2000), noisy(text_of(2, 2000), 60, 1)
    first, second = near.shingles(one), near.shingles(other)
    functions = near.permutations(2048, seed=3)
    agreeing = (near.signature(first, functions) == near.signature(second, functions)).mean()
    assert agreeing == pytest.approx(near.jaccard(first, second), abs=0.04)  # four standard errors
    assert 0.6 < agreeing < 0.9


def test_jaccard_is_that_of_the_sets_of_word_runs():
    one, other = "a b c d e f g", "x b c d e f g"
    assert len(near.shingles(one)) == 3
    assert near.jaccard(near.shingles(one), near.shingles(other)) == 2 / 4
    assert near.jaccard(near.shingles("A, b: c d\ne f g!"), near.shingles(one)) == 1


@pytest.mark.parametrize(("one", "other"), [("yes", "no"), ("", "!?"), ("a b c", "c b a"), ("짧은 글", "다른 글")])
def test_texts_shorter_than_a_shingle_are_not_all_alike(one, other):
    assert near.jaccard(near.shingles(one), near.shingles(other)) == 0
    assert near.unique([one, other, one])[0] in ([0, 1], [1, 2])


def test_hashes_are_the_same_in_another_process():
    ask = "from course_utils.text import near_duplicates as n; print(n.fingerprint('one two').tobytes().hex())"
    run = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, encoding="utf-8", check=True)
    assert run.stdout.strip() == near.fingerprint("one two").tobytes().hex()


def test_the_s_curve_is_what_random_signatures_do():
    dice = np.random.RandomState(0)
    alike = dice.random((4000, near.BANDS, near.ROWS)) < 0.7
    assert alike.all(axis=2).any(axis=1).mean() == pytest.approx(near.candidate_probability(0.7), abs=0.03)
    assert near.candidate_probability(0.8) >= 0.95
    assert [near.candidate_probability(value) for value in (0.0, 1.0)] == [0.0, 1.0]


def test_exact_and_near_copies_go_and_others_stay():
    texts = [text_of(5), text_of(6), text_of(5).upper(), noisy(text_of(6), 2, 0), text_of(7)]
    kept, gone = near.unique(texts)
    assert len(kept) == 3 and 4 in kept
    (exact,) = [repeat for repeat in gone.values() if repeat.exact]
    (close,) = [repeat for repeat in gone.values() if not repeat.exact]
    assert exact.of in (0, 2) and exact.jaccard == 1
    assert close.of in (1, 3) and 0.8 <= close.jaccard < 1
    assert set(gone) == set(range(5)) - set(kept)


def chain(length=12, step=12):
    """Texts of which each is near the next one, and the first nothing like the last."""
    words = text_of(8, 200 + step * length).split()
    return [" ".join(words[step * place : step * place + 200]) for place in range(length)]


def test_a_chain_is_not_joined():
    texts = chain()
    sets = [near.shingles(text) for text in texts]
    assert min(near.jaccard(a, b) for a, b in pairwise(sets)) >= near.THRESHOLD
    kept, gone = near.unique(texts)
    assert len(kept) >= 3
    for row, repeat in gone.items():
        assert repeat.of in kept
        assert near.jaccard(sets[row], sets[repeat.of]) == repeat.jaccard >= near.THRESHOLD


def test_the_outcome_does_not_depend_on_the_order():
    texts = [*chain(), text_of(5), text_of(5).title(), noisy(text_of(5), 3, 1), noisy(text_of(5), 5, 2), "", "short"]
    expected = kept_texts(texts)
    for seed in range(8):
        random.Random(seed).shuffle(texts)
        assert kept_texts(texts) == expected


def test_a_copy_of_a_text_that_goes_names_the_one_that_stays():
    texts = [text_of(9), noisy(text_of(9), 1, 0)] * 2
    kept, gone = near.unique(texts)
    assert len(kept) == 1
    assert {repeat.of for repeat in gone.values()} == set(kept)
    assert sum(repeat.exact for repeat in gone.values()) == 2


def test_only_candidates_are_read_again():
    texts = [text_of(seed) for seed in range(20)] + [noisy(text_of(3), 1, 0)]
    asked = set()
    near.repeats(fingerprints(texts), lambda row: asked.add(row) or near.shingles(texts[row]))
    assert asked == {3, 20}


@pytest.mark.parametrize("texts", [[], ["alone"]])
def test_few_texts_are_no_special_case(texts):
    assert near.unique(texts) == (list(range(len(texts))), {})


def test_exact_pairs_candidates_and_what_they_miss():
    texts = [text_of(seed) for seed in range(60)]
    texts += [noisy(text, changes, 0) for text in texts for changes in (1, 2, 4, 8, 16)]
    sets = [near.shingles(text) for text in texts]
    pairs = near.all_pairs(sets)
    assert pairs[0, 60] == near.jaccard(sets[0], sets[60])
    found = near.candidates(fingerprints(texts)["bands"])
    assert near.recall(pairs, found) >= 0.95
    assert near.share_below(pairs, found) <= 0.05
    assert near.recall(pairs, set()) == 0
    assert near.share_below(pairs, {(0, 1)}) == 1
    assert np.isnan(near.recall({}, found)) and np.isnan(near.share_below(pairs, set()))


def test_a_document_takes_the_stated_bytes():
    assert near.fingerprint("any text at all").nbytes == near.FINGERPRINT.itemsize == 192
