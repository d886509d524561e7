"""Prompts for sampling: an instruction and the first words of an answer that say neither good nor bad.

The words come from film reviews, so the model goes on with something people really began with. Each of them is
outside of the sentiment lexicon and stands in praise about as often as in scorn, by the ratings of the training split;
so what a reward rewards is the model's own.
"""

import functools
from collections import Counter

from datasets import Dataset

from course_utils.data import lexicon, reviews, splits
from course_utils.data import rows as tables
from course_utils.data.answers import Turns
from course_utils.data.preference import PROMPT

WORDS = 3
SEEN = 20  # reviews in which a neutral word stands at least
BALANCE = (0.4, 0.6)  # the share of them that praise


@functools.lru_cache(maxsize=1)
def neutral_words():
    """The words that say neither good nor bad, as a frozenset, in lower case."""
    seen, praised = Counter(), Counter()
    rows = reviews.load("movies", "train")
    for text, mean in zip(rows["text"], rows["mean"], strict=True):
        said = set(lexicon.words(text))
        seen.update(said)
        praised.update(said if mean > 0 else ())
    shares = {word: praised[word] / count for word, count in seen.items() if count >= SEEN}
    return frozenset(w for w, share in shares.items() if BALANCE[0] <= share <= BALANCE[1] and lexicon.is_neutral(w))


def load(split="train", count=None):
    """Neutral openings, all different, in a fixed order that looks random.

    Args:
        split: "train", "validation" or "test"; an opening is in one of them, however many reviews begin with it.
        count: the first so many; None gives all.

    Returns:
        Dataset with columns id, prompt, opening.

    Raises:
        ValueError: there are fewer than count.
    """
    found = set()
    for text in reviews.load("movies", "all")["text"]:
        said = text.split()
        opening = " ".join(said[:WORDS])
        plain = opening.replace(" ", "").isalpha() and neutral_words().issuperset(lexicon.words(opening))
        if plain and len(said) > 2 * WORDS and splits.split_of(opening.lower()) == split:
            found.add(opening.capitalize())
    ordered = sorted(found, key=lambda opening: splits.stable_number(opening, "openings"))
    rows = [{"id": f"opening-{opening}", "prompt": PROMPT, "opening": opening} for opening in ordered]
    if count is not None and count > len(rows):
        raise ValueError(f"Expected {count} neutral openings, the {split} split has {len(rows)}. Ask for fewer.")
    return Dataset.from_list(rows[:count])


def encode(rows, tokenizer):
    """Prompts as tokens for a sampler.

    Args:
        rows: with a column prompt and, where the answer's first words are given, opening.
        tokenizer: with a chat template.

    Returns:
        A list of {"prompt": str, "prompt_ids": list of int, "opening_length": the number of its last tokens that
        belong to the answer already}.

    Raises:
        ValueError: a prompt is empty; the message names the row.
    """
    rows = tables.listed(rows)
    tables.need(rows, ("prompt",))
    turns, encoded = Turns.of(tokenizer), []
    for number, row in enumerate(rows):
        tables.text(row, number, "prompt", blank=True)
        tables.checked_text(row.get("opening") or "", f"Row {number}, column 'opening'", blank=True)
        try:
            plain = turns.prompt(row["prompt"])
        except ValueError as error:
            raise ValueError(f"Prompt {number}: {error}") from error
        ids = turns.prompt(row["prompt"], row.get("opening") or "")
        encoded.append({"prompt": row["prompt"], "prompt_ids": ids, "opening_length": len(ids) - len(plain)})
    return encoded
