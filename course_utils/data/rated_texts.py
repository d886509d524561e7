"""Rated texts as lists: each text is read once, and every pair that its list holds is learned from.

InstructGPT (2022, section 3.5) had people rank 4 to 9 answers and trained on all pairs of a list in one step: the list
costs one pass a text, and 32 texts hold up to 496 pairs where 16 pairs would hold 16. Here all texts answer the same
instruction, so any batch of them is a list, ordered by the means of one half of each panel.
"""

from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset

from course_utils.data import preference, reviews
from course_utils.data import rows as tables
from course_utils.data.answers import Turns


def load(rows, count, *, part=0, seed=0):
    """Texts with the mean of the people who decide, in random order, none twice.

    Args:
        rows: from `preference.rated_rows`.
        count: how many.
        part: which half of each panel decides, 0 or 1.
        seed: of the order.

    Returns:
        Dataset with columns id, prompt, text, mean (rating points).

    Raises:
        ValueError: there are fewer.
    """
    tables.whole("count", count, 1)
    tables.whole("seed", seed, 0)
    if count > len(rows):
        raise ValueError(
            f"Expected {count} rated texts, there are {len(rows)}. Ask for fewer steps or smaller batches."
        )
    means = reviews.panel_mean(reviews.panel_parts(rows, 2)[part])
    order = np.random.default_rng([seed, part, count]).permutation(len(rows))[:count].tolist()
    ids, texts = rows["id"], rows["text"]
    return Dataset.from_list(
        [{"id": ids[n], "prompt": preference.PROMPT, "text": texts[n], "mean": means[n]} for n in order]
    )


def encode(rows, tokenizer, *, answer_tokens, max_length=None):
    """Rated texts as tokens, cut as a sampler will cut them; arguments and errors as for `preference.encode`.

    Returns:
        A list of {"text_ids": list of int, "mean": float}.
    """
    rows = tables.listed(rows)
    tables.need(rows, ("prompt", "text", "mean"))
    tables.whole("answer_tokens", answer_tokens, 1)
    turns, encoded = Turns.of(tokenizer), []
    for number, row in enumerate(rows):
        tables.text(row, number, "prompt"), tables.text(row, number, "text"), tables.number(row, number, "mean")
        ids = [*turns.prompt(row["prompt"]), *turns.answer(row["text"], answer_tokens)]
        if max_length is None or len(ids) <= max_length:
            encoded.append({"text_ids": ids, "mean": float(row["mean"])})
    if not encoded:
        raise ValueError(f"All {len(rows)} texts are longer than {max_length} tokens. Raise max_length.")
    if len(encoded) < len(rows):
        print(f"{len(rows) - len(encoded)} of {len(rows)} texts are longer than {max_length} tokens and left out.")
    return encoded


def pairs_of(means, min_gap):
    """(better, worse): (P,) int64 each, the numbers of all texts that lie more than min_gap apart.

    Args:
        means: (B,) of one list.
        min_gap: rating points.
    """
    means = torch.as_tensor(means)
    better, worse = (means[:, None] - means > min_gap).nonzero(as_tuple=True)
    return better, worse


@dataclass(frozen=True)
class ListCollator:
    """Makes a list of the texts of a batch.

    pad_id: the tokenizer's pad token.
    min_gap: pairs whose means are closer are left out, as people themselves would not agree on them.
    """

    pad_id: int
    min_gap: float = 0.0
    columns = ("text_ids", "mean")

    def __call__(self, rows):
        """B texts to {"input_ids" (B, T), "mask" (B, T) bool, "better", "worse": (P,) rows of the pairs}."""
        better, worse = pairs_of([row["mean"] for row in rows], self.min_gap)
        return preference.padded([row["text_ids"] for row in rows], self.pad_id) | {"better": better, "worse": worse}
