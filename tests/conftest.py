"""Every test runs as `make test` runs it, however pytest was started: offline, guarded, two threads."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
GUARD = TESTS / "guard"


def pytest_configure(config):
    """Put the guard on this process, unless the interpreter started with it, and on all that it starts."""
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(GUARD) not in inherited:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(GUARD), str(TESTS.parent), *filter(None, inherited)])
        spec = importlib.util.spec_from_file_location("course_socket_guard", GUARD / "sitecustomize.py")
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    os.environ.update(COURSE_OFFLINE="1", COURSE_TIER="cpu", COURSE_SEED="0", OMP_NUM_THREADS="2", MPLBACKEND="agg")
    sys.path.insert(0, str(TESTS))  # helpers that several tests share


@pytest.fixture(autouse=True)
def own_places(monkeypatch, tmp_path):
    """Each test has its own empty folder for runs and results, and no notebook's name."""
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path / "results"))
    monkeypatch.delenv("COURSE_NOTEBOOK", raising=False)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
