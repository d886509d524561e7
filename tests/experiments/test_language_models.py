"""The points of the experiment on language models with a tiny model, and what the summary makes of a part of them."""

import dataclasses

import pytest
import torch
from helpers import tiny_stream

from course_utils import recipes, runtime
from course_utils.data import many_tasks as tasks
from course_utils.evaluation import pretraining
from course_utils.experiments import language_models as experiment
from course_utils.experiments import pretrain
from course_utils.training import pretrain as training

ROWS = [(f"{'good fine great' if n % 2 else 'bad poor dull'} film {n}", n % 2) for n in range(120)]
SIZE = dataclasses.replace(
    recipes.of("03", "cpu"), steps=4, batch_size=2, micro_batch=2, length=16, vocabulary=tiny_stream.VOCABULARY
)


@pytest.fixture
def small(tmp_path, monkeypatch, tiny_model, tiny_tokenizer):
    task = tasks.own("films", "Review: {text}\nIt is", (" bad", " good"), ROWS, test=20, unlabelled=20)
    stream = tiny_stream.make(tmp_path / "tokens")
    held = pretraining.held_out("test", documents=4, size=90, source=tiny_stream.documents)
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(experiment, "load_base", lambda: (tiny_model, tiny_tokenizer))
    monkeypatch.setattr(tasks, "load", lambda name: task)
    monkeypatch.setattr(tasks, "NAMES", ("films",))
    monkeypatch.setattr(experiment, "ROWS", (8, 16))
    monkeypatch.setattr(experiment, "ORDERS", (1, 2))
    monkeypatch.setattr(training, "corpus_stream", lambda tier, share=None: stream)
    monkeypatch.setattr(pretrain, "held_out", lambda split: held)
    monkeypatch.setattr(recipes, "of", lambda number, tier: SIZE)
    for name, value in {"SIZE": SIZE, "BATCH": 2, "LONG_STEPS": 6, "WARMUP": 1, "CHECKPOINTS": (3, 6)}.items():
        monkeypatch.setattr(pretrain, name, value)
    return runtime.start(quiet=True)


def test_a_task_is_asked_of_model_and_specialist(small, tmp_path):
    point = experiment.measure("tasks-films", small, tmp_path)
    assert {len(line) for line in point["gemma"]["8"]["calibrated"]} == {20} and len(point["gemma"]["0"]["raw"]) == 1
    assert point["train"] == 55 and set(point["curve"]) == {"8", "16", "55"} and point["curve"]["55"] == 1
    found = experiment.summary({"tasks-films": point, "random": experiment.measure("random", small, tmp_path)})
    line = found["tasks"]["films"]
    assert line["specialist"] == 1 and line["level_at"] == 8 and found["won"] == 0
    assert line["above_specialist"][1] <= line["above_specialist"][0] <= 0 and 0 <= found["random"]["films"] <= 1


def test_documents_cost_bits_by_counting_by_xz_and_by_the_model(small, tmp_path):
    point = experiment.measure("context", small, tmp_path)
    assert set(point["bits"]) == {"order 1", "order 2", "gemma"} and point["tokens"] == 192
    assert {len(of) for of in point["bits"].values()} == {len(point["ids"])} and point["xz"]["known"] > 0


def test_each_step_of_the_ladder_is_paired_by_document():
    bits = {
        name: [cost * 100.0, cost * 200.0]
        for name, cost in zip(("order 1", "order 2", "order 5", "gemma"), (8, 6, 5, 4), strict=True)
    }
    found = experiment.summary({"context": {"bytes": [100, 200], "bits": bits}})
    assert found["bits_per_byte"] == {"order 1": 8, "order 2": 6, "order 5": 5, "gemma": 4}
    assert found["steps"]["order 2 over order 1"] == pytest.approx([2, 2, 2])
    assert experiment.gain([3.0, 5.0], [1.0, 1.0], torch.tensor([1, 2]))[0] == 2
    assert experiment.summary({}) == {}


def test_the_transformer_joins_where_its_documents_are_the_same():
    bits = {name: [100.0, 101.0, 99.0] for name in ("order 1", "order 2", "order 5", "gemma")}
    point = {"ids": ["a", "b", "c"], "bytes": [20] * 3, "bits": bits}
    long = {"long": {"evaluations": {"9": {"bits": [90.0] * 3}, "10": {"bits": [80.0] * 3}}}}
    assert experiment.of_long_run(point, long) is None
    assert experiment.of_long_run(point, long | {"ngram-9": {"ids": ["a", "c", "b"]}}) is None
    joined = experiment.of_long_run(point, long | {"ngram-9": {"ids": ["a", "b", "c"]}})
    assert joined == [80.0] * 3, "the last evaluation"
    steps = list(experiment.of_context(point, joined)["steps"])
    assert steps[-2:] == ["transformer over order 5", "gemma over transformer"]
