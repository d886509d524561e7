"""Every notebook starts with the one first cell, which finds the package or says what to do."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest

from course_utils.setup import first_cell
from course_utils.setup.requirements import Unmet

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["course"]["source"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_starts_with_it(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    first = next(cell for cell in cells if cell["cell_type"] == "code")
    assert "".join(first["source"]) == first_cell.first_cell(SOURCE)


@pytest.mark.parametrize("source", ["", "from-lm-to-llm"])
def test_it_is_short_and_clean(source, tmp_path):
    text = first_cell.first_cell(source)
    assert len(text.splitlines()) <= 8
    assert (source in text) and ("runtime.start()" in text or "ready()).start()" in text)
    path = tmp_path / "cell.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text)]), path)
    for part in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *part, "--config", str(ROOT / "pyproject.toml"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_it_is_silent_where_nothing_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(first_cell.requirements, "unmet", list)
    monkeypatch.setattr(first_cell.subprocess, "run", None)
    monkeypatch.chdir(ROOT / "notebooks")
    monkeypatch.setattr(sys, "path", [*sys.path, "..", ".."])
    assert first_cell.ready().__name__ == "course_utils.runtime"
    assert capsys.readouterr().out == ""
    assert sys.path.count(str(ROOT)) == 1 and ".." not in sys.path


def test_a_wrong_kernel_in_a_clone_is_named_and_not_changed(monkeypatch):
    monkeypatch.setattr(first_cell.requirements, "unmet", lambda: [Unmet("torch", "torch>=2.11,<3", None)])
    monkeypatch.setattr(first_cell.folders, "host", lambda: "local")
    monkeypatch.setattr(first_cell.subprocess, "run", None)
    with pytest.raises(first_cell.SetupError) as caught:
        first_cell.ready()
    message = str(caught.value)
    assert f"({sys.executable}) lacks torch>=2.11,<3" in message and str(ROOT / ".venv") in message


def test_on_colab_a_clone_gets_what_is_missing(monkeypatch):
    asked = []
    monkeypatch.setattr(first_cell.requirements, "unmet", lambda: [Unmet("trl", "trl>=1.12,<2", None)])
    monkeypatch.setattr(first_cell.folders, "host", lambda: "colab")
    monkeypatch.setattr(first_cell, "_say_and_check", asked.append)
    first_cell.ready()
    assert [command[1:] for command in asked] == [["-m", "course_utils", "setup", "--missing"]]


def test_what_fails_is_shown_before_it_stops(capsys):
    with pytest.raises(first_cell.SetupError, match="lines above say why"):
        first_cell._say_and_check([sys.executable, "-c", "print('no room'); raise SystemExit(1)"])
    assert "no room" in capsys.readouterr().out


@pytest.mark.parametrize(("host", "how"), [("colab", "Runtime > Restart session"), ("local", "restart the kernel")])
def test_it_stops_where_the_session_has_loaded_what_was_exchanged(host, how, monkeypatch):
    monkeypatch.setattr(first_cell.requirements, "unmet", list)
    monkeypatch.setattr(first_cell.requirements, "loaded_otherwise", lambda: [("pyarrow", "18.1.0", "26.0.1")])
    monkeypatch.setattr(first_cell.folders, "host", lambda: host)
    with pytest.raises(first_cell.SetupError) as caught:
        first_cell.ready()
    (shown,) = caught.value._render_traceback_()  # what a notebook prints instead of a traceback
    assert shown.startswith("SetupError: Restart the session, run this cell again") and "\n" not in shown
    assert how in shown and "pyarrow 18.1.0 (now 26.0.1)" in shown
