"""The same documents as four training sets of equal length: as they lie there, filtered, with copies, without them.

Each holds at least `tokens` tokens, so that models trained on them differ by what they read and not by how much.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from course_utils.data.splits import stable_number
from course_utils.text import canaries, near_duplicates, quality

CHARACTERS = 3000  # of a document, from its beginning: many short ones say more than few long ones
REPEATED, TIMES = 0.15, 8  # share of the tokens in documents that stand there so often, besides canaries
CARRIER = (700, 1000)  # characters of the documents that carry canaries


class Measure(NamedTuple):
    """How long a set is to be.

    tokens: at least so many.
    count: text → the tokens that it costs.
    """

    tokens: int
    count: Callable


@dataclass
class TrainingSet:
    """Texts to train on.

    texts: in the order of training.
    taken, kept: documents before the cleaning and after it; those that replace what went are in neither.
    reasons: Counter of why documents went.
    """

    texts: list
    taken: int
    kept: int
    reasons: Counter = field(default_factory=Counter)


def cut(text):
    """The first CHARACTERS of a text, up to a space."""
    return text if len(text) <= CHARACTERS else text[:CHARACTERS].rpartition(" ")[0] or text[:CHARACTERS]


def first(texts, measure):
    """The first texts that together have at least so many tokens.

    Raises:
        ValueError: all together have fewer.
    """
    some, size, texts = [], 0, iter(texts)
    while size < measure.tokens and (text := next(texts, None)) is not None:  # no text is asked for that is not taken
        some.append(text)
        size += measure.count(text)
    if size < measure.tokens:
        raise ValueError(f"Too little text: {size:,} of {measure.tokens:,.0f} tokens. Give more, or ask for fewer.")
    return some


def raw(texts, measure):
    """The TrainingSet of the texts as they are."""
    some = first(map(cut, texts), measure)
    return TrainingSet(some, len(some), len(some))


def filtered(texts, measure, rules="web"):
    """The TrainingSet of what the rules keep; each text is judged whole, then cut. rules: a name in quality.RULES."""
    reasons, seen = Counter(), 0

    def clean():
        nonlocal seen
        for text in texts:
            seen += 1
            kept, finding = quality.judge(text, quality.RULES[rules])
            if finding:
                reasons[finding.rule] += 1
            else:
                yield cut(kept)

    some = first(clean(), measure)
    return TrainingSet(some, seen, len(some), reasons)


def with_copies(texts, carriers, planted, measure, seed=0):
    """(TrainingSet with near-copies and canaries, the texts that it left over).

    Args:
        texts: strings, the carriers among them or not.
        carriers: short texts; each canary stands in near-copies of one of them.
        planted: canaries.Canary, each planted as often as it says.
        seed: of changes and order.

    Raises:
        ValueError: fewer carriers than canaries, or too little text.
    """
    planted = [canary for canary in planted if canary.copies]
    carriers = [text for text in carriers if CARRIER[0] <= len(text) <= CARRIER[1]][: len(planted)]
    if len(carriers) < len(planted):
        raise ValueError(f"{len(planted)} canaries need as many texts of {CARRIER} characters, got {len(carriers)}.")
    copied = []
    for canary, text in zip(planted, carriers, strict=True):
        copied += canaries.near_copies(canaries.planted(canary, text), canary.copies, seed, keep=canary.text)
    carried = set(carriers)
    rest = [cut(text) for text in texts if text not in carried]
    originals = first(rest, measure._replace(tokens=measure.tokens * REPEATED / TIMES))
    for text in originals:
        copied += canaries.near_copies(text, TIMES, seed)
    rest = rest[len(originals) :]
    others = first(rest, measure._replace(tokens=measure.tokens - sum(map(measure.count, copied))))
    mixed = shuffled(copied + others, seed)
    return TrainingSet(mixed, len(mixed), len(mixed)), rest[len(others) :]


def deduplicated(copied, further, measure):
    """The TrainingSet of another's texts less those that repeat one that stays, and further texts in their place."""
    kept, gone = near_duplicates.unique(copied.texts)
    reasons = Counter("exact copy" if repeat.exact else "near-copy" for repeat in gone.values())
    texts = [copied.texts[row] for row in kept]
    texts += first(further, measure._replace(tokens=measure.tokens - sum(map(measure.count, texts))))
    return TrainingSet(shuffled(texts, "deduplicated"), copied.taken, len(kept), reasons)


def shuffled(texts, seed):
    """The texts in an order drawn from a seed."""
    return [texts[row] for row in np.random.RandomState(stable_number(str(seed)) % 2**32).permutation(len(texts))]
