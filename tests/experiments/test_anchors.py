"""Anchors on a tiny model: three arms of equally many trained weights, gaps paired by seed, the rate of the record."""

import json
from pathlib import Path

import datasets
import pytest
import torch

from course_utils import runtime
from course_utils.data import reviews
from course_utils.evaluation import graded
from course_utils.experiments import anchors
from course_utils.experiments import comparison as methods

RECORD = Path(__file__).resolve().parents[2] / "notebooks" / "reference" / "comparison.json"
ROWS = [
    {"id": str(n), "text": f"the film is {word} {word}", "ratings": [r, r, r + 1], "mean": r + 1 / 3}
    for n, (word, r) in enumerate([("good", 2), ("bad", -3), ("fine", 0), ("great", 3)] * 2)
]


@pytest.fixture
def small(tiny_folder, monkeypatch, one_thread):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    monkeypatch.setattr(reviews, "load", lambda domain, split: datasets.Dataset.from_list(ROWS))
    monkeypatch.setattr(methods, "BATCH", 4)
    for name, value in {"STEPS": 2, "TOKENS": 4, "TASK": " good", "OTHER": (" bad", " film", " movie")}.items():
        monkeypatch.setattr(anchors, name, value)


def test_arms_differ_in_the_fixed_word_alone(small, tiny_tokenizer, tmp_path):
    run = runtime.start(quiet=True)
    sizes = {arm: anchors.sizes_of(arm, 1, tiny_tokenizer) for arm in anchors.ARMS}
    words = [tiny_tokenizer(text, add_special_tokens=False).input_ids for text in (" good", " film")]
    assert [sizes[arm]["anchors"] for arm in ("task", "other")] == [[None, None, *word, None, None] for word in words]
    starts = anchors.measure("starts", run, tmp_path / "point")
    assert len({starts[arm] for arm in anchors.ARMS}) == 3 and len(graded.from_line(starts["truth"])) == len(ROWS)
    found = {arm: anchors.measure(f"{arm}-1", run, tmp_path / "point") for arm in anchors.ARMS}
    assert len({point["trained"] for point in found.values()}) == 1
    assert {point["learning_rate"] for point in found.values()} == {anchors.RATE}
    assert len({point["predicted"] for point in found.values()}) == 3
    assert all(point["seed"] == 1 for point in found.values()) and not (tmp_path / "point").exists()


def test_a_word_of_several_tokens_is_refused(small, tiny_tokenizer, monkeypatch):
    monkeypatch.setattr(anchors, "TASK", " rating")
    with pytest.raises(ValueError, match=r"' rating' is [0-9]+ tokens .*Put another word into TASK"):
        anchors.sizes_of("task", 0, tiny_tokenizer)


def test_gaps_are_paired_by_seed_and_taken_as_far_as_there_are():
    truth = torch.arange(-10, 10) / 5
    lines = {noise: graded.to_line(truth + noise * torch.tensor([1.0, -1.0]).repeat(10)) for noise in (0, 1, 2)}
    starts = {"truth": lines[0], "none": lines[2], "task": lines[1], "other": lines[2]}
    assert anchors.summary({"none-0": {"predicted": lines[0]}}) == {}
    points = {"starts": starts, "none-0": {"predicted": lines[1]}, "task-0": {"predicted": lines[0]}}
    found = anchors.summary(points | {"task-1": {"predicted": lines[1]}})
    gap, low, high = found["task over none"]
    assert gap == pytest.approx(1 - graded.correlation(graded.from_line(lines[1]), truth)), "seed 1 has no pair"
    assert 0.05 < low < gap < high < 1
    assert found["task"]["start"] > found["none"]["start"] and found["task"]["seeds"][0] == pytest.approx(1)
    assert "alone" not in found["other"] and "other over none" not in found and "task over other" not in found


def test_points_and_rate_are_those_of_the_comparison():
    assert len(anchors.POINTS) == len(set(anchors.POINTS)) == 1 + 3 * 3
    (record,) = json.loads(RECORD.read_text(encoding="utf-8"))
    trials = [record["points"][f"rate-p-tuning-{trial}"] for trial in methods.TRIALS]
    assert methods.best_rate(trials) == anchors.RATE
