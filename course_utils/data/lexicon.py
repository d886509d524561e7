"""Sentiment by a word list: what one gets without any training, and a tripwire beside a learned reward.

The list is VADER's (Hutto and Gilbert 2014, MIT licence): 7,500 words and emoticons, each with the mean of ten people's
ratings from −4 to +4. Deviation from VADER: of its rules only negation is kept (a word after "not", "never", "n't" …
within three words counts −0.74 times), so a text scores the sum of its words, squashed into (−1, 1).
"""

import functools
import re

import torch

from course_utils import assets

NEGATED = -0.74  # VADER's factor for a negated word
REACH = 3  # words that a negation reaches
SQUASH = 15  # VADER's constant: s / √(s² + 15)
_NEGATIONS = {"no", "not", "never", "neither", "nor", "none", "nothing", "nowhere", "without", "hardly", "cannot"}


@functools.lru_cache(maxsize=1)
def valences():
    """{word: mean rating, −4 … 4}.

    Raises:
        assets.AssetMissing: the file has not been fetched.
    """
    lines = (assets.path("reviews") / "vader_lexicon.txt").read_text(encoding="utf-8").splitlines()
    return {fields[0]: float(fields[1]) for fields in (line.split("\t") for line in lines) if len(fields) > 1}


def words(text):
    """The words of a text in lower case, with their apostrophes."""
    return re.findall(r"[a-z]+(?:['’][a-z]+)?", text.lower())


def score(text):
    """The sentiment of one text, in (−1, 1); 0 when it has no word of the list."""
    known, said = valences(), words(text)
    total = 0.0
    for place, word in enumerate(said):
        before = said[max(0, place - REACH) : place]
        negated = any(other in _NEGATIONS or other.endswith(("n't", "n’t")) for other in before)
        total += known.get(word, 0.0) * (NEGATED if negated else 1.0)
    return total / (total**2 + SQUASH) ** 0.5


def is_neutral(text):
    """Whether no word of the text is in the list."""
    return not any(word in valences() for word in words(text))


def reward(prompts, texts):
    """The lexicon as a reward function: (B,) scores of the texts; prompts are ignored."""
    return torch.tensor([score(text) for text in texts], dtype=torch.float32)
