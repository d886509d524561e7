"""Which rows may be in the same split: near-duplicates and parts of one document stay together, on every machine alike.

Two texts are near-duplicates when at least half of their distinct neighbouring word pairs are shared (Jaccard ≥ 0.5),
after case, accents and punctuation are dropped. So "Yay Dayquil. Yay with bells on." and "YAY Dayquil! Super yay with
bells on!" belong together. All such pairs are found, exactly and not by sampling (prefix filter of Chaudhuri, Ganti and
Kaushik 2006): if two sets share at least half of their union, then each shares something with the rarer half of the
other, so only texts that meet in their rarer halves are compared.

A text that is quoted inside a much longer one is not caught; only the whole is compared.
"""

import hashlib
import itertools
import re
import unicodedata
from collections import Counter

import numpy as np

from course_utils.data import rows as tables

THRESHOLD = 0.5  # share of the union of two texts' word pairs that makes them near-duplicates
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
# Of the salts 0 … 499 the one whose shares, counted in rows, come nearest to SHARES in the worst of the four domains of
# `reviews`: documents are few and of unequal length, so a careless salt misses by some percent. Ratings had no say.
SALT = "42"


def stable_number(text, salt=""):
    """A whole number in [0, 2⁶⁴) from a text, equal on every machine and Python (the built-in hash is not)."""
    return int.from_bytes(hashlib.blake2b(f"{salt}:{text}".encode(), digest_size=8).digest(), "big")


def words(text):
    """The text's words for comparison: lower case, no accents, no punctuation; the text itself when it has none."""
    text = text.casefold()
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.findall(r"\w+", text) or [text]


def word_pairs(texts):
    """One set per text, of whole numbers that stand for its distinct neighbouring word pairs (or for its only word)."""
    vocabulary = {}
    sets = []
    for text in texts:
        numbers = [vocabulary.setdefault(word, len(vocabulary) + 1) for word in words(text)]
        pairs = zip(numbers, numbers[1:] or [0], strict=False)
        sets.append({first << 31 | second for first, second in pairs})
    return sets


def near_duplicates(texts):
    """All pairs (i, j), i < j, of near-duplicate texts, as a sorted list; the module's docstring defines them."""
    return _near(word_pairs(texts))


def _near(sets):
    found = []
    for i, j in _candidates(sets):
        shared = len(sets[i] & sets[j])
        if shared >= THRESHOLD * (len(sets[i]) + len(sets[j]) - shared):
            found.append((i, j))
    return sorted(found)


def _candidates(sets):
    """The pairs of sets that share an element among the rarer half of each: a superset of the near-duplicates."""
    sizes = np.array([len(elements) for elements in sets])
    if not len(sizes):
        return set()
    owners = np.repeat(np.arange(len(sets)), sizes)
    elements = np.fromiter(itertools.chain.from_iterable(sets), dtype=np.int64, count=sizes.sum())
    _, elements, counts = np.unique(elements, return_inverse=True, return_counts=True)
    order = np.lexsort((elements, counts[elements], owners))  # within each set, the rarest element first
    elements = elements[order]
    rank = np.arange(len(elements)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # Sets that share ≥ t of their union share ≥ ⌈t·n⌉ of the n elements of each; one is among its n − ⌈t·n⌉ + 1 rarest.
    kept = (rank < (sizes - np.ceil(THRESHOLD * sizes) + 1)[owners]) & (counts[elements] > 1)
    elements, owners = elements[kept], owners[kept]
    by_element = np.argsort(elements, kind="stable")
    starts = np.flatnonzero(np.diff(elements[by_element])) + 1
    pairs = set()
    for group in np.split(owners[by_element], starts):
        pairs.update(itertools.combinations(group.tolist(), 2))
    # A set cannot share half of a union that is more than twice its own size.
    return {(i, j) for i, j in pairs if THRESHOLD <= sizes[i] / sizes[j] <= 1 / THRESHOLD}


def groups(texts, documents):
    """For each row the index of its group's first row; rows of one document and near-duplicates share a group.

    Args:
        texts, documents: one string per row; rows with the same document belong together whatever they say.
    """
    parent = list(range(len(texts)))

    def root(row):
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first_of = {}
    same_document = [(first_of.setdefault(document, row), row) for row, document in enumerate(documents)]
    # Texts of the same word pairs first, so that a thousand equal ones are compared once and not half a million times
    sets, first_with = word_pairs(texts), {}
    same_pairs = [(first_with.setdefault(frozenset(pairs), row), row) for row, pairs in enumerate(sets)]
    alone = list(first_with.values())
    near = [(alone[i], alone[j]) for i, j in _near([sets[row] for row in alone])]
    for left, right in itertools.chain(same_document, same_pairs, near):
        left, right = sorted((root(left), root(right)))
        parent[right] = left
    return [root(row) for row in range(len(texts))]


def split_of(key, salt=SALT):
    """train, validation or test, decided by the key alone, with the probabilities in SHARES."""
    position = stable_number(key, salt) / 2**64
    for split, share in SHARES.items():
        if position < share:
            return split
        position -= share
    return split


def assign(ids, texts, documents, fixed=None):
    """The split of every row; a group is never divided.

    Args:
        ids, texts, documents: one string per row, ids unique.
        fixed: {id: split} for rows whose split is already decided. The rest of their group follows them.

    Returns:
        One split name per row; None for a row whose group holds rows fixed to different splits (it fits nowhere).

    Raises:
        ValueError: ids repeat, lengths differ, a text is none, or a split has no name.
    """
    fixed = fixed or {}
    if not len(ids) == len(texts) == len(documents) == len(set(ids)):
        raise ValueError(
            f"Expected one id, all different, one text and one document a row, got {len(ids)} ids ({len(set(ids))} "
            f"different), {len(texts)} texts, {len(documents)} documents. Number the rows: f'own-{{number}}'."
        )
    for number, text in enumerate(texts):
        tables.checked_text(text, f"Row {number}, the text", marks=(), blank=True)
    odd = [split for split in fixed.values() if not isinstance(split, str) or not split]
    if odd:
        raise ValueError(f"A row is fixed to the split {odd[0]!r}; expected a name such as {', '.join(SHARES)}.")
    roots = groups(texts, documents)
    _say_when_one_group_holds_most(roots)
    smallest, decided = {}, {}
    for row_id, root in zip(ids, roots, strict=True):
        smallest[root] = min(smallest.get(root, row_id), row_id)
        if row_id in fixed:
            decided.setdefault(root, set()).add(fixed[row_id])
    return [
        fixed.get(row_id) or (_only(decided[root]) if root in decided else split_of(smallest[root]))
        for row_id, root in zip(ids, roots, strict=True)
    ]


def _say_when_one_group_holds_most(roots):
    if len(roots) < 10:
        return
    root, rows = Counter(roots).most_common(1)[0]
    if rows > len(roots) / 2:
        print(
            f"{rows} of {len(roots)} rows say nearly the same as row {root} or belong to its document, so they stay in "
            "one split, and the others are small. Do all rows share one prompt? Then split by the answers."
        )


def _only(splits):
    """The one member of a set, None when there are several."""
    return next(iter(splits)) if len(splits) == 1 else None
