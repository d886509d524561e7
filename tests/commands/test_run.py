import json
import sys
import threading
from types import SimpleNamespace

import pytest

from course_utils import records
from course_utils.commands import run
from course_utils.engine import stages


@pytest.fixture
def experiment(monkeypatch):
    """Two points; the module is found under the name that the command's child process would be given."""
    found = SimpleNamespace(
        POINTS=("one", "two"),
        SETTING={"rows": 3},
        measure=lambda point, run, folder: {"value": len(point)},
        summary=lambda points: {name: point["value"] for name, point in points.items()},
    )
    monkeypatch.setitem(sys.modules, "tried", found)
    monkeypatch.setitem(run.EXPERIMENTS, "tried", "tried")
    return found


class Started(list):
    """Names of points, and the threads that the last one was given."""


@pytest.fixture
def started(monkeypatch):
    """The points whose process was started; each does its work here instead."""
    names, one_at_a_time = Started(), threading.Lock()

    def start(command, env):
        names.append(command[-1])
        names.threads = env.get("OMP_NUM_THREADS")
        with one_at_a_time:  # in one process two threads would parse code at once, which Python 3.11 may fail at
            return SimpleNamespace(returncode=run.main(command[3:]))

    monkeypatch.setattr(run.subprocess, "run", start)
    return names


def test_the_result_says_how_it_was_made(experiment, started, tmp_path, capsys):
    assert run.main(["tried", "--output", str(tmp_path / "new" / "tried.json")]) == 0
    (found,) = json.loads((tmp_path / "new" / "tried.json").read_text())
    assert found["command"] == "python -m course_utils run tried" and found["setting"] == {"rows": 3}
    assert all("threads" in point["machine"] and len(point["date"]) == 10 for point in found["points"].values())
    assert {point["code"] for point in found["points"].values()} == {stages.code_fingerprint()}
    assert found["summary"] == {"one": 3, "two": 3} and started == ["one", "two"]


def test_it_goes_on_after_the_point_that_failed(experiment, started, tmp_path, capsys):
    def fail(point, run, folder):
        if point == "two":
            raise ValueError("The disk is full.")
        return {"value": 1}

    experiment.measure, whole = fail, experiment.measure
    assert run.main(["tried", "--output", str(tmp_path / "tried.json")]) == 1
    assert "The disk is full." in capsys.readouterr().err
    experiment.measure = whole
    assert run.main(["tried", "--output", str(tmp_path / "tried.json")]) == 0
    assert started == ["one", "two", "two"] and records.read(tmp_path / "tried.json")[0]["summary"]["one"] == 1


def test_the_points_so_far_are_recorded_and_another_machine_goes_on(experiment, started, tmp_path, monkeypatch, capsys):
    def fail(point, run, folder):
        if point == "two":
            raise ValueError("The disk is full.")
        return {"value": 7}

    output = tmp_path / "tried.json"
    experiment.measure, whole = fail, experiment.measure
    assert run.main(["tried", "--output", str(output)]) == 1
    (found,) = records.read(output)
    assert found["missing"] == ["two"] and found["summary"] == {"one": 7}
    experiment.measure = whole
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "another machine's"))
    assert run.main(["tried", "--output", str(output)]) == 0
    (found,) = records.read(output)
    assert started == ["one", "two", "two"] and found["missing"] == [] and found["summary"] == {"one": 7, "two": 3}


def test_points_of_another_setting_are_not_mixed_in(experiment, started, tmp_path):
    run.main(["tried", "--output", str(tmp_path / "tried.json")])
    experiment.SETTING = {"rows": 4}
    run.main(["tried", "--output", str(tmp_path / "tried.json")])
    assert started == ["one", "two", "one", "two"]


def test_stages_wait_for_each_other_and_points_share_the_threads(experiment, started, tmp_path, monkeypatch):
    experiment.POINTS, experiment.STAGES = ("one", "two", "three"), (("two", "one"), ("three",))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert run.main(["tried", "--at-once", "2", "--output", str(tmp_path / "tried.json")]) == 0
    assert sorted(started[:2]) == ["one", "two"] and started[2:] == ["three"] and started.threads == "1"
    assert set(records.read(tmp_path / "tried.json")[0]["points"]) == {"one", "two", "three"}
    with pytest.raises(SystemExit):
        run.main(["tried", "--at-once", "0"])


def test_every_experiment_has_what_the_command_needs():
    import importlib

    for name in run.EXPERIMENTS.values():
        module = importlib.import_module(name)
        assert module.POINTS and module.SETTING and callable(module.measure) and callable(module.summary)
