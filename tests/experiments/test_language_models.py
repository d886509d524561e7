"""The experiment on a tiny model: what it keeps of a task, and what its summary makes of partial records."""

import pytest

from course_utils.data import many_tasks as tasks
from course_utils.experiments import language_models as experiment

ROWS = [(f"{'good fine great' if n % 2 else 'bad poor dull'} film {n}", n % 2) for n in range(150)]


@pytest.fixture
def task(monkeypatch):
    monkeypatch.setattr(experiment, "ROWS", (8, 16))
    return tasks.own("films", "Review: {text}\nIt is", (" bad", " good"), ROWS, test=20, unlabelled=20)


def test_a_task_keeps_each_answer_and_its_summary_says_who_won(task, tiny_model, tiny_tokenizer):
    point = experiment.of_task(task, tiny_model, tiny_tokenizer)
    assert [len(point["gemma"][shots]["calibrated"]) for shots in ("0", "8")] == [1, 3]
    assert point["curve"][str(point["train"])] == 1 and "8" in point["curve"]
    line = experiment.of_answers(point)
    assert line["above_chance"][1] <= line["above_chance"][0] <= line["above_chance"][2]
    assert line["specialist"] == 1 and line["above_specialist"][0] == pytest.approx(line["eight"] - 1)
    found = experiment.summary({"tasks-sentiment": point})
    assert found["won"] == 0 and list(found["tasks"]) == ["sentiment"]
    assert experiment.summary({}) == {}


def test_steps_are_paired_by_document():
    names = [*(f"order {order}" for order in experiment.ORDERS), "gemma"]
    bits = {name: [100.0 - 10 * place + n for n in range(8)] for place, name in enumerate(names)}
    found = experiment.summary({"context": {"bytes": [20] * 8, "bits": bits}})
    assert found["bits_per_byte"]["order 1"] == pytest.approx((800 + 28) / 160)
    assert found["steps"]["order 5 over order 2"] == pytest.approx([1.5, 1.5, 1.5])
    assert set(found["steps"]) == {"order 2 over order 1", "order 5 over order 2", "gemma over order 5"}


def test_points_name_the_tasks():
    named = [point.removeprefix("tasks-") for point in experiment.POINTS if point.startswith("tasks-")]
    assert named == list(tasks.NAMES) and set(experiment.POINTS) > {"context", "random"}


def test_the_transformer_joins_where_its_documents_are_the_same():
    bits = {name: [100.0, 101.0, 99.0] for name in ("order 1", "order 2", "order 5", "gemma")}
    point = {"ids": ["a", "b", "c"], "bytes": [20] * 3, "bits": bits}
    long = {"long": {"evaluations": {"9": {"bits": [90.0] * 3}, "10": {"bits": [80.0] * 3}}}}
    assert experiment.of_long_run(point, long) is None
    assert experiment.of_long_run(point, long | {"ngram-9": {"ids": ["a", "c", "b"]}}) is None
    joined = experiment.of_long_run(point, long | {"ngram-9": {"ids": ["a", "b", "c"]}})
    assert joined == [80.0] * 3, "the last evaluation"
    assert list(experiment.of_context(point, joined)["steps"])[-2:] == [
        "transformer over order 5", "gemma over transformer",
    ]  # fmt: skip
