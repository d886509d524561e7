"""One notebook, run headless: progress, time, memory, what fails and where, in a kernel of this Python."""

import json
import subprocess
import sys

import nbformat
import pytest
from helpers import sample_notebooks as made

from course_utils.commands import notebook_runner


@pytest.fixture
def run(tmp_path):
    """run(cells, …) → (outcome, executed copy, printed progress)."""

    def run(cells, **options):
        path = made.notebook(cells, tmp_path / "05_little.ipynb")
        before, lines = path.read_bytes(), []
        executed = tmp_path / "executed" / path.name
        outcome = notebook_runner.run_notebook(
            path, executed=executed, report=lambda text, end="\n": lines.append(text + end), **options
        )
        assert path.read_bytes() == before, "the notebook itself must not change"
        return outcome, nbformat.read(executed, as_version=4), "".join(lines)

    return run


def test_a_good_notebook(run, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["no-such-python"], "display_name": "another", "language": "python"}))
    report = "import os, sys; print(sys.executable, os.environ['COURSE_NOTEBOOK'], os.path.basename(os.getcwd()))"
    cells = [
        made.prose("promise"),
        made.code("run-where", report),
        made.code("exercise-stub", "1 / 0", "nbval-skip", printed="old"),
        made.code("run-memory", "block = bytearray(300_000_000); del block"),
    ]
    outcome, executed, printed = run(cells)
    assert (outcome.status, outcome.cells, outcome.error) == ("ok", 2, None)
    assert executed.cells[1].outputs[0].text == f"{sys.executable} 05_little {tmp_path.name}\n"
    assert (executed.cells[2].outputs, executed.cells[2].execution_count) == ([], None)
    assert "cell  2/3 exercise-stub" in printed and "exercise, skipped" in printed
    assert 300 < outcome.peak_memory_mb < 1000
    assert 0 < outcome.row()["seconds"] < 60
    assert "widgets" not in executed.metadata


def test_memory_of_children_counts(run):
    child = "import time; block = bytearray(400_000_000); time.sleep(1)"
    cells = [made.code("run-child", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])")]
    assert run(cells)[0].peak_memory_mb > 400


def test_a_failing_cell_is_named_and_ends_its_notebook(run):
    cells = [
        made.code("run-first", "print(1)"),
        made.code("run-broken", "raise ValueError('too few rows')"),
        made.code("run-after", "print(2)", printed="a result of an older run"),
    ]
    outcome, executed, printed = run(cells)
    assert (outcome.status, outcome.cells, outcome.failed_cell) == ("failed", 1, "run-broken")
    assert "FAILED 05_little, cell run-broken: ValueError: too few rows" in printed
    assert executed.cells[1].outputs[0].ename == "ValueError"
    assert executed.cells[2].outputs == []


def test_a_kernel_that_dies_is_said_in_words(run):
    outcome, _, printed = run([made.code("run-dies", "import os; os._exit(1)")])
    assert outcome.status == "failed"
    assert "cell run-dies: the kernel died" in printed


def test_a_slow_cell_is_stopped(run):
    outcome, _, _ = run([made.code("run-slow", "import time; time.sleep(60)")], timeout=1)
    assert (outcome.status, outcome.failed_cell) == ("failed", "run-slow")
    assert outcome.seconds < 30


def test_saving_runs_the_exercise_stubs_too(run):
    outcome, executed, _ = run([made.code("exercise-stub", "print('not yet')", "nbval-skip")], save=True)
    assert (outcome.cells, executed.cells[0].execution_count) == (1, 1)


def test_an_interrupt_keeps_what_ran_and_leaves_no_kernel(run, monkeypatch):
    kernels, execute = [], notebook_runner.NotebookClient.execute_cell

    def interrupted_at_the_second(self, cell, index):
        kernels.append(self.km.provisioner.process)
        if index == 1:
            raise KeyboardInterrupt
        return execute(self, cell, index)

    monkeypatch.setattr(notebook_runner.NotebookClient, "execute_cell", interrupted_at_the_second)
    outcome, executed, _ = run([made.code("run-first", "print(1)"), made.code("run-second", "print(2)")])
    assert (outcome.status, outcome.cells) == ("interrupted", 1)
    assert executed.cells[0].outputs[0].text == "1\n"
    assert kernels[0].wait(timeout=10) is not None


def test_the_runner_starts_in_a_moment():
    code = "import sys; from course_utils.commands import course; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
