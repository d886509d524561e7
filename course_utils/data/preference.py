"""Pairs of answers, one of which people preferred: what a reward model learns from.

From the ratings: one instruction, two film snippets as answers; the better one is that with the higher mean in one half
of the people who judged it. The other half stays aside, as a judge. What the ratings hide, and what is done about it:

- In movies the same people judged 30 snippets in a row; `reviews.panel_parts` keeps each person in one half throughout.
  Nobody is known across batches, so means are compared there, never persons.
- Three pairs in four with a gap above 1 have opposite signs: telling praise from scorn suffices. `same_sign` marks the
  pairs where it does not.
- A proxy and a gold judge share no text, no near-duplicate and, within a snippet's batch, no person.

Other sources: prompt/chosen/rejected sets, such as the one that comes with the instructions, whose choices a model made
and no person; and ranked lists of K answers, as InstructGPT (2022) had them. Deviation: there the pairs of a list weigh
1 / (K choose 2); from `from_rankings` each pair counts alike, and long lists count more. `rated_texts` reads each text
of a list once.
"""

import itertools
import json
from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset

from course_utils import assets
from course_utils.data import reviews, splits
from course_utils.data import rows as tables
from course_utils.data.answers import Turns

PROMPT = "Write one sentence reviewing a film."
PARTS = {"gold": 0, "proxy": 1}  # which half of the people each judge learns from
PROXY_SHARE = 0.25  # of the texts; the gold judge has the rest


def rated_rows(role, split="train", domain="movies"):
    """The snippets of one judge; those of "gold" and "proxy" share none, and no near-duplicate.

    Args:
        role: "gold" or "proxy".
        split, domain: as in `reviews.load`.
    """
    if role not in PARTS:
        raise ValueError(f"There is no role {role!r}. Choose from: {', '.join(PARTS)}.")
    rows = reviews.load(domain, split)
    groups = splits.groups(rows["text"], rows["document"])
    proxy = {root: splits.stable_number(rows[root]["id"], "proxy") < PROXY_SHARE * 2**64 for root in set(groups)}
    return rows.select([row for row, root in enumerate(groups) if proxy[root] == (role == "proxy")])


def human_pairs(rows, count, *, part=0, min_gap=0.0, same_sign=None, seed=0):
    """Pairs of snippets with what people preferred.

    Args:
        rows: from `rated_rows` or `reviews.load`.
        count: how many pairs; a text comes again only when all have come as often.
        part: which half of each panel decides, 0 or 1; PARTS names them.
        min_gap: the means differ by more than this; at 0 only ties are left out.
        same_sign: True keeps pairs on the same side of zero, False those on different sides, None all.
        seed: of the draw.

    Returns:
        Dataset with columns prompt, chosen, rejected, chosen_id, rejected_id, gap (of the deciding half's means),
        same_sign, chosen_others and rejected_others (the other half's ratings, in random order).

    Raises:
        ValueError: the rows hold fewer such pairs.
    """
    tables.whole("count", count, 1)
    tables.whole("seed", seed, 0)
    if part not in (0, 1) or not min_gap >= 0:
        raise ValueError(f"Expected part 0 or 1 and min_gap of at least 0, got {part=} and {min_gap=}.")
    panels = reviews.panel_parts(rows, 2)
    means, others = reviews.panel_mean(panels[part]), panels[1 - part]
    texts, ids = rows["text"], rows["id"]
    pairs = []
    for better, worse in _drawn(means, count, min_gap, same_sign, np.random.default_rng([seed, part, count])):
        pairs.append({"prompt": PROMPT, "chosen": texts[better], "rejected": texts[worse]})
        pairs[-1] |= {"chosen_id": ids[better], "rejected_id": ids[worse], "gap": means[better] - means[worse]}
        pairs[-1] |= {"same_sign": means[better] * means[worse] > 0}
        pairs[-1] |= {"chosen_others": others[better], "rejected_others": others[worse]}
    return Dataset.from_list(pairs)


def _drawn(means, count, min_gap, same_sign, draw):
    """(better, worse) row numbers of `count` different pairs, neighbours in one random order after another."""
    found = {}
    for _ in range(200):
        order = draw.permutation(len(means)).tolist()
        for left, right in zip(order[::2], order[1::2], strict=False):
            better, worse = (left, right) if means[left] > means[right] else (right, left)
            wanted = same_sign is None or (means[better] * means[worse] > 0) == same_sign
            if wanted and means[better] - means[worse] > min_gap:
                found[better, worse] = None
                if len(found) == count:
                    return list(found)
    raise ValueError(
        f"Expected {count} pairs with a gap above {min_gap} (same_sign={same_sign}), found {len(found)} among "
        f"{len(means)} texts. Ask for fewer, lower min_gap, or pass more rows."
    )


def same_people(rows):
    """The ratings of the first batch of film snippets that is complete, as the same people gave them.

    Args:
        rows: from `reviews.load("movies", "all")`.

    Returns:
        A list with one list of ratings a snippet, in the file's order; place k in each is one person.

    Raises:
        ValueError: no batch has all its snippets, each with as many ratings.
    """
    batches = {}
    for row_id, ratings in zip(rows["id"], rows["ratings"], strict=True):
        batches.setdefault(reviews.people(row_id), {})[int(row_id.partition("-")[2])] = ratings
    for _, batch in sorted(batches.items()):
        if len(batch) == reviews.BATCH and len({len(ratings) for ratings in batch.values()}) == 1:
            return [batch[number] for number in sorted(batch)]
    raise ValueError(f"None of {len(batches)} batches is complete. Pass all rows: reviews.load('movies', 'all').")


def chosen_by_a_model(split="train"):
    """The 300 preference pairs that come with the instructions. A model chose them, no person did.

    Returns:
        Dataset with columns id, prompt, chosen, rejected, split; earlier turns of a dialogue stand in the prompt.
    """
    found = json.loads((assets.path("instructions") / "dpo_en_demo.json").read_text(encoding="utf-8"))
    rows = [
        {
            "id": f"preference-{number}",
            "prompt": _turns_as_text([(turn["from"] == "human", turn["value"]) for turn in row["conversations"]]),
            "chosen": row["chosen"]["value"].strip(),
            "rejected": row["rejected"]["value"].strip(),
        }
        for number, row in enumerate(found, start=1)
    ]
    return _split(rows, split)


def load_hub(split="train", repo="HuggingFaceH4/ultrafeedback_binarized"):
    """The large twin on the hub: 61,000 pairs, chosen by GPT-4, with the same columns.

    Raises:
        RuntimeError: the hub cannot be reached.
    """
    import datasets

    try:
        part = datasets.load_dataset(repo, split="train_prefs")
    except OSError as error:
        raise RuntimeError(
            f"{repo} could not be had from the hub: {error}\n"
            "Check the network, and that COURSE_OFFLINE is not set; chosen_by_a_model() needs no hub."
        ) from error
    return _split(rows_of(part), split)


def rows_of(part):
    """Rows of a set whose chosen and rejected are dialogues (lists of role and content) in the course's columns."""
    return [
        {
            "id": f"hub-preference-{number}",
            "prompt": _turns_as_text([(turn["role"] == "user", turn["content"]) for turn in row["chosen"][:-1]]),
            "chosen": row["chosen"][-1]["content"].strip(),
            "rejected": row["rejected"][-1]["content"].strip(),
        }
        for number, row in enumerate(part, start=1)
    ]


def _turns_as_text(turns):
    """One turn as it is; several with who says what."""
    if len(turns) == 1:
        return turns[0][1].strip()
    return "\n\n".join(f"{'User' if human else 'Assistant'}: {said.strip()}" for human, said in turns)


def _split(rows, split):
    if split not in (*splits.SHARES, "all"):
        raise ValueError(f"There is no split {split!r}. Choose from: {', '.join(splits.SHARES)}, all.")
    ids, prompts = [row["id"] for row in rows], [row["prompt"] for row in rows]
    placed = [row | {"split": own} for row, own in zip(rows, splits.assign(ids, prompts, ids), strict=True)]
    return Dataset.from_list([row for row in placed if split in (row["split"], "all")])


def from_rankings(rows):
    """Ranked lists of K answers as their K (K − 1) / 2 pairs.

    Args:
        rows: dictionaries with prompt and answers, the best first; `ranks`, when there, gives equal ones one number.

    Returns:
        Dataset with columns prompt, chosen, rejected, gap (in ranks), list (the row's number).
    """
    pairs = []
    rows = tables.listed(rows)
    tables.need(rows, ("prompt", "answers"))
    for number, row in enumerate(rows):
        if not isinstance(row["answers"], list | tuple) or len(row["answers"]) < 2:
            raise ValueError(f"Row {number}, column 'answers' needs a list of at least two answers, the best first.")
        tables.text(row, number, "prompt")
        for place, answer in enumerate(row["answers"]):
            tables.checked_text(answer, f"Row {number}, answer {place}")
        ranks = row.get("ranks") or list(range(1, len(row["answers"]) + 1))
        if len(ranks) != len(row["answers"]) or ranks != sorted(ranks):
            raise ValueError(
                f"Row {number}: expected one rank for each of {len(row['answers'])} answers, the best first with the "
                f"lowest number, got {ranks}. Sort the answers by rank."
            )
        for (high, chosen), (low, rejected) in itertools.combinations(zip(ranks, row["answers"], strict=True), 2):
            if high < low:
                pairs.append({"prompt": row["prompt"], "chosen": chosen, "rejected": rejected})
                pairs[-1] |= {"gap": low - high, "list": number}
    if not pairs:
        raise ValueError(f"{len(rows)} lists hold no pair of unequal rank, so there is nothing to learn from.")
    return Dataset.from_list(pairs)


def encode(pairs, tokenizer, *, answer_tokens, max_length=None, drop_equal=False):
    """Pairs as tokens, answers cut as a sampler will cut them.

    Args:
        pairs: rows with columns prompt, chosen, rejected.
        tokenizer: with a chat template.
        answer_tokens: what is longer loses its end, as a sample that was cut off.
        max_length: leave out pairs of which a text is longer, prompt included, and say how many; None keeps all.
        drop_equal: leave out pairs that are equal after the cut, of which nothing can be learned, and say how many.

    Returns:
        A list of {"chosen_ids": list of int, "rejected_ids": list of int}.

    Raises:
        ValueError: a text is none or blank, both answers are the same, or no pair is left.
    """
    pairs = tables.listed(pairs)
    _check_pairs(pairs, answer_tokens, max_length)
    turns, encoded, long, equal = Turns.of(tokenizer), [], [], []
    for number, row in enumerate(pairs):
        prompt = turns.prompt(row["prompt"])
        texts = [[*prompt, *turns.answer(row[side], answer_tokens)] for side in ("chosen", "rejected")]
        if max_length is not None and max(map(len, texts)) > max_length:
            long.append(number)
        elif drop_equal and texts[0] == texts[1]:
            equal.append(number)
        else:
            encoded.append({"chosen_ids": texts[0], "rejected_ids": texts[1]})
    if not encoded and not equal:
        raise ValueError(f"All {len(pairs)} pairs are longer than {max_length} tokens. Raise max_length.")
    if not encoded:
        raise ValueError(f"No pair is left: {len(equal)} are equal after the cut to {answer_tokens} tokens. Raise it.")
    for numbers, why in ((long, f"longer than {max_length} tokens"), (equal, f"equal after {answer_tokens} tokens")):
        if numbers:
            print(f"{len(numbers)} of {len(pairs)} pairs are {why} and left out ({tables.some(numbers)}).")
    return encoded


def _check_pairs(pairs, answer_tokens, max_length):
    """Raise ValueError unless every pair has three texts, and two different answers."""
    tables.need(pairs, ("prompt", "chosen", "rejected"))
    tables.whole("answer_tokens", answer_tokens, 1)
    if max_length is not None:
        tables.whole("max_length", max_length, 2)
    for number, row in enumerate(pairs):
        if isinstance(row["chosen"], list):
            raise ValueError(f"Row {number}, column 'chosen' holds a dialogue. Pass preference.rows_of(pairs) instead.")
        for column in ("prompt", "chosen", "rejected"):
            tables.text(row, number, column)
        if row["chosen"].strip() == row["rejected"].strip():
            raise ValueError(f"Row {number} has the same text as chosen and rejected: nothing is better. Drop the row.")


@dataclass(frozen=True)
class PairCollator:
    """Makes a batch of pairs: first all chosen texts, then all rejected ones.

    pad_id: the tokenizer's pad token.
    """

    pad_id: int
    columns = ("chosen_ids", "rejected_ids")

    def __call__(self, rows):
        """B pairs to {"input_ids": (2B, T) int64, "mask": (2B, T) bool, "better", "worse": (B,) rows of the pairs}."""
        texts = padded([row["chosen_ids"] for row in rows] + [row["rejected_ids"] for row in rows], self.pad_id)
        numbers = torch.arange(len(rows))
        return texts | {"better": numbers, "worse": numbers + len(rows)}


def padded(texts, pad_id):
    """Lists of token ids to {"input_ids": (B, T), "mask": (B, T)}, padded on the right."""
    longest = max(map(len, texts))
    batch = {"input_ids": torch.full((len(texts), longest), pad_id), "mask": torch.zeros(len(texts), longest).bool()}
    for row, text in enumerate(texts):
        batch["input_ids"][row, : len(text)] = torch.tensor(text)
        batch["mask"][row, : len(text)] = True
    return batch
