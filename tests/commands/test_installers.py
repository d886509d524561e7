"""Which build of torch, by which installer: decided on facts, here all of them made up."""

import sys

import pytest

from course_utils.commands import install, installers
from course_utils.commands.requirements import Unmet

CHOICES = [  # system, NVIDIA, pip's choice, the build to ask for
    ("Linux", False, "2.13.0", "cpu"),
    ("Linux", False, None, "cpu"),
    ("Linux", False, "2.13.0+cpu", None),
    ("Linux", True, "2.13.0", "auto"),
    ("Linux", True, "2.13.0+cpu", "auto"),
    ("Linux", True, "2.13.0+cu128", None),
    ("Windows", False, "2.13.0", None),
    ("Windows", True, "2.13.0", "auto"),
    ("Darwin", False, "2.13.0", None),
]


@pytest.mark.parametrize("system, nvidia, version, backend", CHOICES)
def test_the_build_of_torch(system, nvidia, version, backend):
    assert installers.torch_backend(system, nvidia, version) == backend


@pytest.mark.parametrize("place", ["proc/driver/nvidia/version", "usr/lib/wsl/lib/libcuda.so.1", "dev/nvidiactl"])
def test_an_nvidia_driver_is_seen_without_torch(place, tmp_path, monkeypatch):
    monkeypatch.setattr(installers.shutil, "which", lambda name: None)
    assert not installers.has_nvidia(tmp_path)
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).touch()
    assert installers.has_nvidia(tmp_path)


def test_the_best_way_comes_first_and_pip_last():
    asked = ("--torch-backend=cpu", "torch")
    plain = ("torch==2.13.0",)
    assert installers.attempts("cpu", "2.13.0", True) == [("uv", asked), ("uv", plain), ("pip", plain)]
    assert installers.attempts(None, "2.13.0", True) == [("uv", plain), ("pip", plain)]
    assert installers.attempts("cpu", None, False) == [("pip", ("torch",))]


def test_a_mirror_holds_for_uv_too():
    settings = "global.index-url='file:///mirror'\n:env:.find-links='/a /b'\nglobal.find-links='/c'\nglobal.cert='/pem'"
    options, variables = installers.uv_settings(settings)
    assert options[:2] == ["--index-url", "file:///mirror"]
    assert options[2:6] == ["--find-links", "/a", "--find-links", "/b"]  # a variable wins over the file
    assert options[6:] == ["--index-strategy", "unsafe-best-match"]
    assert variables == {"SSL_CERT_FILE": "/pem"}
    assert installers.uv_settings("") == ([], {})


def test_settings_that_uv_does_not_have_leave_the_work_to_pip():
    assert installers.uv_settings("global.no-index='true'") is None
    assert installers.uv_settings("install.require-hashes='1'") is None


def test_pins_can_be_replaced_by_what_is_there():
    assert install.constraints("Torch==2.13.0\nnumpy==2.4\n", {"torch": "2.12.1"}) == "numpy==2.4\ntorch==2.12.1\n"


def test_what_must_stay_is_never_replaced():
    absent, old = Unmet("torch", "torch>=2.11", None), Unmet("numpy", "numpy>=2.1,<3", "1.26.4")
    install.refuse_replacing([absent, Unmet("trl", "trl>=1.12", "0.9")])
    with pytest.raises(installers.SetupError, match=r"has numpy 1\.26\.4; the course needs numpy>=2\.1,<3"):
        install.refuse_replacing([absent, old])


def test_missing_pins_what_stays_and_asks_for_the_rest_alone(monkeypatch):
    asked = {}
    monkeypatch.setattr(install.requirements, "unmet", lambda extras, root: [Unmet("trl", "trl>=1.12,<2", None)])
    monkeypatch.setattr(install.requirements, "installed_version", {"torch": "2.11.0+cu128", "numpy": "2.1.0"}.get)
    monkeypatch.setattr(
        install, "_install", lambda *words, **more: asked.update(targets=words[1], pins=words[2], **more)
    )
    install.missing(report=lambda line: None)
    assert asked["targets"] == ["trl>=1.12,<2"]
    assert asked["pins"].split() == ["torch==2.11.0+cu128", "numpy==2.1.0"]
    assert asked["torch"] == "2.11.0+cu128"


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


def test_pip_is_asked_for_metadata_only(monkeypatch):
    report = "{'install': []}"
    calls = []

    def answer(command, **_):
        calls.append(command)
        return type("Done", (), {"stdout": report, "returncode": 0})()

    monkeypatch.setattr(installers.subprocess, "run", answer)
    assert installers.pip_would_take(sys.executable, "pins", "torch>=2.11") is None
    report = '{"install": [{"metadata": {"version": "2.13.0+cpu"}}]}'
    assert installers.pip_would_take(sys.executable, "pins", "torch>=2.11") == "2.13.0+cpu"
    assert {"--dry-run", "--no-deps"} <= set(calls[0])
