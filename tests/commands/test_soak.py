"""What `make soak` does at length, in short: six kills, a full disk, the table."""

import json
import os
import random
import shutil
import signal
from types import SimpleNamespace

import pytest

from course_utils.commands import soak


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    folder, sent, send = tmp_path_factory.mktemp("soak"), [], os.kill

    def note(process, number):
        sent.append(number)
        send(process, number)

    before = {number: signal.signal(number, signal.SIG_IGN) for number in soak.SIGNALS}  # as a shell may hand them on
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "kill", note)
            return folder, soak.kill(folder / "small", "small", 6, random.Random(0)), sent
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_six_kills_end_bit_identical_to_a_run_never_stopped(killed):
    _, found, sent = killed
    assert [number for number in sent if number != soak.KILL] == soak.SIGNALS[:2]
    assert found["counts"]["kills, the end bit-identical"] == (6, 6)
    assert found["counts"]["signals, no finished step lost"] == (found["signals"], found["signals"])
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
    assert soak.same_end(other, reference)
    lines = (other / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    lines[7] = json.dumps(json.loads(lines[7]) | {"loss": 1.0})
    (other / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert not soak.same_end(other, reference)


def test_the_table_has_a_line_for_each_count_and_the_reason_where_a_part_was_left_out():
    found = {
        "small": {"counts": {"kills": (60, 60), "steps kept": (19, 20)}, "passed": False},
        "full_disk": {"skipped": "no unshare", "passed": True},
    }
    lines = ["small: kills         60/60", "small: steps kept    19/20", "full_disk: left out  no unshare"]
    assert soak.table(found).splitlines() == lines
    assert soak.table({"full_disk": {"message": "", "passed": True}}) == "full_disk: kept and went on  1/1"


def test_a_full_disk_keeps_the_last_good_one_and_goes_on_with_more_room(killed, tmp_path):
    found = soak.full_disk(tmp_path / "full", killed[0] / "small" / "reference")
    if "skipped" in found:
        pytest.skip(f"no small disk can be mounted here: {found['skipped']}")
    assert found["passed"] and "step-00000008" in found["kept"] and "The disk is full" in found["message"]
