import json

import pytest
import torch
from datasets import Dataset

from course_utils import assets
from course_utils.data import preference, reviews, splits

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def rated(means, people=6):
    """Rows whose two halves have the given mean and its negative, alternating people by `panel_parts`' own division."""
    rows = {"id": [f"tweets-{i}" for i in range(len(means))]}
    rows["text"] = [f"text {LETTERS[i]}" for i in range(len(means))]
    rows["ratings"] = []
    for row_id, mean in zip(rows["id"], means, strict=True):
        order = reviews._order(row_id, people, 0)
        ratings = [0] * people
        for place, person in enumerate(order):
            ratings[person] = mean if place % 2 == 0 else -mean
        rows["ratings"].append(ratings)
    return Dataset.from_dict(rows)


def test_the_better_mean_of_the_deciding_half_is_chosen():
    pairs = preference.human_pairs(rated([3, 1, -1, -3]), 6)
    assert len({(row["chosen_id"], row["rejected_id"]) for row in pairs}) == 6
    means = dict(zip([f"tweets-{i}" for i in range(4)], [3, 1, -1, -3], strict=True))
    for row in pairs:
        better, worse = means[row["chosen_id"]], means[row["rejected_id"]]
        assert row["gap"] == better - worse > 0 and row["same_sign"] == (better * worse > 0)
        assert row["chosen_others"] == [-better] * 3 and row["rejected_others"] == [-worse] * 3
        assert row["prompt"] == preference.PROMPT and row["chosen"].startswith("text ")


def test_the_other_half_decides_the_other_way():
    first = {(r["chosen_id"], r["rejected_id"]) for r in preference.human_pairs(rated([3, 1, -1, -3]), 6)}
    second = {(r["rejected_id"], r["chosen_id"]) for r in preference.human_pairs(rated([3, 1, -1, -3]), 6, part=1)}
    assert first == second


def test_gap_and_sign_select():
    rows = rated([4, 3, 2, 0, -1, -4])
    assert min(preference.human_pairs(rows, 6, min_gap=3)["gap"]) > 3
    assert all(preference.human_pairs(rows, 4, same_sign=True)["same_sign"])
    assert not any(preference.human_pairs(rows, 6, same_sign=False)["same_sign"])
    with pytest.raises(ValueError, match=r"Expected 9 pairs with a gap above 7 \(same_sign=None\), found 1 among 6"):
        preference.human_pairs(rows, 9, min_gap=7)


def test_ties_are_no_pairs():
    with pytest.raises(ValueError, match="found 0 among 3"):
        preference.human_pairs(rated([2, 2, 2]), 1)


def test_texts_take_turns_and_the_seed_decides():
    rows = rated([4, 3, 2, 1, -1, -2, -3, -4])
    used = [row[side] for row in preference.human_pairs(rows, 4) for side in ("chosen_id", "rejected_id")]
    assert len(set(used)) == 8
    assert preference.human_pairs(rows, 9)["chosen"] == preference.human_pairs(rows, 9)["chosen"]
    assert preference.human_pairs(rows, 9)["chosen"] != preference.human_pairs(rows, 9, seed=1)["chosen"]


def test_proxy_and_gold_share_no_text_and_no_near_duplicate(monkeypatch):
    texts = [f"{a}{b} is {b}{a}{a} or {a}{a}{b}" for a in LETTERS for b in LETTERS[:4]]
    texts[1] = texts[0] + "!"
    ids = [f"movies-{i}" for i in range(len(texts))]
    rows = {"id": ids, "text": texts, "document": ids}
    monkeypatch.setattr(reviews, "load", lambda domain, split: Dataset.from_dict(rows))
    gold, proxy = preference.rated_rows("gold"), preference.rated_rows("proxy")
    assert sorted([*gold["id"], *proxy["id"]]) == sorted(ids) and 0 < len(proxy) < len(gold)
    assert splits.near_duplicates(texts), "the test needs near-duplicates"
    held = set(gold["text"])
    assert not [pair for pair in splits.near_duplicates(texts) if len({texts[i] in held for i in pair}) > 1]
    with pytest.raises(ValueError, match="no role 'silver'"):
        preference.rated_rows("silver")


def test_pairs_that_a_model_chose(monkeypatch, tmp_path):
    turns = [{"from": "human", "value": " Hi? "}, {"from": "gpt", "value": "Yes."}, {"from": "human", "value": "So?"}]
    rows = [
        {"conversations": turns[:1], "chosen": {"value": "good "}, "rejected": {"value": "bad"}},
        {"conversations": turns, "chosen": {"value": "a"}, "rejected": {"value": "b"}},
    ]
    (tmp_path / "dpo_en_demo.json").write_text(json.dumps(rows))
    monkeypatch.setattr(assets, "path", lambda name: tmp_path)
    first, second = preference.chosen_by_a_model("all")
    assert (first["prompt"], first["chosen"], first["rejected"]) == ("Hi?", "good", "bad")
    assert second["prompt"] == "User: Hi?\n\nAssistant: Yes.\n\nUser: So?"
    assert {row["split"] for row in (first, second)} <= set(splits.SHARES)
    with pytest.raises(ValueError, match="no split 'dev'"):
        preference.chosen_by_a_model("dev")


def test_the_hub_twin_has_the_same_columns():
    said = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "good"}]
    (row,) = preference.rows_of([{"chosen": said, "rejected": [said[0], {"role": "assistant", "content": "bad"}]}])
    assert row == {"id": "hub-preference-1", "prompt": "Hi?", "chosen": "good", "rejected": "bad"}


def test_a_ranked_list_of_four_gives_six_pairs_and_equal_ranks_none():
    rows = [{"prompt": "p", "answers": ["a", "b", "c", "d"]}, {"prompt": "q", "answers": ["e", "f"], "ranks": [1, 1]}]
    pairs = preference.from_rankings(rows)
    assert [row["chosen"] + row["rejected"] for row in pairs] == ["ab", "ac", "ad", "bc", "bd", "cd"]
    assert pairs["gap"] == [1, 2, 3, 1, 2, 1] and set(pairs["list"]) == {0}
    with pytest.raises(ValueError, match="no pair of unequal rank"):
        preference.from_rankings(rows[1:])
    with pytest.raises(ValueError, match=r"Row 0: expected one rank for each of 2 answers.*got \[2, 1\]"):
        preference.from_rankings([{"prompt": "p", "answers": ["a", "b"], "ranks": [2, 1]}])


def test_encoded_pairs_are_cut_as_a_sampler_cuts(tiny_tokenizer):
    rows = [{"prompt": "the film?", "chosen": "good", "rejected": "a film that was bad and bad and bad"}]
    (row,) = preference.encode(rows, tiny_tokenizer, answer_tokens=4)
    end = tiny_tokenizer.convert_tokens_to_ids("<end_of_turn>")
    assert row["chosen_ids"][-1] == end != row["rejected_ids"][-1]
    (longer,) = preference.encode(rows, tiny_tokenizer, answer_tokens=5)
    assert len(longer["rejected_ids"]) == len(row["rejected_ids"]) + 1
    with pytest.raises(ValueError, match="All 1 pairs are longer than 5 tokens"):
        preference.encode(rows, tiny_tokenizer, answer_tokens=4, max_length=5)


def test_a_batch_has_all_chosen_texts_before_all_rejected_ones():
    rows = [{"chosen_ids": [1, 2, 3], "rejected_ids": [4]}, {"chosen_ids": [5], "rejected_ids": [6, 7]}]
    batch = preference.PairCollator(0)(rows)
    assert batch["input_ids"].tolist() == [[1, 2, 3], [5, 0, 0], [4, 0, 0], [6, 7, 0]]
    assert torch.equal(batch["mask"], batch["input_ids"] != 0)


def test_the_same_people_rate_a_whole_batch():
    rows = reviews.load("movies", "all")
    batch = preference.same_people(rows)
    assert len(batch) == reviews.BATCH and len({len(ratings) for ratings in batch}) == 1
    known = {row["id"]: row["ratings"] for row in rows}
    number = next(n for n in range(1, len(known)) if known.get(f"movies-{n}") == batch[0])
    assert number % reviews.BATCH == 1 and known[f"movies-{number + 29}"] == batch[-1]


def test_batches_with_gaps_are_refused():
    with pytest.raises(ValueError, match="None of 1 batches is complete"):
        preference.same_people({"id": ["movies-1", "movies-2"], "ratings": [[1], [2]]})
