"""lab opens the notebooks, with settings that this JupyterLab has."""

import subprocess
import sys

from course_utils.commands import lab


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
