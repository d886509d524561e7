"""The doctor on faked machines, with packages missing, and on the one it really runs on."""

import os
import subprocess
import sys
import types
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from helpers.faked_machines import fake_cpu, fake_cuda, fake_mps

from course_utils import assets, folders, machine
from course_utils.commands import doctor
from course_utils.models import base
from course_utils.setup import requirements


@pytest.fixture(autouse=True)
def healthy(monkeypatch, tmp_path):
    """A laptop with everything: memory, disk, assets, the converted model. Each test breaks one thing."""
    for name in ("COURSE_MODEL", "COURSE_OFFLINE", "LOCAL_RANK", "CUDA_VISIBLE_DEVICES", "COURSE_TIER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(folders, "ROOT", tmp_path / "root")
    monkeypatch.setattr(folders, "survival", lambda folder: (True, "kept"))
    monkeypatch.setattr(machine, "memory_gib", lambda: (16.0, 12.0))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=50 * 2**30))
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(assets, "is_present", lambda *_: True)
    monkeypatch.setattr(base, "is_prepared", lambda *_: True)
    wanted = (one.split(",")[0].split(">=") for one in requirements.declared())
    versions = dict(wanted)
    monkeypatch.setattr(requirements, "installed_version", versions.get)
    fake_cpu(monkeypatch, avx512_bf16=True)
    return versions


def row(check):
    """The one row of that name."""
    (found,) = [one for one in doctor.rows() if one.check == check]
    return found


def test_healthy_machine(capsys):
    assert doctor.main([]) == 0
    *lines, empty, summary = capsys.readouterr().out.splitlines()
    assert len(lines) == len(doctor.rows()) and not empty
    assert all(line.startswith("OK ") for line in lines), [line for line in lines if not line.startswith("OK ")]
    assert summary.startswith("0 FAIL, 0 WARN, ")
    assert {"python", "torch", "settings", "architecture", "dtype", "memory", "disk", "runs", "base-model"} <= {
        line.split()[1] for line in lines
    }


def test_rows_are_data():
    assert all(set(asdict(one)) == {"check", "state", "found", "remedy"} for one in doctor.rows())


def test_one_fail_is_the_exit_status_and_a_warning_is_not(monkeypatch, capsys):
    monkeypatch.setattr(machine, "memory_gib", lambda: (16.0, 4.0))
    assert doctor.main([]) == 0 and "1 WARN" in capsys.readouterr().out
    monkeypatch.setattr(machine, "memory_gib", lambda: (16.0, 1.0))
    assert doctor.main([]) == 1 and "1 FAIL" in capsys.readouterr().out


@pytest.mark.parametrize(
    "fake, states, dtype",
    [
        (lambda patch: fake_cpu(patch), {"device": "OK", "architecture": "OK"}, "float32"),
        (lambda patch: fake_cuda(patch, (6, 0)), {"device": "OK", "architecture": "FAIL"}, None),
        (lambda patch: fake_cuda(patch, (7, 0)), {"architecture": "OK"}, "float32 weights, float16"),
        (lambda patch: fake_cuda(patch, (7, 5)), {"architecture": "OK"}, "float32 weights, float16"),
        (lambda patch: fake_cuda(patch, (8, 0)), {"architecture": "OK"}, "bfloat16"),
        (lambda patch: fake_cuda(patch, (8, 9)), {"architecture": "OK"}, "bfloat16"),
        (lambda patch: fake_cuda(patch, (9, 0)), {"architecture": "OK"}, "bfloat16"),
        (lambda patch: fake_cuda(patch, (12, 0), architectures=["sm_90"]), {"architecture": "FAIL"}, None),
        (lambda patch: fake_mps(patch), {"architecture": "OK"}, "float32"),
    ],
    ids=["none", "6.0", "7.0", "7.5", "8.0", "8.9", "9.0", "absent", "mps"],
)
def test_nine_machines(fake, states, dtype, monkeypatch, capsys):
    fake(monkeypatch)
    for check, state in states.items():
        assert row(check).state == state
    assert doctor.main([]) == (0 if dtype else 1)
    if dtype:
        assert row("dtype").found.startswith(dtype)
    else:
        assert row("architecture").remedy and "dtype" not in [one.check for one in doctor.rows()]


def test_two_gpus_warn(monkeypatch):
    fake_cuda(monkeypatch, (7, 5), count=2)
    assert row("gpus").state == "WARN" and "CUDA_VISIBLE_DEVICES=0" in row("gpus").remedy


def test_occupied_gpu_memory_warns(monkeypatch):
    fake_cuda(monkeypatch, (7, 5))
    assert row("gpu memory").state == "OK"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (2 * 2**30, 15 * 2**30))
    assert row("gpu memory").state == "WARN" and "2.0 of 15.0 GiB" in row("gpu memory").found


def test_gpu_that_torch_cannot_use_warns_unless_hidden(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert row("gpu").state == "WARN" and "CPU build" in row("gpu").found
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert "driver" in row("gpu").found
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not [one for one in doctor.rows() if one.check == "gpu"]


@pytest.mark.parametrize(
    "version, state, said",
    [
        (None, "FAIL", "missing"),
        ("2.9.1", "FAIL", "2.9.1, needs >=2.10,<3"),
        ("2.11.0+cu128", "OK", "2.11.0+cu128"),
        ("2.14.0.dev20260901", "OK", "2.14.0"),
        ("3.0.0", "WARN", "newer than any that was tested"),
    ],
)
def test_version_of_torch(version, state, said, healthy):
    healthy["torch"] = version
    assert row("torch").state == state and said in row("torch").found
    assert bool(row("torch").remedy) is (state != "OK")


def test_remedy_for_a_package_never_replaces_the_hosts_torch(monkeypatch, healthy):
    healthy.update(torch="2.0", trl="1.0")
    assert row("torch").remedy == row("trl").remedy == "python -m course_utils setup"
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    assert "pip" not in row("torch").remedy and "current image" in row("torch").remedy
    assert row("trl").remedy == 'python -m pip install "trl>=1.12,<2"'
    monkeypatch.delenv("COLAB_RELEASE_TAG")
    monkeypatch.setattr(folders, "PACKAGE", Path("/nowhere/course_utils"))
    assert row("torch").remedy == 'uv pip install --torch-backend=auto --reinstall "torch>=2.10,<3"'


@pytest.mark.parametrize("minor, state", [(10, "FAIL"), (11, "OK"), (13, "OK"), (14, "FAIL")])
def test_python(minor, state, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, minor, 1))
    assert doctor.package_rows()[0].state == state


def test_unknown_ranges_warn(monkeypatch):
    def nothing():
        raise doctor.metadata.PackageNotFoundError("from-lm-to-llm")

    monkeypatch.setattr(requirements, "declared", nothing)
    assert row("packages").state == "WARN"


def test_wrong_setting_fails_with_its_fix_and_the_rest_is_still_told(monkeypatch):
    monkeypatch.setenv("COURSE_TIER", "huge")
    assert row("settings").state == "FAIL" and "'huge'" in row("settings").found
    assert row("settings").remedy.startswith("Unset it") and row("dtype").state == "OK"
    monkeypatch.setenv("COURSE_TIER", "cpu")
    monkeypatch.setenv("COURSE_OFFLINE", "yes")
    assert row("settings").state == "FAIL" and "COURSE_OFFLINE" in row("settings").found


def test_unwritable_folders_fail_with_the_variable_to_set(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "file/below"))
    assert row("runs").state == "FAIL" and "Set COURSE_RUNS" in row("runs").remedy
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file"))
    assert row("assets").state == "FAIL" and "Set COURSE_HOME" in row("assets").remedy


@pytest.mark.parametrize("gib, state", [(1.0, "FAIL"), (3.0, "WARN"), (6.0, "OK")])
def test_disk(gib, state, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=gib * 2**30))
    assert row("disk").state == state and bool(row("disk").remedy) is (state != "OK")


def test_runs_that_do_not_survive_warn(monkeypatch):
    monkeypatch.setattr(folders, "survival", lambda folder: (False, "lost when Colab ends the session"))
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    assert row("runs").state == "WARN" and row("runs").remedy == "mount Google Drive and restart the kernel"


def test_missing_assets_that_cannot_be_fetched_fail_with_the_command(monkeypatch):
    monkeypatch.setattr(assets, "is_present", lambda *_: False)
    monkeypatch.setattr(assets, "can_fetch", lambda: False)
    for name in assets.ASSETS:
        assert row(name).state == "FAIL" and row(name).remedy == f"python -m course_utils assets fetch {name}"


def test_missing_assets_that_are_fetched_when_needed_warn(monkeypatch):
    monkeypatch.setattr(assets, "is_present", lambda *_: False)
    monkeypatch.setattr(assets, "can_fetch", lambda: True)
    for name in assets.ASSETS:
        assert row(name).state == "WARN" and row(name).remedy == f"python -m course_utils assets fetch {name}"


def test_unconverted_model_warns(monkeypatch):
    monkeypatch.setattr(base, "is_prepared", lambda *_: False)
    assert row("model").state == "WARN" and "assets fetch" in row("model").remedy


def test_own_model_makes_the_courses_unnecessary(monkeypatch, tmp_path):
    monkeypatch.setattr(assets, "is_present", lambda asset, *_: asset.name != "base-model")
    monkeypatch.setenv("COURSE_MODEL", str(tmp_path))
    assert row("base-model").state == row("model").state == "OK"
    monkeypatch.setenv("COURSE_MODEL", str(tmp_path / "missing"))
    assert row("model").state == "FAIL" and "correct the path" in row("model").remedy
    monkeypatch.setenv("COURSE_MODEL", "google/gemma-3-270m")
    assert row("model").state == "OK"
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    assert row("model").state == "WARN"


def test_assets_that_break_are_one_row(monkeypatch):
    def broken():
        raise KeyError("name")

    monkeypatch.setattr(assets, "states", broken)
    assert row("assets").state == "FAIL" and "KeyError" in row("assets").found


@pytest.mark.parametrize("state, remedy, said", [("WARN", "", "without a remedy"), ("BAD", "x", "'BAD'")])
def test_row_is_validated(state, remedy, said):
    with pytest.raises(ValueError, match=said):
        doctor.Row("check", state, "found", remedy)


@pytest.mark.parametrize("missing", ["torch", "numpy", "transformers", "packaging", "psutil"])
def test_doctor_works_without_a_package(missing, tmp_path):
    """In a real process in which importing the package fails, as on a machine that lacks it."""
    (tmp_path / f"{missing}.py").write_text(f"raise ModuleNotFoundError('No module named {missing}')")
    code = (
        "import sys; from importlib import metadata\n"
        "from course_utils.commands import doctor; from course_utils.setup import requirements\n"
        "real = requirements.installed_version\n"
        f"requirements.installed_version = lambda name, first=(): None if name == {missing!r} else real(name, first)\n"
        "sys.exit(doctor.main([]))"
    )
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    environment = {**os.environ, "PYTHONPATH": path, "COURSE_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    lines = {line.split()[1]: line for line in done.stdout.splitlines() if line[:4] in ("OK  ", "WARN", "FAIL")}
    needed = missing != "packaging"  # comes with the others; an asset that is not there yet comes by itself
    assert done.returncode == needed and "disk" in lines and lines["reviews"].startswith("WARN")
    if missing in ("torch", "numpy", "transformers", "psutil"):
        assert lines[missing].startswith("FAIL") and "→" in lines[missing]
    if missing == "torch":
        assert lines["device"].startswith("FAIL") and "→" in lines["device"]
    else:
        assert lines["dtype"].startswith("OK")
