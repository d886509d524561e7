import importlib
import json
import zipfile

import pytest

from course_utils.commands import bundle, run
from course_utils.reporting import reference


def test_the_file_beside_the_notebook_comes_first(tmp_path, monkeypatch):
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "sft.json").write_text(json.dumps([{"date": "today"}]))
    monkeypatch.chdir(tmp_path)
    assert reference.load("sft") == {"date": "today"}


def test_a_missing_experiment_says_where_it_comes_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="run nothing"):
        reference.load("nothing")


def test_the_committed_results_were_made_by_the_command_with_its_present_setting(tmp_path, monkeypatch):
    """Points may still be missing, and an experiment that nobody has run yet has no file."""
    monkeypatch.chdir(tmp_path)  # found in the course's folder, wherever the notebook runs
    for name in committed():
        record, experiment = reference.load(name), importlib.import_module(run.EXPERIMENTS[name])
        assert record["command"].endswith(f"run {name}")
        assert sorted([*record["points"], *record["missing"]]) == sorted(experiment.POINTS)
        assert record["setting"] == json.loads(json.dumps(experiment.SETTING))
        points = {point: record["points"][point] for point in experiment.POINTS if point in record["points"]}
        assert same(record["summary"], json.loads(json.dumps(experiment.summary(points)))), name


def same(one, other):
    """Whether two summaries say the same; a fit's numbers may differ in a later digit from machine to machine."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-2, abs=1e-9)
    return one == other


def test_summaries_differ_by_more_than_a_later_digit():
    assert same({"a": [1.0, None]}, {"a": [1.001, None]}) and same(2, 2)
    assert not same([1.0], [1.02]) and not same({"a": 1.0}, {"b": 1.0}) and not same([1.0], [1.0, 2.0])


def test_the_wheel_carries_them(tmp_path):
    wheel = bundle.build_wheel(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        assert {f"course_utils/reference/{name}.json" for name in committed()} <= set(archive.namelist())


def committed():
    names = sorted(path.stem for path in run.REFERENCE.glob("*.json"))
    assert names, "a checkout holds at least one experiment's record"
    return names
