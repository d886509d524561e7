"""Every point of the long pre-training on a tiny stream, what needs the long run, and the summary of a part."""

import dataclasses
import math

import pytest
from helpers import tiny_stream

from course_utils import recipes, runtime
from course_utils.evaluation import pretraining
from course_utils.experiments import pretrain as experiment
from course_utils.training import pretrain

SIZE = dataclasses.replace(
    recipes.of("03", "cpu"), steps=4, batch_size=2, micro_batch=2, length=16, vocabulary=tiny_stream.VOCABULARY
)


@pytest.fixture
def small(tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    stream = tiny_stream.make(tmp_path / "tokens")
    held = pretraining.held_out("test", documents=4, size=90, source=tiny_stream.documents)
    monkeypatch.setattr(pretrain, "corpus_stream", lambda tier, share=None: stream)
    monkeypatch.setattr(pretrain, "config_of", lambda size: tiny_stream.config())
    monkeypatch.setattr(recipes, "of", lambda number, tier: SIZE)
    monkeypatch.setattr(experiment, "held_out", lambda split: held)
    values = {
        "SIZE": SIZE, "A_STEP": 32, "BATCH": 2, "LONG_STEPS": 6, "CHECKPOINTS": (3, 6), "COUNTED": (96, 192),
        "WARMUP": 1, "BEGINNINGS": ("the rain",), "ORDERS": (1, 2),
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setattr(experiment, name, value)
    return runtime.start(quiet=True)


def test_all_points_and_their_summary(small, tmp_path):
    points = {}
    for point in (
        "short-0",
        "ngram-96",
        "ngram-192",
        "long",
        "heads",
        "across",
        "leak",
        "usual",
        "hot",
    ):
        points[point] = experiment.measure(point, small, tmp_path / point)
    assert list(points["long"]["evaluations"])[-1] == "6" and {"3", "6"} <= points["long"]["evaluations"].keys()
    assert points["long"]["unique_tokens"] == 192 and points["long"]["repeated_tokens"] == 0
    assert points["long"]["losses"][0] == pytest.approx(math.log(tiny_stream.VOCABULARY), abs=0.2)
    assert len(points["heads"]["6"]) == 2 and points["ngram-96"]["tokens"] == 96
    assert points["across"]["losses"] != points["short-0"]["losses"] and "honest" in points["leak"]
    assert points["hot"]["learning_rates"][0] == pytest.approx(experiment.HOT_RATE)
    summary = experiment.summary(points)
    assert [tokens for tokens, *_ in summary["curve"]][-1] == 192 and summary["curve"][0][0] == 0
    assert set(summary["gaps"]) == {"96", "192"} and {"short-0", "leak"} <= set(summary["short"])
    gap, low, high = summary["gaps"]["192"]
    assert low <= gap <= high


def test_the_tasks_are_asked_of_a_checkpoint(small, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        pretraining, "of_tasks", lambda model, stream, context: asked.append(context) or {"sarcasm": {"0": 0.5}}
    )
    monkeypatch.setattr(experiment, "long_model", lambda folder, step: (folder.name, step))
    found = experiment.measure("tasks-1", small, tmp_path / "tasks-1")
    assert found == {"tokens": 192, "tasks": {"sarcasm": {"0": 0.5}}} and asked == [16]
    assert {"tasks-0", "tasks-3"} <= set(experiment.POINTS)


def test_heads_need_the_long_run(small, tmp_path):
    with pytest.raises(ValueError, match=r"weights-3.safetensors is missing: the point `long` writes it"):
        experiment.measure("heads", small, tmp_path / "heads")


def test_a_part_has_a_summary_as_well():
    assert experiment.summary({}) == {"curve": [], "ngrams": {}, "short": {}, "gaps": {}}
    assert len(experiment.POINTS) == len(set(experiment.POINTS))


def test_evaluations_are_spread_evenly_and_hold_what_is_asked():
    steps = experiment.log_steps(2000, 20, (61, 977))
    assert steps[0] == 2 and steps[-1] == 2000 and {61, 977} <= set(steps) and list(steps) == sorted(set(steps))
    assert max(experiment.CHECKPOINTS) == experiment.LONG_STEPS


def test_a_gap_above_zero_means_that_the_transformer_needs_fewer_bits():
    counted = {6144: {"bits": [80.0, 170.0, 240.0], "bytes": [10, 20, 30]}}
    long = {"evaluations": {str(6144 // experiment.A_STEP): {"bits": [40.0, 80.0, 120.0]}}}
    gap, low, high = experiment.gaps({"long": long}, counted)["6144"]
    assert gap == pytest.approx((4 + 4.5 + 4) / 3) and 4 <= low <= gap <= high <= 4.5
