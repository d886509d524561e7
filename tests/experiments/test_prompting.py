"""The experiment on tiny models: every kind of point holds what its table is made of."""

import copy
import itertools

import pytest
import torch
from helpers import tiny_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer

from course_utils import runtime
from course_utils.data import digit_sums, instructions, many_tasks, prompt_parts
from course_utils.data.prompts import Example
from course_utils.experiments import prompting
from course_utils.models import base, convert

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "items": 8,
    "worded": 24,
    "unlabelled": 2,
    "searched": 8,
    "prompts": 4,
    "numbers": 3,
    "few_numbers": 2,
    "shots": 2,
    "tokens": 600,
    "batch_size": 4,
}
SMALL |= {
    "exam": 6,
    "voting": 3,
    "samples": 2,
    "asked": 3,
    "voted": 3,
    "votes": 2,
    "written": 3,
    "heated": 4,
    "drawn": 2,
    "stated": 2,
    "json": 4,
    "letters": 3,
}
SMALL |= {"manners": 2, "validation": (2,), "tried": (1, 4)}


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    convert.write(tiny_gguf.write_llama(tmp_path_factory.mktemp("file") / "chat.gguf"), folder)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(
        folder
    )


@pytest.fixture
def small(monkeypatch, tiny_model, tiny_tokenizer, chat):
    def load(name, *, test, unlabelled=2):
        count = 4 if name in ("language", "source") else 2
        rows = [Example(f"the film is {n}", n % count) for n in range(test)]
        words = (" good", " bad", " fine", " great")[:count]
        return many_tasks.Task(name, "{text}:", words, [], ("a film", "no film"), rows)

    monkeypatch.setattr(many_tasks, "load", load)
    monkeypatch.setattr(prompt_parts, "_WORDS", ((" good", " bad"), (" fine", " great")))
    monkeypatch.setattr(base, "load_base", lambda dtype=None: (copy.deepcopy(tiny_model), tiny_tokenizer))
    monkeypatch.setattr(base, "load_chat", lambda: chat)
    monkeypatch.setattr(instructions, "load", lambda split: [{"prompt": f"hello {n}"} for n in range(3)])
    monkeypatch.setattr(prompting, "SETTING", prompting.SETTING | SMALL)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("parts-base-turn", ["".join(code) for code in itertools.product("i-", "c-", "x-", "o-")]),
        ("wording-base-source", list(prompt_parts.wordings("source"))),
        ("words-base-0", ["plain", "room to write", "step by step", "shown answers", "shown steps"]),
        ("votes-0", ["answers", "steps", "voted"]),
        ("heat-1", ["0.0", "0.3", "0.7", "1.0", "1.5"]),
        ("grammar-base-0", ["asked", "asked, grammar", "shown", "shown, grammar"]),
        ("words-chat-1", ["plain", "room to write", "step by step", "shown answers", "shown steps"]),
    ],
)
def test_each_condition_is_judged_item_by_item(small, tmp_path, kind, names):
    assert kind in prompting.POINTS
    found = prompting.measure(kind, None, tmp_path)
    assert sorted(found["conditions"]) == sorted(names)
    lines = [
        row for both in found["conditions"].values() for row in (both.values() if isinstance(both, dict) else [both])
    ]
    assert len({len(row) for row in lines}) == 1 and set("".join(lines)) <= {"0", "1"}
    assert prompting.summary({kind: found})[kind.split("-")[0]]


def test_a_grammar_makes_every_answer_parse(small, tmp_path):
    found = prompting.measure("grammar-base-0", None, tmp_path)
    assert found["valid"]["asked, grammar"] == found["valid"]["shown, grammar"] == "1111"
    table = prompting.summary({"grammar-base-0": found})
    assert (
        table["valid"]["base"]["shown, grammar"] == pytest.approx([1, 1, 1])
        and "shown, grammar over shown" in table["grammar"]["base"]
    )


@pytest.mark.parametrize(
    ("value", "text", "label"),
    [
        ({"sentiment": "positive"}, "", 1), (None, "It is Negative.", 0), (None, "negative or positive", None),
        (None, "", None), ({"sentiment": "negative"}, "positive", 0), (None, "bad: negative\n\nor positive", 0),
    ],
)  # fmt: skip
def test_a_broken_answer_still_counts_where_it_names_one_label(value, text, label):
    assert prompting._label(value, text) == label


def test_candidates_are_searched(small, tmp_path):
    points = {f"search-{seed}": prompting.measure(f"search-{seed}", None, tmp_path) for seed in (0, 1)}
    assert len(points["search-0"]["right"]) == len(points["search-0"]["prompts"]) == 4
    assert {len(row) for row in points["search-0"]["right"]} == {8}
    assert len(prompting.summary(points)["search"]["2"]["4"]["test"]) == 2


def test_manners_are_counted_by_hand(small, tmp_path, monkeypatch):
    monkeypatch.setattr(
        prompting.prompting.Asked, "write", lambda self, texts, **how: ["I am. Very good!"] * len(texts)
    )
    found = prompting.measure("manner", None, tmp_path)
    assert found["manner"]["user: ten"] == {"letters": [2.75, 2.75], "words": [2.0, 2.0]}
    assert prompting.summary({"manner": found})["manner"]["user: ten"]["words"] == [0, 0, 0]


def test_both_arms_learn_from_equally_many_tokens_and_never_from_the_exam(small, tiny_tokenizer):
    exam = digit_sums.draw(6, 3, seed="exam")
    used = {}
    for arm in prompting.ARMS:
        rows = prompting.rows_of(arm, tiny_tokenizer, 0, exam)
        used[arm] = sum(len(row["input_ids"]) for row in rows)
        asked = {
            tiny_tokenizer.decode(row["input_ids"], skip_special_tokens=True).partition("=")[0] + "=" for row in rows
        }
        assert not asked & {digit_sums.question(row) for row in exam}
        first = [n for n, learned in zip(rows[0]["input_ids"], rows[0]["completion_mask"], strict=True) if learned]
        said = tiny_tokenizer.decode(first)
        assert said.endswith("\n") and ("," in said) == (arm == "steps")
    assert all(600 - 40 < tokens <= 600 for tokens in used.values())


def test_an_arm_is_taught_and_asked(small, tmp_path):
    run = runtime.start(quiet=True)
    points = {name: prompting.measure(name, run, tmp_path / name) for name in ("taught-answers-0", "taught-steps-0")}
    found = points["taught-steps-0"]
    assert len(found["conditions"]["greedy"]) == 6 and len(found["conditions"]["voted"]) == 3 and found["tokens"] <= 600
    assert found["rows"] < points["taught-answers-0"]["rows"]
    table = prompting.summary(points)["taught"]
    assert set(table) == {f"{arm}, {how}" for arm in prompting.ARMS for how in prompting.HOW} | {
        f"steps, {how} over answers, {how}" for how in prompting.HOW
    }
    assert "taught" not in prompting.summary({"taught-steps-0": found})


def test_no_seed_has_an_item_of_another_and_no_example_is_asked(small):
    for rows in ([prompting._sums("asked", 2, seed) for seed in prompting.SEEDS],
                 [prompting._some(range(24), "searched", seed) for seed in prompting.SEEDS]):  # fmt: skip
        assert len({row for own in rows for row in own}) == sum(map(len, rows)) == 3 * len(rows[0])
    with pytest.raises(ValueError, match="3 seeds need 24 rows for 'searched', there are 23"):
        prompting._some(range(23), "searched", 0)
    rows = digit_sums.draw(79, 2, seed=0)
    assert not set(prompting.shown("answers", rows, 0).split("\n")) & {
        f"{digit_sums.question(r)}{sum(r)}" for r in rows
    }


def test_every_seed_finds_items_enough():
    setting = prompting.SETTING
    assert max(setting["searched"], setting["json"]) * len(prompting.SEEDS) <= setting["worded"]
    assert setting["asked"] * len(prompting.SEEDS) <= 9 ** setting["few_numbers"]
    assert setting["heated"] * len(prompting.SEEDS) <= 81 - setting["shots"]


def test_what_is_written_first_is_not_read_as_the_answer(small, monkeypatch):
    asked, rows = prompting.prompting.Asked(*prompting.base.load_base(), turns=False), [(4, 7), (1, 2)]
    monkeypatch.setattr(prompting, "_sums", lambda *which: rows)
    seen = []

    def write(self, texts, *, new_tokens, lines=False, begun=None, **how):
        seen.extend(begun or [])
        return [" 4+7=11 and\n\nso on\nQuestion: What is 9?"] * 2 if lines else [" 4+7=11 or 3"] * 2

    monkeypatch.setattr(prompting.prompting.Asked, "write", write)
    found = prompting.words(asked, 0)["conditions"]
    assert seen[:2] == [" The answer is"] * 2
    assert seen[2:] == [" 4+7=11 and\n\nso on\nTherefore, the answer is"] * 4
    assert found["plain"] == found["step by step"] == "10" and found["shown answers"] == "01"


def test_nothing_measured_is_no_table():
    assert prompting.summary({}) == {}
