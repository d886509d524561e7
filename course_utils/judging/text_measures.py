"""Measures that compare words: ROUGE-L and exact match against a person's text, distinct-n and self-BLEU among texts.

They are quick, the same for everyone, and blind to meaning: each of them can be had by a text that says nothing.
"""

import math
from collections import Counter

from course_utils.data import lexicon


def common_length(one, two):
    """Words in the longest common subsequence of two lists: in the same order, not necessarily side by side."""
    row = [0] * (len(two) + 1)
    for word in one:
        diagonal = 0
        for place, other in enumerate(two, start=1):
            diagonal, row[place] = row[place], diagonal + 1 if word == other else max(row[place], row[place - 1])
    return row[-1]


def rouge_l(text, references):
    """ROUGE-L (Lin 2004): F of precision and recall by the longest common subsequence; the best of the references.

    Deviation: precision and recall weigh alike, words are lower-cased, nothing is stemmed.

    Args:
        text: what was written. references: texts by people.
    """
    words, best = lexicon.words(text), 0.0
    for reference in references:
        other = lexicon.words(reference)
        common = common_length(words, other)
        best = max(best, 2 * common / (len(words) + len(other)) if common else 0.0)
    return best


def exact_match(text, references):
    """1.0 where a reference has the same words in the same order, else 0.0."""
    return float(any(lexicon.words(text) == lexicon.words(reference) for reference in references))


def next_word_match(text, references, given):
    """1.0 where the first word behind the given ones is that of a reference: exact match, cut to one word."""
    after = lexicon.words(text)[given : given + 1]
    return float(bool(after) and any(lexicon.words(reference)[given : given + 1] == after for reference in references))


def distinct(texts, n=2):
    """Distinct-n (Li et al. 2016): different n-grams over all n-grams of some texts; 0.0 where there are none."""
    grams = [gram for text in texts for gram in _grams(lexicon.words(text), n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def self_bleu(texts, n=3):
    """Self-BLEU (Zhu et al. 2018): the mean BLEU of each text against all others; 1 where all are alike.

    Deviation: n-grams up to 3, one added to each count of two and more words, no penalty for brevity.

    Raises:
        ValueError: fewer than two texts.
    """
    if len(texts) < 2:
        raise ValueError(f"Self-BLEU compares texts with one another, got {len(texts)}; expected at least two.")
    rows = [lexicon.words(text) for text in texts]
    return sum(_bleu(row, rows[:k] + rows[k + 1 :], n) for k, row in enumerate(rows)) / len(rows)


def _bleu(words, others, n):
    logs = []
    for size in range(1, n + 1):
        grams = Counter(_grams(words, size))
        most = Counter()
        for other in others:
            most |= Counter(_grams(other, size))
        clipped, extra = sum((grams & most).values()), size > 1
        if not clipped and not extra:
            return 0.0
        logs.append(math.log((clipped + extra) / (sum(grams.values()) + extra)))
    return math.exp(sum(logs) / n)


def _grams(words, n):
    return [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]
