"""Where things are kept on faked hosts, and what happens when nothing can be written there."""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from course_utils import folders

VARIABLES = ("COURSE_HOME", "COURSE_RUNS", "COURSE_RESULTS", "COLAB_RELEASE_TAG", "COLAB_GPU", "KAGGLE_KERNEL_RUN_TYPE")


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """A laptop with its own empty file system, cache folder and folder of temporary files."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(folders, "ROOT", tmp_path / "root")
    monkeypatch.setattr(folders.platform, "system", lambda: "Linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def read_only(monkeypatch):
    """Make folders unwritable, also for an administrator, whom permission bits do not stop."""
    closed = []
    real = folders.writable

    def writable(folder):
        return not any(folder.is_relative_to(one) for one in closed) and real(folder)

    monkeypatch.setattr(folders, "writable", writable)
    return closed.append


def on_colab(monkeypatch, tmp_path, drive):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab-external")
    (tmp_path / "root/content" / ("drive/MyDrive" if drive else "")).mkdir(parents=True)


def on_kaggle(monkeypatch, tmp_path):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    (tmp_path / "root/kaggle/working").mkdir(parents=True)


def test_laptop(tmp_path):
    assert folders.host() == "local"
    assert folders.home() == tmp_path / "cache/from-lm-to-llm"
    assert folders.runs() == folders.home() / "runs"
    assert folders.survival(folders.runs())[0] is True


@pytest.mark.parametrize(
    "system, variable, folder",
    [("Windows", "LOCALAPPDATA", "from-lm-to-llm"), ("Darwin", "HOME", "Library/Caches/from-lm-to-llm")],
)
def test_cache_of_other_systems(system, variable, folder, monkeypatch, tmp_path):
    monkeypatch.setattr(folders.platform, "system", lambda: system)
    monkeypatch.setenv(variable, str(tmp_path))
    assert folders.default_home() == tmp_path / folder


def test_colab_without_drive_loses_runs(monkeypatch, tmp_path):
    on_colab(monkeypatch, tmp_path, drive=False)
    assert folders.runs() == tmp_path / "root/content/from-lm-to-llm/runs"
    assert folders.survival(folders.runs()) == (False, "lost when Colab ends the session")


def test_colab_with_drive_keeps_runs(monkeypatch, tmp_path):
    on_colab(monkeypatch, tmp_path, drive=True)
    assert folders.runs() == tmp_path / "root/content/drive/MyDrive/from-lm-to-llm/runs"
    assert folders.survival(folders.runs()) == (True, "kept in your Google Drive")


def test_kaggle_keeps_its_output_on_saving(monkeypatch, tmp_path):
    on_kaggle(monkeypatch, tmp_path)
    assert folders.runs() == tmp_path / "root/kaggle/working/from-lm-to-llm/runs"
    survives, why = folders.survival(folders.runs())
    assert survives and "Save Version" in why
    assert folders.survival(tmp_path / "root/kaggle/temp")[0] is False


def test_kaggle_is_recognised_by_its_folder_but_not_by_an_api_key(monkeypatch, tmp_path):
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    assert folders.host() == "local"
    (tmp_path / "root/kaggle/working").mkdir(parents=True)
    assert folders.host() == "kaggle"


def test_a_temporary_folder_does_not_survive(tmp_path):
    assert folders.survival(tmp_path / "temporary/runs")[0] is False


def test_read_only_home_is_read_and_runs_go_to_the_readers_own(monkeypatch, tmp_path, read_only):
    (tmp_path / "share").mkdir()
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "share"))
    assert folders.runs() == tmp_path / "share/runs" and not folders.home_is_shared()
    read_only(tmp_path / "share")
    assert folders.home() == tmp_path / "share" and folders.home_is_shared()
    assert folders.runs() == tmp_path / "cache/from-lm-to-llm/runs"


def test_default_home_read_only_is_an_error_with_the_remedy(tmp_path, read_only):
    read_only(tmp_path / "cache")
    assert folders.home_is_shared() is False
    with pytest.raises(OSError, match=r"Nothing can be written in .*runs\.\nSet COURSE_RUNS to a folder in which"):
        folders.runs()


@pytest.mark.parametrize(
    "variable, place",
    [("COURSE_HOME", folders.home), ("COURSE_RUNS", folders.runs), ("COURSE_RESULTS", folders.results)],
)
def test_folder_that_cannot_be_made(variable, place, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv(variable, str(tmp_path / "file/below"))
    with pytest.raises(OSError, match=rf"cannot be made \(.*\)\.\nSet {variable} to a folder"):
        place()
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    with pytest.raises(ValueError, match=rf"{variable} leads to .*file, which is a file\. Set {variable}"):
        place()


def test_writable_is_tried(tmp_path):
    (tmp_path / "file").touch()
    assert folders.writable(tmp_path) and folders.writable(tmp_path / "not/yet/made")
    assert not folders.writable(tmp_path / "file")
    assert not folders.writable(tmp_path / "file/below")
    assert not list(tmp_path.glob("tmp*"))


@contextlib.contextmanager
def unprivileged():
    """Not an administrator, whom permission bits do not stop."""
    administrator = os.getuid() == 0
    if administrator:
        os.seteuid(65534)
    try:
        yield
    finally:
        if administrator:
            os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="Windows has no permission bits")
def test_permission_bits_count(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        closed, secret = Path(folder, "closed"), Path(folder, "secret")
        os.chmod(folder, 0o755)
        closed.mkdir()
        secret.mkdir()
        closed.chmod(0o555)
        secret.chmod(0o000)  # nobody may even look inside
        with unprivileged():
            assert not folders.writable(closed) and not folders.writable(closed / "below")
            assert not folders.writable(secret) and not folders.writable(secret / "below")
            monkeypatch.setenv("COURSE_HOME", str(secret / "below"))
            with pytest.raises(OSError, match="Set COURSE_HOME to a folder"):
                folders.home()


def test_results_lie_in_a_clone_else_with_the_runs(monkeypatch, tmp_path, read_only):
    clone = tmp_path / "clone"
    (clone / "course_utils").mkdir(parents=True)
    monkeypatch.setattr(folders, "PACKAGE", clone / "course_utils")
    assert folders.clone() is None and folders.results() == folders.runs() / "results"
    (clone / "notebooks").mkdir()
    (clone / "pyproject.toml").touch()
    assert folders.clone() == clone and folders.results() == clone / "results"
    read_only(clone)
    assert folders.results() == folders.runs() / "results"


def test_folders_asked_for_are_absolute_and_know_the_home_sign(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COURSE_RUNS", "here")
    monkeypatch.setenv("COURSE_HOME", "~/there")
    assert folders.runs() == tmp_path / "here" and folders.home() == tmp_path / "there"


def test_relative_places_are_settled_once_and_mean_the_same_in_another_folder(monkeypatch, tmp_path):
    (tmp_path / "models/mine").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    for variable, value in zip(folders.PLACES, ("home", "runs", "./results"), strict=True):
        monkeypatch.setenv(variable, value)
    for variable in ("COURSE_MODEL", "COURSE_CHAT_MODEL"):
        monkeypatch.setenv(variable, "models/mine")
    folders.settle()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert (folders.home(), folders.runs(), folders.results()) == tuple(
        tmp_path / n for n in ("home", "runs", "results")
    )
    assert os.environ["COURSE_MODEL"] == os.environ["COURSE_CHAT_MODEL"] == str(tmp_path / "models/mine")
    assert [os.environ[name] for name in folders.PLACES] == [str(tmp_path / n) for n in ("home", "runs", "results")]


@pytest.mark.parametrize("model", ["google/gemma-3-270m", ""])
def test_a_model_of_the_hub_is_no_folder(monkeypatch, tmp_path, model):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_MODEL", model)
    folders.settle()
    assert os.environ["COURSE_MODEL"] == model


@pytest.fixture
def homeless(monkeypatch):
    """A user without HOME and without an entry among the system's users."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def no_entry(*_):
        raise KeyError("uid not found")

    monkeypatch.setattr("pwd.getpwuid", no_entry)


@pytest.mark.skipif(os.name == "nt", reason="Windows knows the home folder otherwise")
@pytest.mark.parametrize("asked", ["is_hub_id", "source", "export"])
def test_without_a_home_folder_a_path_that_begins_with_it_names_the_variable(asked, homeless):
    from course_utils import assets, runtime
    from course_utils.models import custom_model

    call = {"is_hub_id": runtime.is_hub_id, "source": custom_model.source, "export": assets.export}[asked]
    with pytest.raises(folders.PlaceError, match="no home folder for you") as caught:
        call("~/mine")
    assert ("COURSE_MODEL" in str(caught.value)) is (asked != "export")


@pytest.mark.skipif(os.name == "nt", reason="Windows knows the home folder otherwise")
def test_without_a_home_folder_the_sentence_names_the_variable(homeless, monkeypatch, tmp_path):
    with pytest.raises(folders.PlaceError, match=r"no home folder for you (?s:.*)Set COURSE_HOME to a folder"):
        folders.home()
    monkeypatch.setenv("COURSE_RUNS", "~/runs")
    with pytest.raises(folders.PlaceError, match="Set COURSE_RUNS to a folder"):
        folders.settle()
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path))
    assert folders.runs() == tmp_path


def test_places_are_known_without_torch():
    code = "from course_utils import runtime as r; r.home(), r.runs(), r.results(); import sys; "
    code += "print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
