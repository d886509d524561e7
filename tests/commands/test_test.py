"""The test command: what it runs, in which surroundings, and that nothing that fails is lost on the way."""

import sys
from pathlib import Path

import pytest
from helpers import sample_notebooks as made

from course_utils.commands import course
from course_utils.commands import test as command


@pytest.fixture
def ran(monkeypatch):
    """Replaces the processes: ran.calls are their commands, ran.statuses what they give, by the notebook's name."""

    class Ran:
        calls, statuses, effect = [], {}, None

        def __call__(self, parts, cwd, env):
            self.calls.append((parts, env))
            if self.effect:
                self.effect(env)
            self.returncode = self.statuses.get(env.get("COURSE_NOTEBOOK", "unit"), 0)
            return self

    Ran.calls = []
    fake = Ran()
    monkeypatch.setattr(command.subprocess, "run", fake)
    return fake


@pytest.fixture
def notebooks(monkeypatch, tmp_path):
    for name in ("00_a", "05_b"):
        made.notebook([], tmp_path / f"{name}.ipynb")
    monkeypatch.setattr(course, "NOTEBOOKS", tmp_path)


def names(ran):
    return [env.get("COURSE_NOTEBOOK", "unit") for _, env in ran.calls]


def test_everything_runs_in_order(ran, notebooks, capsys):
    assert command.main([]) == 0
    assert names(ran) == ["unit", "00_a", "05_b"]
    unit, _ = ran.calls[0]
    assert unit[-5:] == ["-n", "2", "--dist", "loadfile", "tests"]
    nbval, env = ran.calls[1]
    assert nbval[:3] == [sys.executable, "-m", "pytest"]
    assert {"--nbval", "--nbval-current-env", "--timeout=0"} <= set(nbval)
    assert "MPLBACKEND" not in env
    assert "unit tests" in capsys.readouterr().out


def test_the_surroundings_are_empty_offline_and_guarded(ran, notebooks):
    command.main([])
    (_, unit), (_, first), (_, second) = ran.calls
    for env in (unit, first, second):
        assert (env["COURSE_OFFLINE"], env["COURSE_TIER"], env["COURSE_SEED"]) == ("1", "cpu", "0")
        assert env["CUDA_VISIBLE_DEVICES"] == "-1"
        assert env["PYTHONPATH"].split(":" if ":" in env["PYTHONPATH"] else ";")[0] == str(command.GUARD)
        assert not Path(env["COURSE_RUNS"]).exists(), "the folder of this run is gone after it"
    assert unit["COURSE_RUNS"] != first["COURSE_RUNS"] == second["COURSE_RUNS"]


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ({}, 0),
        ({"unit": 1}, 1),
        ({"00_a": 1}, 1),
        ({"05_b": 2, "unit": 1}, 2),
        ({"unit": -9}, 9),
        ({"00_a": 5}, 0),
        ({"unit": 5}, 5),
    ],
)
def test_the_worst_status_counts_and_the_rest_still_runs(ran, notebooks, statuses, status):
    ran.statuses = statuses
    assert command.main([]) == status
    assert len(ran.calls) == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--notebooks", "05"], ["05_b"]),
        (["-k", "claims"], ["unit"]),
        (["tests/test_nbval.py", "-x"], ["unit"]),
    ],
)
def test_a_part_alone(ran, notebooks, arguments, expected):
    assert command.main(arguments) == 0
    assert names(ran) == expected
    if expected == ["unit"]:
        assert ran.calls[0][0][-2:] == arguments


def test_an_unknown_notebook_is_refused(ran, notebooks, capsys):
    assert command.main(["--notebooks", "07"]) == 2
    assert "No notebook 07" in capsys.readouterr().err
    assert ran.calls == []


def test_a_swallowed_refusal_fails_the_run(ran, notebooks, capsys):
    ran.effect = lambda env: Path(env["COURSE_GUARD_LOG"]).write_text("socket.connect ('192.0.2.1', 80)")
    assert command.main([]) == 1
    assert "192.0.2.1" in capsys.readouterr().out


def test_an_interrupt_stops_here(ran, notebooks):
    def interrupt(env):
        raise KeyboardInterrupt

    ran.effect = interrupt
    assert command.main([]) == 130
    assert len(ran.calls) == 1
