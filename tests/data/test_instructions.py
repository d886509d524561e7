import json

import pytest
import torch
from transformers import AutoTokenizer

from course_utils import assets
from course_utils.data import instructions
from course_utils.data.instructions import TokenCollator, encode, encode_dialogue


@pytest.fixture
def tokenizer(tiny_folder):
    return AutoTokenizer.from_pretrained(tiny_folder)


ROWS = [
    {"prompt": "is the film good", "answer": "yes"},
    {"prompt": "hello", "answer": "hello world\n\nthe film is fine"},
    {"prompt": "say é", "answer": "日本"},
]


@pytest.fixture
def alpaca(tmp_path, monkeypatch):
    rows = [
        {"instruction": f"tell me about {n} and {n * 7}", "input": "", "output": f" number {n} "} for n in range(60)
    ]
    rows[1]["input"] = "with care"
    (tmp_path / "alpaca_en_demo.json").write_text(json.dumps(rows))
    monkeypatch.setattr(assets, "path", lambda name: {"instructions": tmp_path}[name])


def test_rows_are_split_without_overlap(alpaca):
    parts = [instructions.load(split) for split in ("train", "validation", "test")]
    ids = [row for part in parts for row in part["id"]]
    assert len(ids) == len(set(ids)) == 60 == len(instructions.load("all"))
    assert parts[0].column_names == ["id", "prompt", "answer", "split"] and len(parts[0]) > len(parts[2]) > 0
    everything = {row["id"]: row for row in instructions.load("all")}
    assert everything["instructions-2"]["prompt"] == "tell me about 1 and 7\n\nwith care"
    assert everything["instructions-2"]["answer"] == "number 1"


def test_a_split_that_is_not_there(alpaca):
    with pytest.raises(ValueError, match=r"no split .dev.\. Choose from: train"):
        instructions.load("dev")


def test_the_mask_counts_the_answer_and_the_end_of_its_turn_and_nothing_else(tokenizer):
    for row in ROWS:
        ids, mask = encode_dialogue(instructions.dialogue(row), tokenizer)
        learned = [token for token, counts in zip(ids, mask, strict=True) if counts]
        assert tokenizer.decode(learned) == row["answer"] + "<end_of_turn>"
        asked = [{"role": "user", "content": row["prompt"]}]
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert ids[: len(prompt)] == list(prompt) and not any(mask[: len(prompt)])
        assert ids[0] == tokenizer.bos_token_id and ids.count(tokenizer.bos_token_id) == 1


def test_two_turns_learn_both_answers(tokenizer):
    messages = [message for row in ROWS[:2] for message in instructions.dialogue(row)]
    ids, mask = encode_dialogue(messages, tokenizer)
    end = tokenizer.convert_tokens_to_ids("<end_of_turn>")
    assert [mask[place] for place, token in enumerate(ids) if token == end] == [False, True, False, True]


def test_what_is_too_long_is_cut_or_left_out(tokenizer):
    lengths = [len(row["input_ids"]) for row in encode(ROWS, tokenizer, max_length=500)]
    limit = max(lengths) - 1
    assert max(len(row["input_ids"]) for row in encode(ROWS, tokenizer, max_length=limit)) == limit
    assert len(encode(ROWS, tokenizer, max_length=limit, drop_long=True)) == 2


def test_a_row_without_any_answer_left_is_named(tokenizer):
    with pytest.raises(
        ValueError, match=r"3 of 3 rows have no answer left after truncation to 5 tokens \(rows 0, 1, 2\)"
    ):
        encode(ROWS, tokenizer, max_length=5)
    assert encode(ROWS, tokenizer, max_length=5, drop_unlearnable=True) == []


def test_a_template_that_does_not_round_trip(tokenizer):
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "<start_of_turn>model\\n' -}}\n        {%- gen", "MODEL' -}}\n        {%- gen"
    )
    with pytest.raises(ValueError, match=r"does not round-trip.*prompt alone"):
        encode(ROWS, tokenizer, max_length=500)


def test_text_that_the_tokenizer_changes_does_not_round_trip(tokenizer, monkeypatch):
    monkeypatch.setattr(type(tokenizer), "decode", lambda self, ids, **options: "<bos><start_of_turn>user\nIS THE")
    with pytest.raises(ValueError, match=r"does not round-trip: 'is the film good.* comes back as 'IS THE'"):
        encode(ROWS, tokenizer, max_length=500)


@pytest.mark.parametrize("template", [None, "{{ messages }}{% if add_generation_prompt %}x{% endif %}"])
def test_a_template_without_marks(tokenizer, template):
    tokenizer.chat_template = template
    with pytest.raises(ValueError, match="does not mark what the assistant says"):
        encode(ROWS, tokenizer, max_length=500)


def test_other_columns_and_no_rows(tokenizer):
    with pytest.raises(ValueError, match=r"columns \['output', 'prompt'\]; \['answer'\] is missing"):
        encode([{"prompt": "x", "output": "y"}], tokenizer, max_length=9)
    with pytest.raises(ValueError, match="There are no rows"):
        encode([], tokenizer, max_length=9)


def test_a_batch():
    rows = [
        {"input_ids": [5, 6, 7], "completion_mask": [False, True, True]},
        {"input_ids": [8], "completion_mask": [False]},
    ]
    batch = TokenCollator(9)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]] and batch["input_ids"].dtype == torch.int64
    assert batch["mask"].tolist() == [[True, True, True], [True, False, False]]
    assert batch["completion_mask"].tolist() == [[False, True, True], [False, False, False]]


def test_no_pad_token():
    with pytest.raises(ValueError, match="has no pad token"):
        TokenCollator(None)


def test_short_rows_are_short_on_both_sides(tokenizer):
    rows = [*ROWS, {"prompt": "the film " * 40, "answer": "yes"}, {"prompt": "hello", "answer": ""}]
    kept = instructions.short(rows, tokenizer, answer_tokens=3)
    assert kept == [row for row in ROWS if row["answer"] == "yes"]
    lines = instructions.short(ROWS, tokenizer, answer_tokens=50)
    assert ROWS[1] in lines and "\n" in ROWS[1]["answer"]
    assert instructions.short(ROWS, tokenizer, answer_tokens=50, one_line=True) == [
        r for r in lines if r is not ROWS[1]
    ]


def test_film_sentences_answer_an_instruction_to_write_one(monkeypatch):
    rows = [{"id": f"movies-{n}", "text": f"film {n}", "split": "train"} for n in range(30)]
    monkeypatch.setattr(instructions.reviews, "load", lambda domain, split: rows if domain == "movies" else [])
    films = instructions.film_sentences("train")
    assert films["answer"] == [row["text"] for row in rows] and films["id"] == [row["id"] for row in rows]
    assert set(films["prompt"]) == set(instructions.REVIEW_PROMPTS)
    assert films["prompt"] == instructions.film_sentences("train")["prompt"]


def test_the_rows_that_are_shown_keep_their_order(alpaca, monkeypatch):
    names = [row["id"] for row in instructions.load("train")][:3][::-1]
    monkeypatch.setattr(instructions, "SHOWN", tuple(names))
    assert [row["id"] for row in instructions.shown()] == names


@pytest.fixture
def talks(tmp_path, monkeypatch):
    def turns(*texts):
        sides = ["human", "gpt"] * len(texts)
        return [{"from": side, "value": text} for side, text in zip(sides, texts, strict=False)]

    asked = [f"what is number {n} and {n * 7} times {n * 3}" for n in range(40)]
    rows = [turns(text, " so much ", "and then?", "more", "and now?") for text in asked]
    rows += [turns(asked[0], "other", "again?", "yes"), turns(asked[1] + "!", "near", "again?", "yes")]
    rows += [turns("too short?"), turns("too short too?", "yes", "why?")]
    rows += [[{"from": "system", "value": "be kind"}, *turns("a", "b", "c")]]
    (tmp_path / "dpo_en_demo.json").write_text(json.dumps([{"conversations": row} for row in rows]))
    monkeypatch.setattr(assets, "path", lambda name: {"instructions": tmp_path}[name])
    return asked


def test_dialogues_are_cut_after_the_second_turn_and_equal_ones_come_once(talks):
    found = [row for half in instructions.HALVES for row in instructions.two_turns(half)]
    assert len(found) == len({row["id"] for row in found}) == len(talks) + 1, "the near-duplicate stays"
    (first,) = (row for row in found if row["id"] == "dialogues-1")
    assert [turn["role"] for turn in first["messages"]] == ["user", "assistant"] * 2
    assert [turn["content"] for turn in first["messages"]] == [talks[0], "so much", "and then?", "more"]


def test_the_halves_of_the_dialogues_share_no_near_duplicate(talks):
    halves = [instructions.two_turns(half) for half in instructions.HALVES]
    sides = {row["id"]: side for side, rows in enumerate(halves) for row in rows}
    assert sides["dialogues-2"] == sides["dialogues-42"] and min(map(len, halves)) > 8
    with pytest.raises(ValueError, match=r"no half 'validation' of the dialogues\. Choose from: train, test"):
        instructions.two_turns("validation")
