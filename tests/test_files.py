"""Whole files or none: the folder that appears in one rename, the lock, the disk."""

import errno
import os
import subprocess
import sys
import threading

import pytest

from course_utils import files
from course_utils.files import AssetError


def test_a_folder_appears_whole_and_readable(tmp_path):
    target = tmp_path / "a" / "target"
    with files.temporary_sibling(target) as folder:
        (folder / "file").write_text("whole")
        (folder / "file").chmod(0o600)
        assert not target.exists() and folder.parent == target.parent
    assert (target / "file").read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["target"]
    if os.name != "nt":
        assert [path.stat().st_mode & 0o777 for path in (target, target / "file")] == [0o755, 0o644]


def test_a_failed_block_leaves_nothing_and_keeps_the_old(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(KeyboardInterrupt), files.temporary_sibling(target) as folder:
        (folder / "new").write_text("half")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == ["target", "old"]


def test_a_damaged_folder_is_replaced(tmp_path):
    target = tmp_path / "target"
    (target / "old").mkdir(parents=True)
    with files.temporary_sibling(target) as folder:
        (folder / "new").write_text("new")
    assert [path.name for path in target.iterdir()] == ["new"]


def test_left_over_folders_are_removed_and_others_stay(tmp_path):
    (tmp_path / ".tmp-target-x" / "deep").mkdir(parents=True)
    (tmp_path / "target").mkdir()
    files.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_the_lock_keeps_a_second_process_out_until_it_is_free(tmp_path):
    code = f"from course_utils import files\nwith files.locked({str(tmp_path)!r}, report=lambda line: print('waits'))"
    code += ":\n    print('in', flush=True)"
    redirected = os.environ | {"PYTHONUNBUFFERED": ""}  # Python holds back what it prints
    with files.locked(tmp_path):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=redirected)
        patience = threading.Timer(60, process.kill)
        patience.start()
        assert process.stdout.readline() == "waits\n"
        assert process.poll() is None
    assert process.stdout.readline() == "in\n"
    assert process.wait(timeout=30) == 0
    patience.cancel()


def test_the_lock_opens_again_after_an_error(tmp_path):
    with pytest.raises(KeyError), files.locked(tmp_path):
        raise KeyError
    with files.locked(tmp_path, report=pytest.fail):
        pass


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full. What was half written is removed"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "is full. What was half written is removed"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "is full. What was half written is removed"),
        (PermissionError(errno.EACCES, "Permission denied", "there"), "there cannot be written"),
        (OSError(errno.EROFS, "Read-only file system"), "here cannot be written"),
    ],
)
def test_errors_of_the_disk_are_explained(error, says):
    with pytest.raises(AssetError, match=says) as caught, files.explained("Saving", "here"):
        raise error
    assert str(caught.value).startswith("Saving stopped") and "COURSE_HOME" in str(caught.value)


def test_the_variable_and_the_kind_of_error_are_the_callers():
    with (
        pytest.raises(KeyError, match="set COURSE_RUNS to"),
        files.explained("Saving", "here", "COURSE_RUNS", KeyError),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_that_can_only_be_read_has_no_lock(tmp_path, monkeypatch):
    def refuse(*names):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("builtins.open", refuse)
    with files.locked(tmp_path, report=pytest.fail):
        pass
    monkeypatch.setattr(files.Path, "mkdir", lambda *names, **how: refuse())
    with pytest.raises(OSError, match="Read-only"), files.locked(tmp_path / "missing"):
        pass


def test_a_text_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "text"
    files.replace_text(path, "old\n")

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(OSError, match="No space"):
        files.replace_text(path, "new\n")
    assert path.read_bytes() == b"old\n" and list(tmp_path.iterdir()) == [path]


def test_other_errors_stay_what_they_are():
    with pytest.raises(FileNotFoundError), files.explained("Saving", "here"):
        raise FileNotFoundError(errno.ENOENT, "No such file")
    with pytest.raises(RuntimeError, match="other"), files.explained("Saving", "here"):
        raise RuntimeError("other (os error 5)")


def test_a_device_that_is_really_full(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with (
        pytest.raises(AssetError, match="is full"),
        files.explained("Saving", tmp_path),
        open("/dev/full", "wb") as file,
    ):
        file.write(b"x" * 100_000)


def test_sizes_for_people():
    sizes = [files.human_size(size) for size in (12, 28_376, 56_634_990, 2_000_000_000)]
    assert sizes == ["12 bytes", "28.4 kB", "56.6 MB", "2.0 GB"]
