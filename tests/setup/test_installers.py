"""Which build of torch, by which installer: decided on facts, here all of them made up."""

import sys

import pytest

from course_utils.setup import installers

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


SAME = [
    ("global.constraint='/a.txt /b.txt'", ["--constraint", "/a.txt", "--constraint", "/b.txt"]),
    ("global.no-index='true'", ["--no-index"]),
    ("global.no-index='false'", []),
    (":env:.no-index='Y'", ["--no-index"]),
    ("install.require-hashes='1'", ["--require-hashes"]),
    ("global.only-binary=':all:'", ["--only-binary", ":all:"]),
    ("global.no-binary='one,two'", ["--no-binary", "one", "--no-binary", "two"]),
    ("global.prefer-binary='true'", []),
]


@pytest.mark.parametrize("setting, options", SAME)
def test_settings_of_pip_that_uv_has_too(setting, options):
    assert installers.uv_settings(setting) == (options, {})


def test_a_client_s_certificate_holds_for_uv_too():
    assert installers.uv_settings("global.client-cert='/me.pem'") == ([], {"SSL_CLIENT_CERT": "/me.pem"})


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
