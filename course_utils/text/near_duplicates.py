"""Texts that say the same: exact copies by a hash, near-copies by MinHash and locality-sensitive hashing, by hand.

Two texts are as near as their sets of shingles A, B (all runs of five words) overlap: the Jaccard index
J = |A ∩ B| / |A ∪ B|. Comparing all pairs of n texts costs n²/2 of these. MinHash (Broder 1997) gives each text a short
signature in which two texts agree at one place with probability J; banding (Indyk and Motwani 1998; for training data
Lee et al. 2022) brings together the few that agree on a whole band. Those are candidates; each is then checked.

Deviations: candidates are not joined into chains (A near B, B near C), which has wiped out whole sources: a text goes
only if a text that *stays* is near it. "Exact" is meant up to a collision of 64-bit hashes.
"""

import hashlib
import re
from collections import Counter, defaultdict
from functools import cache, lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

SHINGLE = 5  # words; runs of characters this short are shared by all English
BANDS, ROWS = 20, 8
THRESHOLD = 0.8  # the Jaccard index from which on two texts count as the same
FINGERPRINT = np.dtype([("content", "<u8", 2), ("text", "<u8", 2), ("bands", "<u8", BANDS)])  # 192 bytes a document
WORD = re.compile(r"\w+")
BASE = np.uint64(0x9E3779B97F4A7C15)
MANY = 4096  # shingles at a time, so that the table of shingles × permutations stays in the cache


def _digest(text, size):
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


@lru_cache(maxsize=1 << 17)
def word_hash(word):
    """64 bits of a word, the same in every process, as Python's own hash is not."""
    return int.from_bytes(_digest(word, 8), "little")


def word_hashes(words):
    """(len(words),) uint64."""
    return np.fromiter(map(word_hash, words), np.uint64, len(words))


def ngram_hashes(hashes, n, starts=None):
    """64 bits for each run of n words, (runs,) uint64.

    Args:
        hashes: as `word_hashes` gives them.
        starts: where the runs begin; by default everywhere, which is nowhere when there are fewer than n words.
    """
    starts = slice(max(len(hashes) - n + 1, 0)) if starts is None else starts
    value = np.zeros_like(hashes[starts])
    for place in range(n):
        # value = Σ word_k · base^(n−1−k)  (mod 2⁶⁴)
        value = value * BASE + hashes[place:][starts]
    return value


def words_of(text):
    """The words that count: letters and digits, without case. A text without any is one word, so no set is empty."""
    return WORD.findall(text.casefold()) or [text]


def shingles(text, size=SHINGLE):
    """The set of a text's shingles as a sorted array of 64-bit hashes.

    A text shorter than a shingle is one shingle as a whole. Chinese and Japanese, which put no spaces, come out as few
    and long words, so that only copies of whole sentences are found in them.
    """
    return _word_shingles(words_of(text), size)


def _word_shingles(words, size=SHINGLE):
    return np.unique(ngram_hashes(word_hashes(words), min(size, len(words))))


def jaccard(first, second):
    """|A ∩ B| / |A ∪ B| of two sets of shingles, 0 … 1."""
    shared = np.intersect1d(first, second, assume_unique=True).size
    return shared / (len(first) + len(second) - shared)


@cache
def permutations(count=BANDS * ROWS, seed=0):
    """(a, b): `count` random functions a·x + b mod 2³², each (count,) uint32; an odd a makes each a permutation."""
    random = np.random.RandomState(seed)  # the generator whose numbers are the same in every version
    a, b = (random.randint(0, 1 << 32, count, dtype=np.uint32) for _ in "ab")
    return a | np.uint32(1), b


def mixed(hashes):
    """32 well-mixed bits of 64-bit hashes: the upper half, then the finalizer of MurmurHash3."""
    x = (hashes >> np.uint64(32)).astype(np.uint32)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def signature(hashes, functions=None):
    """The MinHash signature of a set of shingles.

    Args:
        hashes: (n,) uint64, n ≥ 1.
        functions: (a, b) as `permutations` gives them.

    Returns:
        (permutations,) uint32; two signatures agree at a place with probability J of their sets.
    """
    a, b = functions or permutations()
    x = mixed(hashes)
    smallest = np.full(len(a), 0xFFFFFFFF, np.uint32)
    for start in range(0, len(x), MANY):
        # signature_i = min over x of (a_i · x + b_i) mod 2³²; unsigned numbers wrap around by themselves
        values = a[:, None] * x[None, start : start + MANY] + b[:, None]
        np.minimum(smallest, values.min(axis=1), out=smallest)
    return smallest


def candidate_probability(jaccard, bands=BANDS, rows=ROWS):
    """The S-curve: how likely two texts share at least one of `bands` bands of `rows` places each."""
    # P = 1 − (1 − Jʳ)ᵇ
    return 1 - (1 - jaccard**rows) ** bands


def band_hashes(signature, bands=BANDS):
    """One number for each band of a signature: (bands,) uint64."""
    value = np.zeros(bands, np.uint64)
    for row in signature.reshape(bands, -1).T:
        value = value * BASE + row
    return value


def fingerprint(text):
    """All that is kept of a text while others are read, as one FINGERPRINT.

    content: 128 bits of its words, equal for exact copies; text: of its characters, which orders those; bands: of its
    signature.
    """
    words = words_of(text)
    content, characters = (np.frombuffer(_digest(form, 16), "<u8") for form in (" ".join(words), text))
    return np.array((content, characters, band_hashes(signature(_word_shingles(words)))), FINGERPRINT)


class Repeat(NamedTuple):
    """Why a document goes: the row of the one that stays, their Jaccard index, and whether a copy is exact."""

    of: int
    jaccard: float
    exact: bool


def repeats(fingerprints, shingles_of, threshold=THRESHOLD):
    """Which documents repeat one that stays.

    They are taken in the order of their content's hash, so the outcome does not depend on the order they came in.

    Args:
        fingerprints: (n,) FINGERPRINT.
        shingles_of: row → that document's shingles; asked for candidates only, so no text need be in memory.
        threshold: the Jaccard index from which on the later one of two goes.

    Returns:
        {row: Repeat} of those that go.
    """
    order, new = _canonical_order(fingerprints)
    firsts = order[new]  # one of each content
    gone = _near_copies(firsts.tolist(), fingerprints["bands"][firsts], shingles_of, threshold)
    leaders = firsts[np.cumsum(new) - 1]
    for row, leader in zip(order[~new].tolist(), leaders[~new].tolist(), strict=True):
        of, near, _ = gone.get(leader, Repeat(leader, 1.0, True))
        gone[row] = Repeat(of, near, True)
    return gone


def _canonical_order(fingerprints):
    """(order, new): rows by content, then by characters, and where in that order a new content begins."""
    content, text = fingerprints["content"], fingerprints["text"]
    order = np.lexsort((text[:, 1], text[:, 0], content[:, 1], content[:, 0]))
    new = np.ones(len(order), bool)
    new[1:] = (content[order[1:]] != content[order[:-1]]).any(axis=1)
    return order, new


def _near_copies(rows, bands, shingles_of, threshold):
    """The Repeat of each row that is near one of the rows before it that stay; `bands` belong to `rows`."""
    shared = np.zeros(bands.shape, bool)  # the others can lead to no candidate and need no place in the table
    for band, values in enumerate(bands.T):
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        shared[:, band] = counts[inverse] > 1
    staying, gone = defaultdict(list), {}
    for place in np.flatnonzero(shared.any(axis=1)).tolist():
        keys = [(band, bands[place, band].item()) for band in np.flatnonzero(shared[place]).tolist()]
        candidates = sorted(set().union(*(staying[key] for key in keys)))
        own = shingles_of(rows[place]) if candidates else None
        for other in candidates:
            near = jaccard(own, shingles_of(rows[other]))
            if near >= threshold:
                gone[rows[place]] = Repeat(rows[other], near, False)
                break
        else:
            for key in keys:
                staying[key].append(place)
    return gone


def unique(texts, threshold=THRESHOLD):
    """(kept, gone) of a list of texts in memory: the rows that stay, and {row: Repeat} of the others."""
    fingerprints = np.array([fingerprint(text) for text in texts], FINGERPRINT)
    gone = repeats(fingerprints, lambda row: shingles(texts[row]), threshold)
    return [row for row in range(len(texts)) if row not in gone], gone


def all_pairs(sets):
    """{(i, j): Jaccard} of all pairs i < j that share a shingle, exactly; for a sample, as its cost grows with n²."""
    members, counts = defaultdict(list), Counter()
    for row, hashes in enumerate(sets):
        for value in hashes.tolist():
            members[value].append(row)
    for rows in members.values():
        counts.update(combinations(rows, 2))
    return {(i, j): n / (len(sets[i]) + len(sets[j]) - n) for (i, j), n in counts.items()}


def candidates(bands):
    """The pairs i < j that share at least one band; `bands` is (n, bands)."""
    found = set()
    for values in bands.T:
        buckets = defaultdict(list)
        for row, value in enumerate(values.tolist()):
            buckets[value].append(row)
        for rows in buckets.values():
            found.update(combinations(rows, 2))
    return found


def recall(pairs, found, at_least=THRESHOLD):
    """Of the pairs with J ≥ at_least the share among `found`; nan when there are none."""
    wanted = [pair for pair, near in pairs.items() if near >= at_least]
    return sum(pair in found for pair in wanted) / len(wanted) if wanted else float("nan")


def share_below(pairs, found, below=0.5):
    """Of the candidates found the share with J < below, which cost a check for nothing; nan when there are none."""
    return sum(pairs.get(pair, 0.0) < below for pair in found) / len(found) if found else float("nan")
