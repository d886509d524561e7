"""What `make soak` does at length, in short: six kills, every damage, a full disk."""

import json
import random
import shutil
import signal
from types import SimpleNamespace

import pytest

from course_utils.commands import soak


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("soak")
    return folder, soak.kill(folder / "small", "small", 6, random.Random(0))


def test_six_kills_end_bit_identical_to_a_run_never_stopped(killed):
    _, found = killed
    assert (
        found["passed"]
        and found["inside"] >= 2
        and found["outside"] >= 2
        and found["signals"] == (0 if soak.WINDOWS else 2)
    )
    assert found["resumed"] == found["identical"] == found["runs"]


def test_windows_has_one_signal_and_it_lets_nobody_save():
    windows = SimpleNamespace(SIGINT=2, SIGTERM=15)
    assert soak.signals(True, windows) == (15, [])
    assert soak.signals(False) == (signal.SIGKILL, [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


def test_a_run_that_ended_otherwise_would_be_noticed(killed, tmp_path):
    reference = killed[0] / "small" / "reference"
    other = tmp_path / "other"
    shutil.copytree(reference, other)
    assert soak._same_end(other, reference)
    lines = (other / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    lines[7] = json.dumps(json.loads(lines[7]) | {"loss": 1.0})
    (other / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert not soak._same_end(other, reference)


def test_every_damage_is_noticed_and_the_one_before_used(killed, tmp_path):
    found = soak.damage_all(killed[0] / "small" / "reference", tmp_path / "damages", say=print)
    assert found == {"damages": 24, "noticed": 24, "identical": 24, "passed": True}


def test_a_full_disk_keeps_the_last_good_one_and_goes_on_with_more_room(killed, tmp_path):
    found = soak.full_disk(tmp_path / "full", killed[0] / "small" / "reference")
    if "skipped" in found:
        pytest.skip(f"no small disk can be mounted here: {found['skipped']}")
    assert found["passed"] and "step-00000008" in found["kept"] and "The disk is full" in found["message"]
