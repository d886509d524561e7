"""How a run becomes a checkpoint and goes on from one.

A run goes on only with the recipe, the data and the frozen weights it was begun with; otherwise the numbers before and
after the stop would belong to two different experiments. Threads, dtype, processor and micro-batch may change: that is
said, because then the last digits differ.
"""

import contextlib
import time

from course_utils import files, folders
from course_utils.engine import checkpoint, state
from course_utils.engine.checkpoint import CheckpointError

SAVE_SECONDS = 60  # of training after which a checkpoint is due, whatever recipe.save_every says
SAVE_SHARE = 0.05  # of the time that saving by the clock may take


class Clock:
    """Says when a checkpoint is due by time: after SAVE_SECONDS, later where a save itself takes long."""

    def __init__(self):
        self.last, self.cost = time.monotonic(), 0.0

    def due(self):
        """Whether so much time has passed since the last save."""
        return time.monotonic() - self.last >= max(SAVE_SECONDS, self.cost / SAVE_SHARE)

    @contextlib.contextmanager
    def saving(self):
        """Measure the save inside and begin to count anew."""
        started = time.monotonic()
        yield
        self.last = time.monotonic()
        self.cost = self.last - started


@contextlib.contextmanager
def alone(trainer):
    """Let one run at a time into the trainer's folder; a second process says in one line that it waits."""
    with contextlib.ExitStack() as stack:
        if trainer.world.first:  # the others of a parallel run wait for the first
            with files.explained("The run", trainer.output, "COURSE_RUNS", CheckpointError):
                stack.enter_context(files.locked(trainer.output, trainer.print))
        yield


def require_writable(trainer):
    """Raise CheckpointError, before any step, where the run could not be written."""
    if trainer.world.first and not folders.writable(trainer.output):
        raise CheckpointError(
            f"The run in {trainer.output} is at step {trainer.step} of {trainer.recipe.steps}, and nothing can be "
            "written there, so it cannot go on. Take an output folder of your own, or set COURSE_RUNS to one."
        )


def save(trainer):
    """Write the trainer's whole state; returns the Checkpoint (None in all processes but the first)."""
    world = trainer.world
    weights = state.weights(trainer.module)
    moments = state.moments(trainer.module, trainer.optimizer)
    draws = world.gather(state.random_state())
    if not world.first:
        return checkpoint.Checkpoint(trainer.step, trainer.checkpoints)
    random = {f"{rank}|{name}": value for rank, drawn in enumerate(draws) for name, value in drawn.items()}
    return checkpoint.save(
        trainer.checkpoints,
        trainer.step,
        tensors={"weights": weights, "optimizer": moments, "random": random},
        documents={
            "progress": {"step": trainer.step, "scaler": trainer.scaler.state_dict()},
            "identity": trainer.identity,
            "environment": environment(trainer),
        },
        texts={"metrics.jsonl": trainer.monitor.text},
    )


def find(trainer, go_on):
    """The newest whole checkpoint of this run, verified by the first process, or None."""
    found = None
    if trainer.world.first:
        checkpoint.clear_unfinished(trainer.checkpoints)
        steps = checkpoint.steps(trainer.checkpoints)
        if steps and not go_on:
            raise CheckpointError(
                f"{trainer.output} already holds a run, at step {steps[0]}. Pass --resume (go_on=True) to continue it, "
                "or take another output folder."
            )
        found = checkpoint.newest(trainer.checkpoints, say=trainer.print)
    return trainer.world.broadcast(found)


def restore(trainer, found):
    """Put a checkpoint's state into a trainer that has not stepped yet."""
    _check_identity(found, trainer)
    before = found.document("environment")
    # a halving for want of memory is remembered, unless the recipe asks for less still
    trainer.micro_batch = min(trainer.micro_batch, before["micro_batch"])
    state.load_weights(trainer.module, found.tensors("weights"))
    state.load_moments(trainer.module, trainer.optimizer, found.tensors("optimizer"))
    progress = found.document("progress")
    if progress["scaler"] and trainer.scaler.is_enabled():
        trainer.scaler.load_state_dict(progress["scaler"])
    _restore_random(found.tensors("random"), trainer)
    trainer.step, trainer.resumed_from, trainer.last = found.step, found.step, found
    changed = differences(before, environment(trainer))
    if changed and trainer.world.first and found.step < trainer.recipe.steps:
        trainer.print(
            f"Going on from step {found.step} with {changed}: "
            "bit-identity with a run never stopped is not promised, the result is as good."
        )


def environment(trainer):
    """What the last digits depend on."""
    return state.environment(trainer.run, trainer.module, trainer.micro_batch, trainer.world.size)


def differences(before, now):
    """The entries of two environments that differ, in words, or an empty string."""
    return ", ".join(
        f"{name} {now.get(name)} instead of {before.get(name)}"
        for name in sorted(before | now)
        if before.get(name) != now.get(name)
    )


def _restore_random(saved, trainer):
    """This process's random state; a process that did not exist then starts from its own seed."""
    mine = {key.partition("|")[2]: value for key, value in saved.items() if key.startswith(f"{trainer.world.rank}|")}
    if mine:
        state.set_random_state(mine)


def _check_identity(found, trainer):
    """Raise CheckpointError when the checkpoint belongs to another experiment."""
    saved, here = found.document("identity"), trainer.identity
    if saved == here:
        return
    recipes = saved["recipe"], here["recipe"]
    if recipes[0] != recipes[1]:
        changed = differences(*recipes)
        raise CheckpointError(
            f"The run in {trainer.output} was begun with another recipe: now {changed}. Its first {found.step} steps "
            "cannot be continued so. Take another output folder for the new recipe, or pass the old one to go on."
        )
    names = {"data": "data", "frozen": "model", "reward": "reward function"}
    key, name = next((key, name) for key, name in names.items() if saved.get(key) != here.get(key))
    raise CheckpointError(
        f"The run in {trainer.output} was begun with another {name} (fingerprint {saved.get(key)}, now "
        f"{here.get(key)}). "
        f"Take another output folder, or pass the {name} of the first {found.step} steps to go on."
    )
