"""What is installed, what stays as it is, and what happens when a way of installing fails. No program runs here."""

import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from course_utils.setup import install, installers
from course_utils.setup.requirements import Unmet


def test_pins_can_be_replaced_by_what_is_there():
    assert install.constraints("Torch==2.13.0\nnumpy==2.4\n", {"torch": "2.12.1"}) == "numpy==2.4\ntorch==2.12.1\n"


def test_what_must_stay_is_never_replaced():
    absent, old = Unmet("torch", "torch>=2.11", None), Unmet("numpy", "numpy>=2.1,<3", "1.26.4")
    install.refuse_replacing([absent, Unmet("trl", "trl>=1.12", "0.9")])
    with pytest.raises(installers.SetupError, match=r"has numpy 1\.26\.4; the course needs numpy>=2\.1,<3"):
        install.refuse_replacing([absent, old])


def test_missing_pins_what_stays_and_asks_for_the_rest_alone(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(install.requirements, "unmet", lambda extras, root: [Unmet("trl", "trl>=1.12,<2", None)])
    monkeypatch.setattr(install.requirements, "installed_version", {"torch": "2.11.0+cu128", "numpy": "2.1.0"}.get)
    monkeypatch.setattr(
        install, "_install", lambda *words, **more: asked.update(targets=words[1], pins=words[2], **more)
    )
    install.missing((), tmp_path, report=lambda line: None)
    assert asked["targets"] == ["trl>=1.12,<2"]  # no tested version is known here
    assert asked["pins"].split() == ["torch==2.11.0+cu128", "numpy==2.1.0"]
    assert asked["torch"] == "2.11.0+cu128"


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    """A machine with an old transformers and a little index; `run` installs what is missing."""
    index = {
        "transformers": ("5.23.0", ["huggingface-hub>=2.4", "numpy>=1.17", "torch; extra == 'torch'"]),
        "huggingface-hub": ("2.4.0", ["numpy>=1.17", "little>=1"]),
        "little": ("1.5", []),
    }
    has = {"transformers": "5.0.0", "numpy": "2.0.2", "huggingface-hub": "1.3.0"}
    asked, folder = [], tmp_path / "share" / "packages"

    def pip(command, problem):
        target = Path(command[command.index("--target") + 1])
        wanted = command[command.index("--target") + 2 :]
        assert "--no-deps" in command
        asked.append(wanted)
        for line in wanted:
            name = re.match(r"[\w-]+", line)[0]
            info(target, name, *index[name])

    for name, version in has.items():
        info(tmp_path / "site", name, version)
    (tmp_path / "constraints.txt").write_text("transformers==5.23.0\nhuggingface_hub==2.3.0\ntrl==1.16.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    monkeypatch.setenv("PYTHONPATH", "before")
    monkeypatch.setattr(installers, "call", pip)
    monkeypatch.setattr(install, "_install", lambda python, targets, *more, **words: asked.append(targets))
    monkeypatch.setattr(install.folders, "host", lambda: "kaggle")
    monkeypatch.setattr(install.requirements, "SHADOW", folder)
    lines = ["transformers>=5.15,<6", "numpy>=2.0,<3", "trl>=1.12,<2"]
    monkeypatch.setattr(install.requirements, "declared", lambda extras, root: lines)
    run = lambda: install.missing((), tmp_path, said.append)  # noqa: E731
    said = []
    return SimpleNamespace(run=run, said=said, asked=asked, folder=folder, lines=lines, index=index)


def info(folder, name, version, requires=()):
    """What pip leaves about a package."""
    place = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir(parents=True)
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    (place / "METADATA").write_text("\n".join(lines) + "\n")


def test_on_kaggle_a_newer_transformers_is_put_in_front_and_nothing_is_replaced(kaggle):
    kaggle.run()
    # the tested version where it is in the range that is asked for
    assert kaggle.asked == [["trl==1.16.0"], ["transformers==5.23.0"], ["huggingface-hub>=2.4"], ["little>=1"]]
    assert "transformers>=5.15,<6 beside 5.0.0" in kaggle.said[-1]
    assert sys.path[0] == str(kaggle.folder)
    assert os.environ["PYTHONPATH"] == f"{kaggle.folder}{os.pathsep}before"  # for torchrun and the commands
    assert install.requirements.installed_version("transformers") == "5.23.0"
    assert sorted(os.listdir(kaggle.folder.parent)) == ["packages"]
    assert len(list((kaggle.folder.parents[1] / "site").iterdir())) == 3
    kaggle.asked.clear()
    kaggle.run()
    assert kaggle.asked == [["trl==1.16.0"]]  # which was not really installed; the rest is there


def test_numpy_is_never_put_beside(kaggle):
    kaggle.lines[1] = "numpy>=2.1,<3"
    with pytest.raises(installers.SetupError, match=r"has numpy 2\.0\.2; the course needs numpy>=2\.1,<3"):
        kaggle.run()
    kaggle.lines[1] = "numpy>=2.0,<3"
    kaggle.index["transformers"] = ("5.23.0", ["numpy>=2.1"])
    with pytest.raises(installers.SetupError, match=r"has numpy 2\.0\.2; the course needs numpy>=2\.1"):
        kaggle.run()
    assert not kaggle.folder.exists() and str(kaggle.folder) not in sys.path


def test_elsewhere_an_old_transformers_is_refused(kaggle, monkeypatch):
    monkeypatch.setattr(install.folders, "host", lambda: "local")
    with pytest.raises(installers.SetupError, match=r"has transformers 5\.0\.0"):
        kaggle.run()


def test_where_the_tested_versions_do_not_fit_their_ranges_are_asked_for(kaggle, monkeypatch):
    def refuse(python, targets, *more, **words):
        kaggle.asked.append(targets)
        if "trl==1.16.0" in targets:
            raise installers.SetupError("no such version for this Python")

    monkeypatch.setattr(install, "_install", refuse)
    kaggle.run()
    assert kaggle.asked[:2] == [["trl==1.16.0"], ["trl>=1.12,<2"]]
    assert any("tested versions do not fit" in line for line in kaggle.said)


@pytest.fixture
def programs(monkeypatch, tmp_path):
    """Faked programs: `failing` are the ways that do not work; `tried` are the commands."""
    failing, tried, said = set(), [], []

    def answer(command, **_):
        tried.append(command)
        return type("Done", (), {"returncode": any(word in command for word in failing)})()

    monkeypatch.setattr(install.subprocess, "run", answer)
    monkeypatch.setattr(installers.subprocess, "run", answer)
    monkeypatch.setattr(installers, "settings_for_uv", lambda python: ([], {}))
    monkeypatch.setattr(installers, "find_uv", lambda python, pinned, folder: "uv")
    monkeypatch.setattr(installers, "pip_would_take", lambda python, pinned, requirement: "2.13.0")
    monkeypatch.setattr(installers, "has_nvidia", lambda: False)
    monkeypatch.setattr(install.platform, "system", lambda: "Linux")
    run = lambda: install._install("python", ["trl"], "trl==1.16.0\n", said.append)  # noqa: E731
    return failing, tried, said, run


def test_on_linux_without_a_gpu_the_small_build_is_taken(programs):
    _, tried, said, run = programs
    run()
    assert len(tried) == 1 and tried[0][0] == "uv" and "--torch-backend=cpu" in tried[0]
    assert not [line for line in said if "WARNING" in line]


def test_when_the_small_build_cannot_be_reached_it_warns_and_goes_on(programs):
    failing, tried, said, run = programs
    failing.add("--torch-backend=cpu")
    run()
    assert len(tried) == 2 and "torch==2.13.0" in tried[1]
    assert "gigabytes of CUDA" in "\n".join(said)


def test_when_uv_fails_pip_does_it(programs):
    failing, tried, said, run = programs
    failing.add("uv")
    run()
    assert tried[-1][:4] == ["python", "-m", "pip", "install"] and "trl" in tried[-1]
    assert "pip does it, more slowly" in "\n".join(said)


def test_when_nothing_works_one_message_says_what_to_do(programs):
    failing, _, _, run = programs
    failing.update(["uv", "pip"])
    with pytest.raises(installers.SetupError, match=r"could not be installed\.[\s\S]*run the same command again"):
        run()


def test_a_disk_that_is_too_small_is_refused_before_any_download(monkeypatch, tmp_path):
    monkeypatch.setattr(install.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10**9})())
    with pytest.raises(installers.SetupError, match=r"3\.0 GB .* 1\.0 GB is free"):
        install.require_space(tmp_path)


def test_what_is_used_is_compiled_even_where_processes_may_not(monkeypatch, tmp_path):
    for name, text in {
        "broken": "raise OSError",
        "used": "import inner",
        "inner": "",
        "unused": "",
        "also": "",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    install.compile_used(sys.executable, (("absent", "broken", "used"), ("also",)))
    compiled = {file.name.partition(".")[0] for file in (tmp_path / "__pycache__").iterdir()}
    assert {"used", "inner", "also"} <= compiled and "unused" not in compiled
