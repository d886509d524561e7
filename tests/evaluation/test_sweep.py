"""The comparison's grid, and one tiny one worked off, killed and resumed."""

import json
from types import SimpleNamespace

import pytest
import torch

from course_utils.data import instructions, reviews
from course_utils.evaluation import sweep
from course_utils.training.recipe import METHODS

GRID = sweep.Grid(
    rows=8, steps=2, validation=12, test=14, shifted=6, few=((4, 1),), seeds=(0, 1), texts=1, questions=1, few_test=9,
    arms=("lora", "prompt, random words"),
)  # fmt: skip
WORDS = ["good", "bad", "fine", "great"]


@pytest.fixture
def tiny_course(tiny_folder, monkeypatch):
    """The tiny model and made-up reviews."""

    def load(domain, split):
        made = [(n, WORDS[n % 4], [3, -3, 1, 4][n % 4]) for n in range(48)]
        return [
            {
                "id": f"{domain}-{n}",
                "text": f"the film is {word} " + "a " * (n % 5),
                "mean": r - 0.5,
                "ratings": [r, r - 1],
            }
            for n, word, r in made
        ]

    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    monkeypatch.setattr(reviews, "load", load)
    monkeypatch.setattr(instructions, "load", lambda split: [{"answer": "the film is good " * 40}])


def test_the_grid_gives_every_arm_the_same_trials_and_reviews():
    grid = sweep.Grid()
    points = sweep.rate_points(grid)
    assert {arm: sum(p.arm == arm for p in points) for arm in grid.arms} == dict.fromkeys(grid.arms, 3)
    assert len(set(points)) == len(points)
    later = sweep.later_points(grid, dict.fromkeys(grid.arms, 1e-3))
    by_part = {(p.part, p.rows, p.steps) for p in later}
    assert by_part == {("test", 1536, 96), ("few", 32, 24), ("few", 128, 48), ("few", 512, 72)}
    assert len(later) == 7 * 4 * 3 and grid.test >= 2000
    assert {method for method, _ in sweep.ARMS.values()} == set(METHODS)


def test_the_rate_is_chosen_on_validation():
    def line(arm, rate, correlation, part="rate"):
        return {"point": {"part": part, "arm": arm, "learning_rate": rate}, "correlation": correlation}

    lines = [line("a", 0.1, 0.5), line("a", 0.2, 0.7), line("b", 0.1, 0.3), line("a", 0.3, 0.9, "test")]
    assert sweep.best_rates(lines) == {"a": 0.2, "b": 0.1}


def test_a_tiny_grid_is_worked_off_and_resumed(tiny_course, tmp_path):
    said = []
    lines = sweep.work_off(GRID, tmp_path, say=said.append)
    parts = [line["point"]["part"] for line in lines]
    assert parts == ["baselines"] + ["rate"] * 6 + ["test"] * 2 + ["few"] * 2 and len(said) == 10
    test = lines[7]
    assert len(test["predicted"]) == 14 and test["bytes"] > 0 and test["trained"] == 2 * 8 * (32 + 64 + 32 + 32)
    assert {"products", "tweets", "news", "other_task", "seconds_a_step", "peak_mb", "error"} <= set(test)
    assert [seen["step"] for seen in test["on_the_way"]] == [1, 2] and test["on_the_way"][0]["divergence"] >= 0
    assert len(lines[-1]["predicted"]) == 9
    assert {"zero-shot", "calibrated zero-shot", "bag of words", "one person", "base"} <= set(lines[0]["baselines"])
    path = tmp_path / "points.jsonl"
    kept = path.read_text().splitlines()
    path.write_text("\n".join(kept[:-2]) + "\n" + kept[-2][:30])  # killed while it wrote
    said.clear()
    again = sweep.work_off(GRID, tmp_path, say=said.append)
    assert len(said) == 2 and again[-1]["predicted"] == lines[-1]["predicted"]
    found = sweep.summary(again, torch.tensor([row["mean"] for row in reviews.load("movies", "test")[:14]]))
    low, mean, high = (found["lora"]["alone"][place] for place in (1, 0, 2))
    assert low <= mean <= high and found["lora"]["median"] <= found["lora"]["best"]


def test_memory_is_told_or_none():
    assert sweep._memory() is None or sweep._memory("5") > 10


def test_a_cut_line_does_not_count(tmp_path):
    path = tmp_path / "points.jsonl"
    assert sweep.read(path) == []
    path.write_text(json.dumps({"a": 1}) + '\n{"b": ')
    assert sweep.read(path) == [{"a": 1}]
    assert SimpleNamespace(**sweep.read(path)[0]).a == 1
