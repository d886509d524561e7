"""The one door: it turns an unsuitable Python away in a sentence, lists what exists, and says no to what does not."""

import ast
import os
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from course_utils import __main__ as door
from course_utils import folders

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["__init__.py", "__main__.py", "streams.py"])
def test_what_comes_before_the_version_check_parses_under_an_old_python(name):
    ast.parse((ROOT / "course_utils" / name).read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("version", [(3, 8, 18), (3, 10, 1), (3, 14, 0)])
def test_an_unsuitable_python_is_turned_away(version, monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", version)
    assert door.main(["course"]) == 1
    message = capsys.readouterr().err
    assert "needs Python 3.11 to 3.13" in message and f"is Python 3.{version[1]}." in message
    assert "make course PYTHON=python3.13" in message


def test_the_versions_are_those_of_pyproject():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert wanted == f">={door.OLDEST[0]}.{door.OLDEST[1]},<{door.NEWEST[0]}.{door.NEWEST[1] + 1}"


def test_it_lists_exactly_the_commands_that_exist(monkeypatch, capsys):
    monkeypatch.setitem(door.COMMANDS, "teleport", door.Command("not written yet", "teleport"))
    assert door.main([]) == 0
    listed = re.findall(r"^  (\w+) ", capsys.readouterr().out, re.MULTILINE)
    modules = {path.stem for path in (ROOT / "course_utils/commands").glob("*.py")}
    assert listed == [name for name, command in door.COMMANDS.items() if command.module in modules]
    assert "course" in listed and "teleport" not in listed


def test_an_unknown_command_is_refused_with_the_list(capsys):
    assert door.main(["corse"]) == 2
    message = capsys.readouterr().err
    assert "no command 'corse'" in message and "\n  course " in message


def test_every_command_has_a_main():
    for name in door.available():
        module = door.importlib.import_module(f"course_utils.commands.{door.COMMANDS[name].module}")
        assert callable(getattr(module, door.COMMANDS[name].function)), name


def test_each_make_target_is_one_line_of_the_module():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = dict(re.findall(r"^([a-z]+):\n\t@\$\(COURSE\) (.+)$", makefile, re.MULTILINE))
    assert set(targets) == set(re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE).group(1).split())
    assert {line.split()[0] for line in targets.values()} == set(targets)
    assert set(targets) <= {*door.available(), "help"}
    assert makefile.count("\n\t") == len(targets)


def test_ci_runs_make_test_and_nothing_else():
    lines = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    to_root, limit = 'cd "$(dirname "${BASH_SOURCE[0]}")/.."', "export COURSE_TEST_MINUTES=80"
    assert commands == ["set -euo pipefail", to_root, limit, "exec make test"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


@pytest.mark.parametrize("variable", ["COURSE_RUNS", "COURSE_HOME", "COURSE_RESULTS"])
def test_a_place_that_cannot_be_used_is_one_message(variable, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    asked = {"COURSE_RUNS": folders.runs, "COURSE_HOME": folders.home, "COURSE_RESULTS": folders.results}[variable]
    monkeypatch.setattr(door.importlib, "import_module", lambda name: SimpleNamespace(main=lambda argv: asked()))
    assert door.run(door.Command("", "clean", environment=False), ["clean"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and f"{variable} leads to" in said.err and said.err.count("\n") == 1


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_needs_no_assets(word, monkeypatch):
    def fetched():
        raise AssertionError("253 MB for a page of help")

    monkeypatch.setattr("course_utils.setup.environment.fetch_missing_assets", fetched)
    monkeypatch.setattr(door.importlib, "import_module", lambda name: SimpleNamespace(main=lambda argv: 0))
    assert door.run(door.Command("", "clean", environment=False, assets=True), ["clean", word]) == 0
    with pytest.raises(AssertionError):
        door.run(door.Command("", "clean", environment=False, assets=True), ["clean"])


def test_what_works_with_one_asset_does_not_wait_for_all(monkeypatch):
    ahead = {name for name, command in door.COMMANDS.items() if command.assets}
    assert ahead == {"test", "bench", "drift", "soak"}


@pytest.mark.parametrize("words, extras", [(["bench", "--help"], ()), (["bench", "ppo"], ("bench",))])
def test_help_adds_nothing_to_the_environment(words, extras, monkeypatch):
    asked = []
    monkeypatch.setattr("course_utils.setup.environment.ensure", lambda more=(): asked.append(more))
    monkeypatch.setattr("course_utils.setup.environment.fetch_missing_assets", lambda: None)
    monkeypatch.setattr(door.importlib, "import_module", lambda name: SimpleNamespace(main=lambda argv: 0))
    assert door.main(words) == 0 and asked == [extras]


def test_a_command_finds_the_places_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_RESULTS", "here")
    found = []
    main = lambda argv: found.append(os.environ["COURSE_RESULTS"]) or 0  # noqa: E731
    monkeypatch.setattr(door.importlib, "import_module", lambda name: SimpleNamespace(main=main))
    assert door.run(door.Command("", "clean", environment=False), ["clean"]) == 0
    assert found == [str(tmp_path / "here")]
