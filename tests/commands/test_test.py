"""The test command: what it runs, in which surroundings, and that nothing that fails is lost on the way."""

import sys
from pathlib import Path

import pytest
from helpers import sample_notebooks as made

from course_utils import recipes
from course_utils.commands import course, notebook_order
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
    monkeypatch.delenv("COURSE_TEST_MINUTES", raising=False)
    for name in ("00_a", "05_b"):
        made.notebook([], tmp_path / f"{name}.ipynb")
    monkeypatch.setattr(course, "NOTEBOOKS", tmp_path)


@pytest.fixture
def machine(monkeypatch, tmp_path, ran):
    """A made-up machine: machine.slowness times the recipes' minutes a notebook, machine.unit seconds of unit tests.

    Ten notebooks, each of 90 to 360 s in the recipes, tested in the order of their names backwards; machine.now is its
    clock, which stood at 100 s when the set-up was done.
    """

    class Machine:
        now, slowness, unit, early = 100.0, 1.0, 600.0, ()  # early: notebooks that end after five seconds

        def work(self, env):
            name = env.get("COURSE_NOTEBOOK")
            assert "COURSE_TEST_MINUTES" not in env, "tests of this command must not count the time of the run around"
            usual = self.unit if name is None else self.slowness * notebook_order.expected_seconds(name)
            self.now += 5 if name in self.early else usual

    made_up = Machine()
    for number in range(7, 17):
        made.notebook([], tmp_path / f"{number:02}_x.ipynb")
    monkeypatch.setattr(course, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(notebook_order, "ordered", lambda paths: sorted(paths, reverse=True))
    monkeypatch.setattr(command.set_up, "elapsed", lambda: made_up.now)
    monkeypatch.setenv("COURSE_TEST_MINUTES", "40")
    ran.effect = made_up.work
    return made_up


BACKWARDS = [f"{number:02}_x" for number in range(16, 6, -1)]


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


def test_no_cell_is_taken_for_one_that_hangs_on_a_machine_four_times_slower(ran, notebooks):
    longest = max(notebook_order.expected_seconds(number) for number in recipes.notebooks())
    command.main(["--notebooks", "05"])
    limits = [word.partition("=")[2] for word in ran.calls[0][0] if word.startswith("--nbval-cell-timeout=")]
    assert len(limits) == 1 and int(limits[0]) >= 4 * longest, "a cell may do the whole work of its notebook"


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


def test_on_a_usual_machine_all_run_within_the_time(ran, machine, capsys):
    machine.slowness, machine.unit = 1.0, 300.0
    assert command.main([]) == 0
    assert names(ran) == ["unit", *BACKWARDS]
    assert "not run" not in capsys.readouterr().out


def test_on_a_slow_machine_it_ends_in_time_and_names_the_rest_in_its_last_lines(ran, machine, capsys):
    machine.slowness = 3.0
    assert command.main([]) == 0
    done = names(ran)[1:]
    assert machine.now <= 40 * 60
    assert 0 < len(done) < len(BACKWARDS) and done == BACKWARDS[: len(done)]
    following = machine.slowness * notebook_order.expected_seconds(BACKWARDS[len(done)])
    assert machine.now + following > 40 * 60, "there was time for one more"
    lines = capsys.readouterr().out.splitlines()
    rest = BACKWARDS[len(done) :]
    assert lines[-len(rest) :] == [f"not run: {name}" for name in rest]
    assert lines[-len(rest) - 1].startswith(f"{len(rest)} not run: at 3.0 times the recipes' minutes")


def test_the_set_up_counts_and_unit_tests_run_in_any_case(ran, machine, capsys):
    machine.now = 41 * 60
    assert command.main([]) == 0
    assert names(ran) == ["unit"]
    assert f"not run: {BACKWARDS[-1]}" in capsys.readouterr().out.splitlines()[-1]


def test_a_very_slow_machine_begins_no_notebook_that_its_unit_tests_show_to_be_too_long(ran, machine):
    machine.slowness, machine.unit = 4.0, 4.0 * notebook_order.UNIT_SECONDS
    command.main([])
    assert names(ran) == ["unit"] and machine.now <= 40 * 60


def test_it_ends_in_time_where_the_first_notebooks_fail_at_once(ran, machine):
    machine.slowness, machine.unit, machine.early = 4.0, 300.0, BACKWARDS[:3]
    ran.statuses = dict.fromkeys(machine.early, 1)
    assert command.main([]) == 1
    assert machine.now <= 40 * 60
    assert names(ran)[1:4] == BACKWARDS[:3] and len(names(ran)) > 4


@pytest.mark.parametrize("failing", ["unit", BACKWARDS[0]])
def test_what_fails_still_fails_where_notebooks_are_left_out(ran, machine, capsys, failing):
    machine.slowness, ran.statuses = 3.0, {failing: 1}
    assert command.main([]) == 1
    assert "not run:" in capsys.readouterr().out


def test_without_the_variable_all_run_in_their_order_however_slow(ran, machine, monkeypatch):
    machine.slowness = 100.0
    monkeypatch.delenv("COURSE_TEST_MINUTES")
    assert command.main([]) == 0
    assert names(ran) == ["unit", *reversed(BACKWARDS)]


@pytest.mark.parametrize("text", ["80m", "0", "-3", "nan", "inf", "1:20"])
def test_a_time_that_is_none_is_refused_before_anything_runs(ran, machine, monkeypatch, capsys, text):
    monkeypatch.setenv("COURSE_TEST_MINUTES", text)
    assert command.main([]) == 2
    assert f"COURSE_TEST_MINUTES is '{text}'; expected the minutes" in capsys.readouterr().err
    assert ran.calls == []
