"""With COURSE_RECORDED=1 a lecturer begins at any section: what is long or lacks a name shows what was saved."""

import json
from pathlib import Path

import nbformat
import pytest
from helpers import notebook_sections
from IPython.core.interactiveshell import InteractiveShell

from course_utils.setup import first_cell, recorded

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture
def shell():
    made = InteractiveShell()
    InteractiveShell._instance, before = made, InteractiveShell._instance
    yield made
    InteractiveShell._instance = before
    made.history_manager.enabled = False


def saved(folder, *cells, name="08_made"):
    """A notebook of (source, printed text, seconds)."""
    made = []
    for source, text, seconds in cells:
        cell = nbformat.v4.new_code_cell(source, outputs=[nbformat.v4.new_output("stream", name="stdout", text=text)])
        cell.metadata["execution"] = {
            "iopub.execute_input": "2026-01-01T00:00:00.000000Z",
            "shell.execute_reply": f"2026-01-01T00:00:{seconds:02d}.000000Z",
        }
        made.append(cell)
    nbformat.write(nbformat.v4.new_notebook(cells=made), folder / f"{name}.ipynb")


LONG = "import math\n\n\ndef twice(x):\n    return 2 * x\n\n\ntrained = math.sqrt(done())\nprint(trained)"


@pytest.fixture
def lecture(tmp_path, shell):
    saved(
        tmp_path,
        ("size = 3\nprint(size)", "3\n", 0),
        (LONG, "42\n", 30),
        ("print(trained + size)", "45\n", 1),
        ("print(twice(size))", "6\n", 1),
    )
    recorded.begin(shell, tmp_path)
    return shell


def said(shell, capsys, source):
    result = shell.run_cell(source)
    assert result.success, result.error_in_exec
    return capsys.readouterr().out


def test_a_quick_cell_runs(lecture, capsys):
    assert said(lecture, capsys, "size = 3\nprint(size)") == "3\n" and lecture.user_ns["size"] == 3


def test_a_long_cell_shows_what_was_saved_and_keeps_its_imports_and_definitions(lecture, capsys):
    out = said(lecture, capsys, LONG)
    assert out == "(recorded: as saved in 08_made; not run here)\n42\n"
    assert lecture.user_ns["twice"](4) == 8 and lecture.user_ns["math"].pi > 3
    assert "trained" not in lecture.user_ns


def test_what_needs_it_is_shown_as_well_and_what_does_not_runs(lecture, capsys):
    lecture.run_cell("size = 5")
    lecture.run_cell(LONG)
    capsys.readouterr()
    assert said(lecture, capsys, "print(trained + size)").endswith("45\n")
    assert said(lecture, capsys, "print(twice(size))") == "10\n"


def test_nothing_computes_with_what_an_earlier_cell_left_under_the_same_name(lecture, capsys):
    lecture.run_cell("trained, size = 1000, 3")
    lecture.run_cell(LONG)
    capsys.readouterr()
    assert said(lecture, capsys, "print(trained + size)").endswith("45\n")


def test_a_cell_that_was_changed_runs(lecture, capsys):
    assert said(lecture, capsys, "print('mine')") == "mine\n"
    result = lecture.run_cell("print(trained + size + 1)")
    assert isinstance(result.error_in_exec, NameError)


def test_half_a_cell_and_a_magic_are_left_to_the_shell(lecture, capsys):
    assert lecture.check_complete("def f(x):")[0] == "incomplete"
    assert said(lecture, capsys, "%pinfo2 no_such_name_here") is not None


def test_a_long_cell_without_outputs_runs(tmp_path, shell, capsys):
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 2")]), tmp_path / "a.ipynb")
    recorded.begin(shell, tmp_path)
    shell.run_cell("x = 2")
    assert shell.user_ns["x"] == 2


def test_beginning_twice_reads_anew_and_does_not_replay_a_replay(tmp_path, lecture, capsys):
    saved(tmp_path, (LONG, "43\n", 30))
    recorded.begin(lecture, tmp_path)
    assert said(lecture, capsys, LONG).count("recorded") == 1


def test_the_notebook_in_use_comes_first(tmp_path, shell, monkeypatch, capsys):
    saved(tmp_path, ("print(far)", "of 07\n", 0), name="07_made")
    saved(tmp_path, ("print(far)", "of 09\n", 0), name="09_made")
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/09_made.ipynb")
    recorded.begin(shell, tmp_path)
    assert said(shell, capsys, "print(far)").endswith("of 09\n")


def test_a_plot_is_shown_with_its_text(tmp_path, shell, monkeypatch):
    output = nbformat.v4.new_output("display_data", data={"image/png": "aGk=", "text/plain": "Plot: bars"})
    cell = nbformat.v4.new_code_cell("plots.bars(none)", outputs=[output])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    recorded.begin(shell, tmp_path)
    shown = []
    monkeypatch.setattr(shell.display_pub, "publish", lambda data, metadata=None, **_: shown.append(data))
    shell.run_cell("plots.bars(none)")
    assert shown == [{"image/png": "aGk=", "text/plain": "Plot: bars"}]


@pytest.mark.parametrize(
    ("source", "names", "lacking"),
    [
        ("x = x + 1", set(), {"x"}),
        ("x = 1\nx += y", set(), {"y"}),
        ("[a for a in b if a > c]", {"b"}, {"c"}),
        ("for i in range(3):\n    print(i, j)", set(), {"j"}),
        ("def f(a):\n    b = a + g\n    return b\n\n\ng = 1\nf(2)", set(), set()),
        ("try:\n    one()\nexcept ValueError as error:\n    print(error)", {"one"}, set()),
        ("import torch.nn as nn\nnn.Linear(n, m=lambda q: q)", {"n"}, set()),
        ("with open(name) as file:\n    text = file.read()", set(), {"name"}),
    ],
)
def test_what_a_cell_needs(source, names, lacking):
    assert recorded.missing(source, names) == lacking


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_in_order_no_cell_of_a_notebook_lacks_a_name(path):
    """Else a cell would be read back that could have run."""
    names = set()
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            assert recorded.missing(source, names) == set(), cell["id"]
            names |= recorded.bound(source)


def test_every_section_of_a_notebook_can_be_the_first(shell, monkeypatch, capsys):
    """Behind the first cell alone each section's cells run or show what was saved; none fails, none is silent."""
    path = next(NOTEBOOKS.glob("13_*.ipynb"))
    notebook = nbformat.read(path, as_version=4)
    monkeypatch.setenv("COURSE_RECORDED", "1")
    monkeypatch.setenv("COURSE_NOTEBOOK", path.stem)
    monkeypatch.chdir(NOTEBOOKS)
    for cells in notebook_sections.sections(notebook)[2:]:
        shell.reset(new_session=False)
        shell.run_cell(first_cell.first_cell())
        for cell in cells:
            if cell.cell_type == "code" and "nbval-skip" not in cell.metadata.get("tags", ()):
                result = shell.run_cell(cell.source)
                assert result.success, (cell.id, result.error_in_exec or result.error_before_exec)
                texts = [o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout"]
                out = capsys.readouterr().out
                assert not texts or out.strip(), cell.id


def test_the_setting_is_0_or_1(monkeypatch):
    for value, expected in (("", False), ("0", False), ("1", True)):
        monkeypatch.setenv("COURSE_RECORDED", value)
        assert recorded.asked() is expected
    monkeypatch.setenv("COURSE_RECORDED", "yes")
    with pytest.raises(ValueError, match="COURSE_RECORDED is 'yes'; expected 1"):
        recorded.asked()


def test_the_first_cell_says_so(monkeypatch, shell, capsys):
    monkeypatch.setenv("COURSE_RECORDED", "1")
    monkeypatch.chdir(NOTEBOOKS)
    first_cell.ready()
    assert capsys.readouterr().out.startswith("recorded  COURSE_RECORDED=1: cells that took over 5 seconds")
    assert shell.course_recorded
