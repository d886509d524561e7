"""The environment is built once, again when what it is built from changes, and never trusted half done."""

import contextlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course_utils import assets
from course_utils.commands import assets as command
from course_utils.models import base
from course_utils.setup import environment, install, installers, requirements
from course_utils.setup.environment import Facts, SetupError

ROOT = Path(__file__).resolve().parents[2]
PLACES = [
    (Facts(clone=False), "here"),
    (Facts(clone=False, hosted=True), "here"),
    (Facts(clone=True), "venv"),
    (Facts(clone=True, own=True), "venv"),
    (Facts(clone=True, own=True, complete=True), "venv"),
    (Facts(clone=True, conda=True), "conda"),
    (Facts(clone=True, conda=True, complete=True), "here"),
    (Facts(clone=True, complete=True), "here"),
    (Facts(clone=True, hosted=True), "hosted"),
    (Facts(clone=True, hosted=True, complete=True), "here"),
]


@pytest.mark.parametrize("facts, place", PLACES)
def test_where_the_course_runs(facts, place):
    assert environment.choose(facts) == place


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone with nothing set up, seen from a bare Python; installing only leaves a line in a log."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    fake(tmp_path, monkeypatch.setattr)
    return tmp_path


def fake(root, put):
    """Replace what takes long or needs a network; `put(module, name, value)` does the replacing."""

    def make(command, problem):
        (Path(command[-1]) / "pyvenv.cfg").touch()

    def everything(python, extras, root, *, report, again):
        with open(root / "log", "a") as log:
            log.write(json.dumps({"extras": extras, "again": again}) + "\n")
        time.sleep(0.3)

    put(environment, "look", lambda extras, root: Facts(clone=True))
    put(installers, "call", make)
    put(installers, "find_uv", lambda python, pinned, folder: None)
    put(install, "everything", everything)
    put(install, "colab_widgets", lambda python, folder, root: None)
    put(install, "compile_used", lambda python: None)
    put(install, "require_space", lambda root: None)


def built(root):
    """What was installed, set-up by set-up."""
    log = root / "log"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_it_is_built_once(clone, capsys):
    python = environment.ensure(root=clone)
    assert python == environment.python_of(clone / ".venv")
    assert "The environment is ready after" in capsys.readouterr().out
    assert environment.ensure(root=clone) == python
    assert built(clone) == [{"extras": ["lab", "test"], "again": False}]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "old, new", [('"torch>=2.10,<3"', '"torch>=2.12,<3"'), ('requires = ["setup', 'requires=["setup')]
)
def test_it_is_built_again_only_when_a_source_changes(clone, old, new):
    environment.ensure(root=clone)
    leaving = clone / ".venv" / "of the old one"
    leaving.touch()
    text = (clone / "pyproject.toml").read_text()
    assert old in text
    (clone / "pyproject.toml").write_text(text.replace(old, new))
    environment.ensure(root=clone)
    changed = "torch" in old  # the other says the same with other blanks
    assert len(built(clone)) == 1 + changed
    assert leaving.exists() is not changed


def test_the_key_holds_every_source(clone, monkeypatch):
    keys = [environment.key(clone)]
    with open(clone / "constraints.txt", "a") as file:
        file.write("newcomer==1.0\n")
    keys.append(environment.key(clone))
    monkeypatch.setattr(sys, "version_info", (3, 12, 9, "final", 0))
    keys.append(environment.key(clone))
    monkeypatch.setattr(environment.platform, "machine", lambda: "riscv64")
    keys.append(environment.key(clone))
    assert len(set(keys)) == 4
    text = (clone / "pyproject.toml").read_text()
    (clone / "pyproject.toml").write_text(text.replace("line-length = 120", "line-length = 100"))
    assert environment.key(clone) == keys[-1]  # ruff's settings change nothing that is installed


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SetupError])
def test_an_interrupted_set_up_is_not_trusted(clone, monkeypatch, stop):
    works = install.everything

    def break_off(*_, **__):
        (clone / ".venv" / "half").touch()
        raise stop

    monkeypatch.setattr(install, "everything", break_off)
    with pytest.raises(stop):
        environment.ensure(root=clone)
    monkeypatch.setattr(install, "everything", works)
    environment.ensure(root=clone)
    assert len(built(clone)) == 1
    assert not (clone / ".venv" / "half").exists()
    assert not list(clone.glob(".venv-*"))


def test_it_may_be_interrupted_before_there_is_anything_of_python_s(clone, monkeypatch):
    make = installers.call
    monkeypatch.setattr(installers, "call", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        environment.ensure(root=clone)
    assert (clone / ".venv").exists() and not (clone / ".venv/pyvenv.cfg").exists()
    monkeypatch.setattr(installers, "call", make)
    environment.ensure(root=clone)
    assert len(built(clone)) == 1


@pytest.mark.parametrize("whole, stop, stays", [
    (True, SetupError, True), (False, SetupError, False), (True, KeyboardInterrupt, False)
])  # fmt: skip
def test_an_environment_that_could_not_be_added_to_is_trusted_only_when_it_is_whole(
    clone, monkeypatch, capsys, whole, stop, stays
):
    environment.ensure(root=clone)
    (clone / ".venv" / "of before").touch()
    asked = []
    monkeypatch.setattr(requirements, "complete_in", lambda *words: asked.append(words) or whole)
    monkeypatch.setattr(install, "everything", lambda *_, **__: (_ for _ in ()).throw(stop("no network")))
    with pytest.raises(stop):
        environment.ensure(("bench",), clone)
    stamp = environment.stamped(clone / ".venv", environment.key(clone))
    assert stamp == (("lab", "test") if stays else None)
    assert ("the environment stays as it was" in capsys.readouterr().out) is stays
    if stop is SetupError:
        assert asked == [(environment.python_of(clone / ".venv"), ("lab", "test"), clone)]
    with contextlib.suppress(stop):
        environment.ensure(root=clone)  # the next command
    assert (clone / ".venv" / "of before").exists() is stays


def test_another_python_is_asked_whether_it_has_everything():
    assert requirements.complete_in(sys.executable, ("test",), ROOT)
    assert not requirements.complete_in(sys.executable, ("no such extra",), ROOT)


def test_benchmarks_are_added_and_stay(clone):
    environment.ensure(root=clone)
    environment.ensure(("bench",), clone)
    environment.ensure(root=clone)
    environment.ensure(("bench",), clone)
    assert [row["extras"] for row in built(clone)] == [["lab", "test"], ["bench", "lab", "test"]]


def _in_a_process(root, kill):
    fake(root, setattr)
    if kill:
        install.everything = lambda *_, **__: os._exit(9)
    environment.ensure(root=root)


def _start(root, kill=False):
    process = multiprocessing.get_context("spawn").Process(target=_in_a_process, args=(root, kill))
    process.start()
    return process


def test_a_killed_set_up_is_done_again(clone):
    killed = _start(clone, kill=True)
    killed.join()
    assert killed.exitcode == 9 and (clone / ".venv/pyvenv.cfg").exists()
    environment.ensure(root=clone)
    assert len(built(clone)) == 1


def test_of_two_at_once_one_waits(clone):
    processes = [_start(clone), _start(clone)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(built(clone)) == 1


def test_in_conda_it_installs_there_and_repairs_what_was_interrupted(clone, monkeypatch, tmp_path):
    prefix = tmp_path / "conda"
    prefix.mkdir()
    monkeypatch.setattr(environment, "look", lambda extras, root: Facts(clone=True, conda=True))
    monkeypatch.setattr(sys, "prefix", str(prefix))
    assert environment.ensure(root=clone) is None
    environment.remove_stamp(prefix)
    environment.ensure(root=clone)
    assert [row["again"] for row in built(clone)] == [False, True]
    assert prefix.exists() and not (clone / ".venv").exists()


@pytest.mark.parametrize(
    "name, base, active", [("base", False, False), ("course", False, True), ("course", True, False)]
)
def test_only_an_active_environment_of_conda_counts(name, base, active, tmp_path, monkeypatch):
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))
    monkeypatch.setenv("CONDA_DEFAULT_ENV", name)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    if base:
        (tmp_path / "condabin").mkdir()
    assert environment._conda_is_active() is active
    monkeypatch.setattr(sys, "prefix", "/elsewhere")
    assert not environment._conda_is_active()


def test_a_folder_that_is_no_environment_is_left_alone(clone):
    (clone / ".venv").mkdir()
    (clone / ".venv" / "thesis.txt").touch()
    with pytest.raises(SetupError, match=r"is no virtual environment\. Move it away"):
        environment.ensure(root=clone)
    assert (clone / ".venv" / "thesis.txt").exists()


def test_a_python_without_ensurepip_is_explained(clone, monkeypatch):
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match="sudo apt install python3-venv"):
        environment.ensure(root=clone)


def test_where_uv_makes_the_environment_ensurepip_does_not_matter(clone, monkeypatch):
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(installers, "find_uv", lambda python, pinned, folder: "uv")
    made = []
    monkeypatch.setattr(installers, "create_by_uv", lambda *words: made.append(words) or True)
    monkeypatch.setattr(installers, "call", lambda *words: pytest.fail("Python made an environment as well"))
    environment.ensure(root=clone)
    assert [words[0] for words in made] == ["uv"] and len(built(clone)) == 1


def test_where_uv_fails_python_makes_the_environment(clone, monkeypatch):
    monkeypatch.setattr(installers, "find_uv", lambda python, pinned, folder: "uv")
    monkeypatch.setattr(installers, "create_by_uv", lambda *words: False)
    environment.ensure(root=clone)
    assert (clone / ".venv/pyvenv.cfg").exists() and len(built(clone)) == 1


def test_it_goes_on_in_the_other_python(monkeypatch):
    seen, real = [], subprocess.run
    monkeypatch.delenv("COURSE_ELAPSED", raising=False)
    monkeypatch.setattr(environment, "_STARTED", time.monotonic() - 1000)
    monkeypatch.setattr(os, "execv", lambda program, command: seen.append((program, command)))
    monkeypatch.setattr(subprocess, "run", lambda command: type("Done", (), {"returncode": 7})())
    environment.hand_over("/x/python", ["course", "--notebooks", "05"])
    assert seen == [("/x/python", ["/x/python", "-m", "course_utils", "course", "--notebooks", "05"])]
    ask = (
        "import os; from course_utils.setup import environment as e; print(e.elapsed(), 'COURSE_ELAPSED' in os.environ)"
    )
    inside = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = real([sys.executable, "-c", ask], capture_output=True, text=True, env=inside)
    seconds, inherited = told.stdout.split()
    assert 1000 < float(seconds) < 1300, "the next process counts on from where this one stopped"
    assert inherited == "False", "a command that is started later from within must not"
    monkeypatch.setattr(os, "name", "nt")
    assert environment.hand_over("/x/python", ["lint"]) == 7


@pytest.mark.parametrize(("present", "converted", "names", "fetched"), [
    (["reviews"], False, ["reviews"], []), (["base-model"], False, ["base-model"], [["fetch", "base-model"]]),
    (["reviews"], True, None, [["fetch", *assets.ASSETS]]), (assets.ASSETS, True, None, []),
])  # fmt: skip
def test_only_missing_assets_are_fetched_and_only_those_asked_for(present, converted, names, fetched, monkeypatch):
    calls = []
    monkeypatch.setattr(assets, "is_present", lambda asset: asset.name in present)
    monkeypatch.setattr(base, "is_prepared", lambda model: converted)
    monkeypatch.setattr(command, "main", calls.append)
    environment.fetch_missing_assets(names)
    assert calls == fetched
    monkeypatch.setattr(command, "main", lambda words: 1)
    with pytest.raises(SetupError, match="Without its assets") if fetched else contextlib.nullcontext():
        environment.fetch_missing_assets(names)
