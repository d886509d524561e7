"""lint, lab, clean and setup: little more than a call each, so the call is what is tested."""

import subprocess
import sys

import pytest

from course_utils.commands import clean, environment, install, lab, lint, setup


@pytest.mark.parametrize("text, status", [("x = 1\n", 0), ("import os\n", 1), ("x=1\n", 1)])
def test_lint_sees_errors_and_form(text, status, tmp_path, monkeypatch):
    (tmp_path / "code.py").write_text(text)
    monkeypatch.setattr(lint, "ROOT", tmp_path)
    assert lint.main([]) == status
    assert lint.main(["--fix"]) == 0
    assert lint.main([]) == 0


def test_lab_opens_the_notebooks_and_asks_nobody_for_news(monkeypatch):
    seen = []
    monkeypatch.setattr(
        subprocess, "run", lambda command: seen.extend(command) or type("Done", (), {"returncode": 3})()
    )
    assert lab.main(["--no-browser"]) == 3
    assert seen[:3] == [sys.executable, "-m", "jupyterlab"] and seen[-1] == str(lab.NOTEBOOKS)
    assert {"--LabApp.news_url=None", "--no-browser"} <= set(seen)


def test_lab_s_settings_exist():
    from jupyterlab.handlers.announcements import NeverCheckForUpdate
    from jupyterlab.labapp import LabApp

    names = {option.removeprefix("--LabApp.").partition("=")[0] for option in lab.QUIET}
    assert names <= set(LabApp.class_trait_names())
    assert NeverCheckForUpdate.__module__.startswith("jupyterlab")


def test_clean_removes_what_can_be_made_again_and_nothing_else(tmp_path, monkeypatch, capsys):
    made = [
        ".venv/bin",
        "build",
        "dist",
        "x.egg-info",
        ".ruff_cache",
        "tests/__pycache__",
        "course_utils/a/__pycache__",
    ]
    kept = ["results", "notebooks/runs", "course_utils/build", ".git", "own/__pycache__"]
    for name in made + kept:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").touch()
    monkeypatch.setattr(clean, "ROOT", tmp_path)
    assert clean.main([]) == 0
    assert not [name for name in made if (tmp_path / name).exists()]
    assert [name for name in kept if (tmp_path / name / "file").exists()] == kept
    assert "removed .venv" in capsys.readouterr().out


def test_setup_ends_with_the_assets(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(environment, "ensure", lambda extras: calls.append(extras))
    monkeypatch.setattr(environment, "fetch_missing_assets", lambda: calls.append("assets"))
    monkeypatch.setattr(install, "missing", lambda: calls.append("missing"))
    assert setup.main([]) == 0
    assert setup.main(["--bench"]) == 0
    assert setup.main(["--missing"]) == 0
    assert calls == [(), "assets", ("bench",), "assets", "missing"]


def test_setup_goes_on_in_the_new_environment(monkeypatch):
    monkeypatch.setattr(environment, "ensure", lambda extras: "/new/python")
    monkeypatch.setattr(environment, "hand_over", lambda python, argv: (python, argv))
    assert setup.main(["--bench"]) == ("/new/python", ["setup", "--bench"])
