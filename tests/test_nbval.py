"""nbval notices an altered output; what it would let pass, the form test catches."""

import os
import subprocess
import sys

import nbformat
import pytest
from helpers import notebook_form
from helpers import sample_notebooks as made

from course_utils.commands import test as command

THREE = [nbformat.v4.new_output("stream", name="stdout", text="3\n")]
ALTERED = {
    "honest": {},
    "altered": {"outputs": THREE},
    "removed": {"outputs": []},
    "invented": {"outputs": THREE, "index": 4},
    "uncounted": {"outputs": [], "execution_count": None},
}


@pytest.fixture(scope="module")
def nbval(tmp_path_factory):
    """What nbval says, run as `make test` runs it, on a little notebook and on copies with one cell altered."""
    folder = tmp_path_factory.mktemp("nbval")
    for name, changes in ALTERED.items():
        cells = [
            made.code("run-sum", "print(1 + 1)", printed="2\n", count=1),
            made.code("run-python", "import sys; print(sys.executable)", printed=sys.executable + "\n", count=2),
            made.code("exercise-division", "1 / 0", "nbval-skip", count=3),
            made.code("run-clock", "import time; print(time.time())", "nbval-ignore-output", printed="1.0\n", count=4),
            made.code("run-silent", "x = 1", count=5),
        ]
        changes = dict(changes)
        cells[changes.pop("index", 0)].update(changes)
        made.notebook(cells, folder / f"{name}.ipynb")
    options = ["-rA", "--color=no", "-p", "no:cacheprovider", f"--rootdir={folder}", "-c", os.devnull]
    done = subprocess.run([*command.NBVAL, *options, str(folder)], cwd=folder, capture_output=True, text=True)
    return folder, done.stdout


def result(nbval, name):
    """PASSED or FAILED of each cell that ran."""
    _, printed = nbval
    last = printed[printed.rindex("short test summary") :].splitlines()
    rows = [line.split(maxsplit=1) for line in last if f"{name}.ipynb::" in line and line[:6] in ("PASSED", "FAILED")]
    return {int(row[1].split("::Cell ")[1].split()[0]): row[0] for row in rows}


@pytest.mark.parametrize(("name", "failing"), [("honest", None), ("altered", 0), ("removed", 0), ("invented", 4)])
def test_nbval_fails_where_an_output_was_altered_and_only_there(nbval, name, failing):
    expected = {cell: "FAILED" if cell == failing else "PASSED" for cell in (0, 1, 3, 4)}
    assert result(nbval, name) == expected, nbval[1]


def test_without_execution_counts_nbval_compares_nothing_and_the_form_test_says_so(nbval):
    assert result(nbval, "uncounted")[0] == "PASSED", "nbval compares such a cell now; the form rule may go"
    problems = notebook_form.counts_and_outputs(nbformat.read(nbval[0] / "uncounted.ipynb", as_version=4))
    assert any("run-sum" in problem and "execution count" in problem for problem in problems)
