"""The experiment on tiny models: every kind of point holds what its table is made of."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from helpers import tiny_gguf, toy_rlhf
from transformers import AutoModelForCausalLM, AutoTokenizer

from course_utils import runtime
from course_utils.data import exams, instructions, preference, probes
from course_utils.experiments import evaluation
from course_utils.judging import arena, judges
from course_utils.models import base, convert

pytestmark = pytest.mark.usefixtures("one_thread")

ITEMS = [exams.Item(f"the film {n}", ("good", "bad", "fine", "a film")[: 3 + n % 2], n % 3) for n in range(8)]
SMALL = {"items": 4, "written": 2, "seen": 4, "epochs": 1, "batch_size": 4, "openings": 3, "answer_tokens": 3}
SMALL |= {"pairs": 4, "same_sign": 2}


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    convert.write(tiny_gguf.write_llama(tmp_path_factory.mktemp("file") / "chat.gguf"), folder)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(
        folder
    )


def by_letters(asked, firsts, seconds):
    return torch.tensor([float(len(one) - len(two)) for one, two in zip(firsts, seconds, strict=True)])


@pytest.fixture
def small(monkeypatch, tiny_model, tiny_tokenizer, tiny_folder, chat):
    toy_rlhf.arrange(monkeypatch, tiny_folder)
    for where in (base, arena):
        monkeypatch.setattr(where, "load_base", lambda dtype=None: (copy.deepcopy(tiny_model), tiny_tokenizer))
        monkeypatch.setattr(where, "load_chat", lambda: chat)
    monkeypatch.setattr(exams, "load", lambda kind, count=None: ITEMS[:count])
    monkeypatch.setattr(probes, "JOBS", ("film", "movie"))
    monkeypatch.setattr(probes, "GROUPS", (("good film", "bad film"),))
    monkeypatch.setattr(probes, "questions", lambda: [probes.Question(f"film {n}?", n % 2 == 0, 0) for n in range(4)])
    monkeypatch.setattr(
        instructions, "film_sentences", lambda split: {"answer": ["the film is good", "a bad movie"] * 4}
    )
    people = {text: [f"{text} good", f"{text} bad"] for text in (row["opening"] for row in toy_rlhf.OPENINGS)}
    monkeypatch.setattr(arena, "people", lambda openings: {opening: people[opening] for opening in openings})
    monkeypatch.setattr(arena, "retrieved", lambda openings: [f"{opening} fine" for opening in openings])
    monkeypatch.setattr(arena, "rounded_to_four_bits", lambda model: model)
    monkeypatch.setattr(evaluation, "SETTING", evaluation.SETTING | SMALL)
    monkeypatch.setattr(judges, "pair_odds", by_letters)
    monkeypatch.setattr(judges, "grades", lambda asked, texts: torch.tensor([float(len(text)) for text in texts]))


def measured(point, folder):
    assert point in evaluation.POINTS
    return evaluation.measure(point, runtime.start(quiet=True), folder / point)


@pytest.mark.parametrize("model", ["base", "chat", "sft"])
def test_exams_are_read_item_by_item(small, tmp_path, model):
    point = f"exam-{model}-common-sense"
    found = measured(point, tmp_path)
    assert [len(row) for row in found["letter"]] == [3, 4, 3, 4]
    assert evaluation.summary({point: found})["exam"]["common-sense"]["items"] == 4


@pytest.mark.parametrize("model", ["base", "ppo"])
def test_probes_hold_what_is_said_and_leant_to(small, tmp_path, model):
    found = measured(f"probe-{model}", tmp_path)
    assert found["real"] == "1010" and len(found["said"]) == len(found["says so"]) == 4
    assert sorted(found["jobs"]) == ["film", "movie"] and len(found["jobs"]["film"]) == 4
    assert [len(side) for side in found["groups"]["good film less bad film"]] == [6, 6]


@pytest.mark.parametrize(("text", "so"), [
    ("I don't know.", True), ("There is no such book.", True), ("It is a fictional place.", True),
    ("Herman Melville", False), ("Known to all.", False), ("1815", False), ("I'm not sure", True),
])  # fmt: skip
def test_who_says_so_is_read_from_words(text, so):
    assert evaluation.says_so(text) is so


def test_a_test_is_bought(small, tmp_path):
    found = measured("bought-1", tmp_path)
    assert all(len(found[when][part]["own"]) == 4 for when in ("before", "after") for part in ("seen", "unseen"))
    assert found["before"]["seen"]["min-k"] != found["after"]["seen"]["min-k"]
    assert evaluation.summary({"bought-1": found})["bought"]["detectors"]["after"]["order"]


def test_contestants_write_and_judges_read_them(small, tmp_path, monkeypatch):
    run = tmp_path / "arena-0.json"
    metrics = measured("taught-0", tmp_path)
    assert len(metrics["reward"]) == len(metrics["kl"]) == 2
    found = measured("arena-0", tmp_path)
    assert set(found["texts"]) == set(arena.NAMES) and {len(texts) for texts in found["texts"].values()} == {3}
    assert found["texts"]["empty"] == [row["opening"] for row in toy_rlhf.OPENINGS[:3]]
    assert found["texts"]["sft"] != found["texts"]["base"]
    assert set(found["scores"]) == {"gold", "proxy", "lexicon", "words", "rouge", "exact", "next word"}
    with pytest.raises(ValueError, match="measure that point first"):
        measured("judge-0", tmp_path)
    run.write_text(json.dumps([found]), encoding="utf-8")
    rows = {"id": ["a", "b", "c"], "text": ["good", "a bad film", "fine"]}
    monkeypatch.setattr(preference, "rated_rows", lambda role, split: rows)
    pair = {"chosen": "good", "rejected": "a bad film", "chosen_id": "a", "rejected_id": "b", "same_sign": True}
    pair |= {"chosen_others": [1], "rejected_others": [0]}
    monkeypatch.setattr(
        preference,
        "human_pairs",
        lambda rows, count, **how: [pair | {"rejected_id": "bc"[n % 2]} for n in range(count)],
    )
    monkeypatch.setattr(evaluation.preferred, "panel_right", lambda pairs, people: torch.ones(len(pairs)))
    judged = measured("judge-0", tmp_path)
    assert len(judged["pairs"]) == 4 and all(pair["panel"] == pair["person"] for pair in judged["pairs"])
    assert judged["chat"]["forward"] == [-value for value in judged["chat"]["backward"]]
    assert len(judged["base"]["own kind"]) == 3
    points = {"arena-0": found, "judge-0": judged}
    assert set(evaluation.summary(points)) == {
        "ranking", "old measures", "variety", "judges", "judges, same sign", "judges over one person", "biases",
    }  # fmt: skip


def test_another_seed_is_another_pipeline(small, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(evaluation, "pipeline", lambda run: seen.append(run.seed) or (None, []))
    run = runtime.start(quiet=True)
    for seed in (0, 2):
        evaluation.measure(f"taught-{seed}", replace(run, seed=9), tmp_path)
    assert seen == [0, 2]
