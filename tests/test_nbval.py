"""nbval notices an altered output; what it would let pass, the form test catches."""

import os
import subprocess
import sys

import little
import nbformat
import notebook_form
import pytest

from course_utils.commands import test as test_command


@pytest.fixture
def honest(tmp_path):
    cells = [
        little.code("run-sum", "print(1 + 1)", printed="2\n", count=1),
        little.code("run-python", "import sys; print(sys.executable)", printed=sys.executable + "\n", count=2),
        little.code("exercise-division", "1 / 0", "nbval-skip", count=3),
        little.code("run-clock", "import time; print(time.time())", "nbval-ignore-output", printed="1.0\n", count=4),
    ]
    return little.notebook(cells, tmp_path / "05_little.ipynb")


def nbval(path):
    """What `make test` runs on a notebook, on this one."""
    variables = {**os.environ, "COURSE_NOTEBOOK": path.stem}
    command = [*test_command.NBVAL, "-p", "no:cacheprovider", f"--rootdir={path.parent}", "-c", os.devnull, str(path)]
    return subprocess.run(command, env=variables, cwd=path.parent, capture_output=True, text=True)


def altered(path, index, **changes):
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[index].update(changes)
    nbformat.write(notebook, path)
    return path


def test_stored_outputs_pass_in_a_kernel_of_this_python(honest):
    done = nbval(honest)
    assert done.returncode == 0, done.stdout
    assert "3 passed, 1 skipped" in done.stdout


def test_an_altered_output_fails(honest):
    outputs = [nbformat.v4.new_output("stream", name="stdout", text="3\n")]
    done = nbval(altered(honest, 0, outputs=outputs))
    assert done.returncode == 1
    assert "Cell outputs differ" in done.stdout and "1 failed, 2 passed" in done.stdout


def test_a_removed_output_fails(honest):
    done = nbval(altered(honest, 0, outputs=[]))
    assert done.returncode == 1, done.stdout


def test_without_execution_counts_nbval_compares_nothing_and_the_form_test_says_so(honest):
    path = altered(honest, 0, outputs=[], execution_count=None)
    assert nbval(path).returncode == 0, "nbval compares such a cell now; the form rule on counts may go"
    problems = notebook_form.counts_and_outputs(nbformat.read(path, as_version=4))
    assert any("run-sum" in problem and "execution count" in problem for problem in problems)
