"""What of a text stands word for word in other texts: held-out text in training text, a test in a corpus.

A near-duplicate search compares whole texts, pair by pair; a page that quotes a test of ten lines is not like it. Here
the question is put the other way round, as GPT-3's authors put it (Brown et al. 2020, appendix C): how many of the
text's runs of n words occur anywhere in all that was trained on? Only the runs that are asked for are kept in memory,
so the training text may be of any length.
"""

from course_utils.data.splits import words

LENGTH = 8  # words in a run: common phrases are shorter, and a copy that was edited lightly still shares many


def word_runs(text, length=LENGTH):
    """The set of a text's runs of `length` neighbouring words, as numbers; all its words as one when it has fewer."""
    found = words(text)
    length = min(length, len(found))
    return {hash(run) for run in zip(*(found[start:] for start in range(length)), strict=False)}


def shares(texts, trained, length=LENGTH):
    """For each text the share of its distinct runs that occur in training text; 1.0 means that all was seen.

        share(x) = |runs(x) ∩ ⋃ runs(t)| / |runs(x)|     over all training texts t

    Args:
        texts: a list of strings.
        trained: an iterable of strings, read once.
        length: words in a run. A text of fewer words is found only where another one consists of the same.
    """
    runs = [word_runs(text, length) for text in texts]
    asked, seen = set().union(*runs), set()
    for text in trained:
        seen |= asked & word_runs(text, length)
    return [len(own & seen) / len(own) for own in runs]
