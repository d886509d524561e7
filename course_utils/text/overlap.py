"""What of a text stands word for word in other texts: held-out text in training text, a test in a corpus.

A near-duplicate search compares whole texts, pair by pair; a page that quotes ten lines of a test is not like the test.
Here the question is put the other way round (GPT-3's authors, Brown et al. 2020, appendix C): how many of a text's runs
of n words occur anywhere in all that was trained on? Only the runs that are asked for stay in memory, so the training
text may be of any length.
"""

import numpy as np

from course_utils.text.near_duplicates import shingles

LENGTH = 8  # words in a run: common phrases are shorter, and a copy that was edited lightly still shares many


def seen_shares(texts, trained, length=LENGTH):
    """For each text the share of its distinct runs that occur in training text; 1.0 means that all was seen.

        share(x) = |runs(x) ∩ ⋃ runs(t)| / |runs(x)|     over all training texts t

    Args:
        texts: a list of strings.
        trained: an iterable of strings, read once.
        length: words in a run. A text of fewer words is one run, found only where another one consists of the same.

    Returns:
        (len(texts),) float64.
    """
    runs = [shingles(text, length) for text in texts]
    asked = np.unique(np.concatenate([*runs, np.zeros(0, np.uint64)]))
    seen = np.zeros(len(asked) + 1, bool)  # the last place is for what is greater than all that is asked for
    greatest = np.append(asked, np.uint64(0))
    for text in trained:
        found = shingles(text, length)
        places = np.searchsorted(asked, found)
        seen[places[greatest[places] == found]] = True
    return np.array([seen[np.searchsorted(asked, own)].mean() for own in runs])
