"""A signal ends a run only after its step is saved; a second one at once; two processes never share a folder."""

import os
import signal
import sys
import threading
import time

import pytest
import torch
from helpers.toy_loss import RUN, SmallCollator, SmallLoss, make_rows

from course_utils import files
from course_utils.engine import checkpoint, interrupts, resume
from course_utils.engine.loop import train
from course_utils.engine.recipe import TrainingRecipe

SIGNALS = [name for name in interrupts.NAMES if hasattr(signal, name)]
RECIPE = TrainingRecipe(steps=12, batch_size=8, learning_rate=0.01, method="full", save_every=100, evaluate_every=1)
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows knows neither fork nor signals between processes")


def train_slowly(output, seconds=0.0):
    """Train the small model; each step takes so many seconds longer."""

    def evaluate(module):
        time.sleep(seconds)
        return {"drawn": torch.rand(()).item()}

    return train(
        SmallLoss(dropout=0.3), make_rows(), SmallCollator(), RECIPE, output, run=RUN, evaluate=evaluate, progress=False
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody interrupts."""
    return train_slowly(tmp_path_factory.mktemp("whole"))


@pytest.fixture(autouse=True)
def heard():
    """Signals as a program finds them that a person started; the tests may have been started where one is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Child:
    """A process of its own that trains in a folder; a fork of this one, which has torch loaded already."""

    def __init__(self, output, seconds):
        self.said = output.with_name(f"{output.name}-{seconds}.said")
        self.status = None
        self.said.touch()
        self.pid = os.fork()
        if self.pid == 0:
            self._train(output, seconds)

    def _train(self, output, seconds):
        sys.stdout = open(self.said, "w", buffering=1)  # noqa: SIM115
        number = 0
        for name in SIGNALS:
            signal.signal(signal.Signals[name], signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)
        try:
            train_slowly(output, seconds)
        except KeyboardInterrupt:
            number = signal.SIGINT
        finally:
            sys.stdout.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if number:  # as an interpreter ends after an interrupt that nobody caught
                os.kill(os.getpid(), number)
            os._exit(0 if sys.exc_info()[0] is None else 1)

    def send(self, name):
        os.kill(self.pid, signal.Signals[name])

    def line(self, part):
        """Wait for a line with this part; False when the process ends without it."""
        while part not in self.said.read_text():
            if self.ended():
                return part in self.said.read_text()
            time.sleep(0.005)
        return True

    def ended(self):
        if self.status is None and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.status = 0
        return self.status is not None

    def wait(self):
        """The exit status, negative for a signal."""
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        return self.status


@pytest.fixture
def begun(tmp_path):
    """begun(seconds a step) -> a Child in tmp_path/run, which ends with the test; `wait` for its first step."""
    started = []

    def begin(seconds, wait=True):
        started.append(child := Child(tmp_path / "run", seconds))
        while wait and steps_of(tmp_path / "run") < 1 and not child.ended():
            time.sleep(0.002)
        return child

    yield begin
    for child in started:
        if child.status is None:
            child.send("SIGKILL")
            child.wait()


def steps_of(output):
    try:
        return (output / "metrics.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


@posix
@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_saves_the_step_ends_the_process_and_the_run_goes_on_bit_for_bit(name, begun, whole, tmp_path):
    child = begun(0.05)
    child.send(name)
    assert child.wait() == -signal.Signals[name]
    last = steps_of(tmp_path / "run")
    assert 1 <= last < RECIPE.steps and checkpoint.steps(tmp_path / "run/checkpoints") == [last]
    assert child.said.read_text().splitlines() == [
        f"{name}: this step is finished and saved first; a second one ends the run at once.",
        f"Stopped by {name} after step {last}, whose checkpoint is saved. Run the same again to go on from there.",
    ]
    result = train_slowly(tmp_path / "run")
    assert result.resumed_from == last and result.checkpoint.name == whole.checkpoint.name
    assert result.metrics == whole.metrics


@posix
@pytest.mark.parametrize("name", SIGNALS)
def test_a_second_signal_ends_a_run_at_once(name, begun, tmp_path):
    child = begun(1.0)
    child.send(name)
    assert child.line("saved first")
    child.send(name)
    assert child.wait() == -signal.Signals[name]
    assert checkpoint.steps(tmp_path / "run/checkpoints") == []


@posix
def test_a_second_process_waits_for_the_first_and_reads_its_run_back(begun, whole, tmp_path):
    first = begun(0.05)
    second = begun(0.0, wait=False)
    assert second.line("Another process is filling") and not first.ended()
    assert first.wait() == 0 and second.wait() == 0
    assert len(second.said.read_text().splitlines()) == 1
    assert checkpoint.newest(tmp_path / "run/checkpoints").path.name == whole.checkpoint.name
    assert steps_of(tmp_path / "run") == 12


@posix
def test_one_that_waits_for_another_can_be_ended(begun):
    begun(0.5)
    second = begun(0.0, wait=False)
    assert second.line("Another process is filling")
    second.send("SIGINT")
    assert second.wait() == -signal.SIGINT


def raise_in_step(name, number):
    """An `evaluate` in which a signal arrives when it is called for the number-th time."""
    calls = []

    def evaluate(module):
        calls.append(1)
        if len(calls) == number:
            signal.raise_signal(signal.Signals[name])
        return {"drawn": torch.rand(()).item()}

    return evaluate


def test_in_a_notebook_the_stop_button_is_a_keyboard_interrupt_after_the_save(fit, tmp_path, capsys):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(evaluate=raise_in_step("SIGINT", 3), evaluate_every=1)
    assert signal.getsignal(signal.SIGINT) is before
    assert checkpoint.steps(tmp_path / "run/checkpoints") == [3]
    assert "Stopped by SIGINT after step 3" in capsys.readouterr().out
    with files.locked(tmp_path / "run", report=pytest.fail):
        pass
    assert fit(evaluate=raise_in_step("SIGINT", 0), evaluate_every=1)[0].resumed_from == 3


def test_a_signal_in_the_last_step_comes_after_a_finished_run(fit, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(evaluate=raise_in_step("SIGINT", 10), evaluate_every=1)
    assert checkpoint.steps(tmp_path / "run/checkpoints")[0] == 10 and (tmp_path / "run/result.json").is_file()


@posix
def test_what_is_ignored_outside_stays_ignored(fit):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        result, _, _ = fit(evaluate=raise_in_step("SIGHUP", 3), evaluate_every=1)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert len(result.metrics) == 10


@posix
def test_a_handler_of_someone_else_is_called_after_the_save(fit):
    calls = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: calls.append(number))
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(evaluate=raise_in_step("SIGTERM", 3), evaluate_every=1)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert calls == [signal.SIGTERM]


def test_in_a_thread_a_run_trains_and_leaves_the_handlers_alone(fit):
    before, found = signal.getsignal(signal.SIGTERM), []
    seen = lambda module: found.append(signal.getsignal(signal.SIGTERM)) or {}  # noqa: E731
    thread = threading.Thread(target=lambda: found.append(fit(evaluate=seen, evaluate_every=5)[0]))
    thread.start()
    thread.join()
    assert found[:2] == [before, before] and len(found[2].metrics) == 10


def test_a_checkpoint_is_due_by_time_and_costs_a_small_share_of_it(fit, tmp_path, monkeypatch):
    now, saved = [0.0], []
    monkeypatch.setattr(resume.time, "monotonic", lambda: now[0])
    save = resume.save

    def slow_save(trainer):
        now[0] += 5.0  # a twentieth of 100 seconds
        saved.append(trainer.step)
        return save(trainer)

    def evaluate(module):
        now[0] += 25.0
        return {}

    monkeypatch.setattr(resume, "save", slow_save)
    fit(steps=12, save_every=1000, evaluate=evaluate, evaluate_every=1)
    assert saved == [3, 7, 11, 12]
