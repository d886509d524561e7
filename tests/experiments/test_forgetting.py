"""Forgetting on a tiny model: the base, both methods, and a summary that is paired by question and seed."""

import json
from pathlib import Path

import datasets
import pytest

from course_utils import runtime
from course_utils.data import instructions, prompts, reviews, small_tasks
from course_utils.evaluation import graded
from course_utils.experiments import comparison as methods
from course_utils.experiments import forgetting
from course_utils.experiments import in_context as shown

RECORD = Path(__file__).resolve().parents[2] / "notebooks" / "reference" / "comparison.json"
ROWS = [
    {"id": str(n), "text": f"{start} film is {word}", "ratings": [r, r, r + 1], "mean": r + 1 / 3}
    for n, (word, r) in enumerate([("good", 2), ("bad", -3), ("fine", 1), ("great", 3)] * 4)
    for start in ("the", "a")
]


@pytest.fixture
def small(tiny_folder, monkeypatch, one_thread):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    monkeypatch.setattr(reviews, "load", lambda domain, split: datasets.Dataset.from_list(ROWS))
    monkeypatch.setattr(instructions, "load", lambda split: [{"answer": "the film is good and bad " * 9}] * 3)
    monkeypatch.setattr(shown, "TEMPLATE", prompts.Template("{text} =>", (" bad", " good"), end="\n"))
    examples = [prompts.Example("the film", label) for label in (0, 1)]
    monkeypatch.setattr(shown, "film_reviews", lambda: (None, examples * 2, []))
    for name in ("dates", "korean", "capitals", "opposites"):
        monkeypatch.setattr(small_tasks, name, lambda *count: [("good", "bad")] * 10)
    monkeypatch.setattr(methods, "BATCH", 4)
    sizes = {"STEPS": 2, "SHOTS": 2, "TEXTS": 2, "TEXT_TOKENS": 6, "QUESTIONS": 2}
    for name, value in (sizes | {"RATES": {"lora": 0.1, "full": 0.05}}).items():
        monkeypatch.setattr(forgetting, name, value)


def test_base_and_both_methods_do_the_same_tasks(small, tmp_path):
    run = runtime.start(quiet=True)
    points = {name: forgetting.measure(name, run, tmp_path / "point") for name in ("base", "lora-0", "full-0")}
    tasks = points["base"]["tasks"]
    assert set(tasks) == {"text", *(name for names in forgetting.GROUPS.values() for name in names)}
    assert len(tasks["dates"]["right"]) == 2 and len(tasks["news"]["right"]) == len(ROWS)
    for method, rate in forgetting.RATES.items():
        assert points[f"{method}-0"]["learning_rate"] == rate and not (tmp_path / "point").exists()
        assert points[f"{method}-0"]["tasks"]["text"] != tasks["text"], "it learned something"
    assert points["full-0"]["trained"] > points["lora-0"]["trained"]
    found = forgetting.summary(points)
    assert found["lora over full"]["logps"]["text"][0] == pytest.approx(
        found["lora"]["logps"]["text"][0] - found["full"]["logps"]["text"][0]
    )


def made(right, logp):
    tasks = {name: {"right": right, "logps": graded.to_line(logp)} for name in forgetting.GROUPS["written"]}
    tasks |= {name: {"right": right} for name in forgetting.GROUPS["judged"]}
    return {"predicted": "100 -200 300 5", "tasks": tasks | {"text": {"logps": graded.to_line(63 * logp)}}}


def test_the_summary_is_the_change_from_the_base_and_paired():
    import torch

    one = torch.ones(4)
    points = {"base": made("1110", -one) | {"truth": "90 -150 310 0"}, "lora-0": made("1100", -2 * one)}
    assert forgetting.summary({"lora-0": points["lora-0"]}) == {}
    found = forgetting.summary(points)
    assert found["base"]["written"] == found["base"]["news"] == pytest.approx(0.75) and found["base"]["text"] == -1
    assert found["lora"]["right"]["written"][0] == pytest.approx(-0.25) == found["lora"]["right"]["judged"][0]
    assert found["lora"]["logps"]["dates"] == pytest.approx([-1, -1, -1]) == found["lora"]["logps"]["text"]
    assert found["questions"]["written"] == 16 and found["questions"]["dates"] == 4
    assert "full" not in found and "lora over full" not in found
    both = forgetting.summary(points | {"full-0": made("1110", -one), "full-1": made("0000", -9 * one)})
    assert both["lora over full"]["right"]["written"][0] == pytest.approx(-0.25), "seed 1 of LoRA is not there"
    assert both["full"]["right"]["dates"][0] == pytest.approx(-0.375)


def test_points_and_rates_are_those_of_the_comparison():
    assert len(forgetting.POINTS) == len(set(forgetting.POINTS)) == 1 + 2 * 3
    (record,) = json.loads(RECORD.read_text(encoding="utf-8"))
    for method, rate in forgetting.RATES.items():
        trials = [record["points"][f"rate-{method}-{trial}"] for trial in methods.TRIALS]
        assert methods.best_rate(trials) == rate
