import errno
import io
import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.toy_loss import RUN, SmallCollator, SmallLoss

from course_utils import files, folders, machine
from course_utils.engine import resume
from course_utils.engine.checkpoint import CheckpointError
from course_utils.engine.loop import train
from course_utils.engine.metrics import Monitor, progress
from course_utils.engine.recipe import TrainingRecipe

LINE = {"step": 1, "loss": 0.5}


def test_metrics_hold_every_step_and_no_clock(fit, tmp_path):
    result, _, _ = fit()
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert lines == result.metrics and [line["step"] for line in lines] == list(range(1, 11))
    assert set(lines[0]) == {"step", "loss", "learning_rate", "gradient_norm", "counted"}
    timings = [json.loads(line) for line in (tmp_path / "run/timings.jsonl").read_text().splitlines()]
    assert len(timings) == 10 and timings[0]["tokens_per_second"] > 0
    assert json.loads((tmp_path / "run/result.json").read_text())["loss"] == result.losses[-1]


@pytest.fixture
def small_disk(tmp_path):
    """A full disk of 64 KiB to write on; skipped where none can be mounted."""
    if (
        not shutil.which("mount")
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True).returncode
    ):
        pytest.skip("no small disk can be mounted here")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk_between_two_saves_is_one_message_and_no_half_line(small_disk):
    monitor = Monitor(small_disk, SimpleNamespace(steps=9999), show=False)
    with pytest.raises(CheckpointError, match=r"(?s)Writing .*jsonl stopped: the disk of .* is full.*COURSE_RUNS"):
        for step in range(9999):
            monitor.step(LINE | {"step": step}, tokens=1, micro_batch=1)
    for name in ("metrics.jsonl", "timings.jsonl"):
        assert [json.loads(line) for line in (small_disk / name).read_text().splitlines()]
    assert {path.name for path in small_disk.iterdir()} == {"metrics.jsonl", "timings.jsonl"}


def test_a_line_of_which_only_a_part_fits_is_taken_back(tmp_path, monkeypatch):
    monitor = Monitor(tmp_path, SimpleNamespace(steps=9), show=False)
    monitor.step(LINE, tokens=1, micro_batch=1)
    before = (tmp_path / "metrics.jsonl").read_bytes()

    class Cut(io.FileIO):
        def write(self, content):
            return super().write(content[:5])

    monkeypatch.setattr("builtins.open", lambda name, mode, buffering: Cut(name, mode))
    with pytest.raises(CheckpointError, match="is full"):
        monitor.step(LINE | {"step": 2}, tokens=1, micro_batch=1)
    monkeypatch.undo()
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_result_that_cannot_be_written_leaves_no_file_and_the_run_whole(fit, tmp_path, monkeypatch, number):
    write = files.replace_text

    def fail(path, text):
        if path.name == "result.json":
            raise OSError(number, "no")
        write(path, text)

    monkeypatch.setattr(files, "replace_text", fail)
    with pytest.raises(CheckpointError, match=r"Writing result.json stopped: (?s:.*)COURSE_RUNS"):
        fit()
    monkeypatch.undo()
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"checkpoints", "metrics.jsonl", "timings.jsonl", ".lock"}
    assert fit()[0].resumed_from == 10


def everything(folder):
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*") if path.name != ".lock"}


def test_a_finished_run_is_read_back_without_writing_anything(fit, tmp_path):
    fit()
    before = everything(tmp_path)
    fit()
    assert everything(tmp_path) == before


@pytest.fixture
def read_only(monkeypatch):
    """Nothing may be written any more, also by an administrator, whom permission bits do not stop."""
    real = open

    def refuse(file, mode="r", *args, **how):
        if set(mode) & set("wax+"):
            raise OSError(errno.EROFS, "Read-only file system", str(file))
        return real(file, mode, *args, **how)

    def close():
        monkeypatch.setattr("builtins.open", refuse)
        monkeypatch.setattr(files, "replace_text", lambda path, text: refuse(path, "w"))
        monkeypatch.setattr(folders, "writable", lambda folder: False)

    return close


def test_a_finished_run_on_a_read_only_disk_is_read_back(fit, read_only):
    first, _, _ = fit()
    read_only()
    again, _, said = fit()
    assert again.metrics == first.metrics and again.resumed_from == 10 and said == []


class Counting(SmallLoss):
    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def forward(self, batch):
        self.calls.append(1)
        return super().forward(batch)


def test_an_unfinished_run_on_a_read_only_disk_says_so_before_any_step(fit, tmp_path, read_only, monkeypatch):
    monkeypatch.setattr(resume, "save", lambda trainer, save=resume.save: save(trainer) if trainer.step < 5 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fit()
    read_only()
    steps = []
    with pytest.raises(CheckpointError, match=r"at step 4 of 10, and nothing can be written.*COURSE_RUNS"):
        fit(Counting(steps))
    assert not steps


def test_a_lock_that_cannot_be_made_is_one_message(fit, monkeypatch):
    def full(folder, report):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "locked", full)
    with pytest.raises(CheckpointError, match=r"The run stopped: the disk of .* is full"):
        fit()


@pytest.mark.parametrize(("notebook", "shown_on"), [(True, "out"), (False, "err")])
def test_a_bar_stands_outside_the_red_of_errors_in_a_notebook(notebook, shown_on, monkeypatch, capsys):
    monkeypatch.setattr(machine, "in_notebook", lambda: notebook)
    assert list(progress("abc")) == ["a", "b", "c"]
    shown = capsys.readouterr()
    other = {"out": shown.err, "err": shown.out}[shown_on]
    assert "3/3" in getattr(shown, shown_on) and "3/3" not in other


def test_a_finished_run_shows_its_full_bar(tmp_path, capsys):
    done = "".join(json.dumps(LINE | {"step": step}) + "\n" for step in (1, 2))
    Monitor(tmp_path, SimpleNamespace(steps=2), earlier=done).close()
    assert "100%" in capsys.readouterr().err


def test_a_run_that_is_read_back_shows_the_bar_of_one_that_trained(tmp_path, rows, capsys):
    recipe = TrainingRecipe(steps=2, batch_size=8, learning_rate=0.01, method="full", save_every=2)
    for _ in ("trained", "read back"):
        train(SmallLoss(), rows, SmallCollator(), recipe, tmp_path / "run", run=RUN)
        assert "2/2" in capsys.readouterr().err
