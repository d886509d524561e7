"""The one gradient loop. Pre-training, SFT, the reward model and every adapter differ only in data and loss.

What is learned is a *loss module*: a torch module around the model with

    forward(batch) -> scalar     mean loss over the positions (or pairs) that count
    count(batch) -> int          how many count
    while_training()             optional: a context manager in which the loop trains

A batch may be cut into micro-batches to fit in memory. Each is weighted by its count, so that the gradient is that of
the whole batch, however it was cut:

    loss = Σ_i loss_i · count_i / Σ_i count_i
"""

import contextlib
import gc
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from course_utils import runtime
from course_utils.engine import batching, checkpoint, interrupts, parallel, preflight, resume, state, stop_messages
from course_utils.engine.metrics import Monitor
from course_utils.engine.schedule import learning_rate
from course_utils.tensors import moved


class TrainingStopped(RuntimeError):
    """A run ended early on purpose; the message says where, why and what to try."""


@dataclass(frozen=True)
class TrainingResult:
    """What a run leaves behind."""

    metrics: list  # one dictionary a step: step, loss, learning_rate, gradient_norm, counted, …
    checkpoint: Path  # the last one, with the trained weights
    resumed_from: int | None  # the step this process went on from, None when it began
    micro_batch: int  # rows in memory at once, after any halving

    @property
    def losses(self):
        """The loss of each step."""
        return [line["loss"] for line in self.metrics]


def train(module, rows, collate, recipe, output, *, run=None, evaluate=None, go_on=True, progress=True, say=print):
    """Train a loss module, or go on where an earlier call with the same output folder was stopped.

    Args:
        module: the loss module; what requires a gradient is trained, the rest is left alone.
        rows: a datasets.Dataset or a list of dictionaries.
        collate: list of rows -> batch, a dictionary of tensors.
        recipe: a TrainingRecipe.
        output: the run's folder: checkpoints/, metrics.jsonl, timings.jsonl, result.json.
        run: the runtime's decisions (device, autocast, grad_scaler); by default the current ones.
        evaluate: module -> {name: number, or a list}, called without gradients after the steps that the recipe names.
        go_on: False refuses a folder that already holds a run.
        progress: show a bar on stderr.
        say: receives lines worth reading.

    Returns:
        A TrainingResult; the module holds the trained weights. A finished run is read back, not repeated.

    Raises:
        ValueError: the rows, the recipe or the model do not fit; nothing was changed.
        TrainingStopped: the loss or the gradient is not finite, or memory does not suffice.
        CheckpointError: the disk is full or read-only, or the folder holds a run of another recipe or other data.
        KeyboardInterrupt: the run was interrupted; a first SIGINT, SIGTERM or SIGHUP saves its step before that.
    """
    made = Trainer(module, rows, collate, recipe, Path(output), run or runtime.current(), evaluate, say)
    return conduct(made, go_on, progress)


def conduct(trainer, go_on, progress):
    """Take a Trainer from its beginning, or its newest checkpoint, to its end; returns the TrainingResult.

    One process, or the processes of one run, at a time: a second one waits, then goes on from what the first has left.
    """
    module, random_state, was_training = trainer.module, state.random_state(), trainer.module.training
    with resume.alone(trainer), interrupts.held(trainer.print, trainer.world.size == 1) as trainer.held:
        try:
            with getattr(module, "while_training", contextlib.nullcontext)():
                trainer.begin(go_on, progress)
                return trainer.finish(trainer.run_steps())
        finally:
            trainer.clean_up()
            module.train(was_training)
            state.set_random_state(random_state)  # a notebook goes on alike whether a run was trained or read back


class Trainer:
    """One run in progress. `train` is the way in."""

    def __init__(self, module, rows, collate, recipe, output, run, evaluate, say):
        preflight.check_method(module, recipe)
        preflight.check_precision(module)
        survey = preflight.survey(rows, collate, recipe, module)
        self.module, self.rows, self.collate, self.recipe, self.evaluate = module, rows, collate, recipe, evaluate
        self.output, self.run, self.print = output, run, say
        self.lengths, self.micro_batch = survey.lengths, recipe.micro_batch
        self.identity = {"recipe": recipe.identity, "data": survey.fingerprint, "frozen": state.frozen_hash(module)}
        self.device = next(module.parameters()).device
        self.world, self.monitor, self.step, self.resumed_from, self.last = parallel.world(), None, 0, None, None
        self.held, self.clock = interrupts.Held(), resume.Clock()

    @property
    def checkpoints(self):
        return self.output / "checkpoints"

    def begin(self, go_on, progress):
        """Set up the optimizer and the processes, then restore the newest checkpoint when there is one."""
        state.seed_everything(self.recipe.seed + self.world.rank)
        self.module.train()
        self._set_activation_checkpointing(self.recipe.activation_checkpointing)
        self.wrapped = parallel.wrap(self.module, self.recipe, self.world)
        self.optimizer = make_optimizer(self.module, self.recipe)
        self.scaler = torch.amp.GradScaler(self.device.type, init_scale=2.0**14, enabled=self.run.grad_scaler)
        found = resume.find(self, go_on)
        if found is not None:
            resume.restore(self, found)
        if self.step < self.recipe.steps:
            resume.require_writable(self)
        earlier = found.text("metrics.jsonl") if found else ""
        # a finished run shows its full bar, so that a notebook's output does not tell which notebook trained it
        self.monitor = Monitor(self.output, self.recipe, earlier=earlier, show=progress, write=self.world.first)

    def run_steps(self):
        """Train to the last step; returns the last checkpoint's path."""
        try:
            while self.step < self.recipe.steps:
                values, tokens = self._train_step(self.step + 1)
                self.step += 1
                if self.evaluate and self.recipe.evaluates(self.step):
                    values["evaluate"] = self._evaluate()
                self.monitor.step(values, tokens=tokens, micro_batch=self.micro_batch)
                self._save_when_due()
        except KeyboardInterrupt:
            remains = stop_messages.what_remains(checkpoint.steps(self.checkpoints))
            self.monitor.say(f"Interrupted after step {self.step}. {remains}")
            raise
        return self.last.path

    def _save_when_due(self):
        """Save by count, by time, at the end, and when a signal asks the run to end; then end it."""
        asked = self.world.total(self.held.asked is not None, self.device) > 0  # the same in all processes
        late = self.world.total(self.world.first and self.clock.due(), self.device) > 0
        if asked or late or self.step % self.recipe.save_every == 0 or self.step == self.recipe.steps:
            with self.clock.saving():
                self.last = resume.save(self)
        if asked and self.step < self.recipe.steps:
            self.monitor.say(
                f"Stopped by {self.held.name} after step {self.step}, whose checkpoint is saved. "
                "Run the same again to go on from there."
            )
            raise interrupts.Ended

    def finish(self, path):
        """Write result.json and return the TrainingResult."""
        result = TrainingResult(self.monitor.metrics, path, self.resumed_from, self.micro_batch)
        if self.world.first:
            last = result.metrics[-1] | {"checkpoint": path.name, "processes": self.world.size}
            self.monitor.put("result.json", json.dumps(last, indent=1))
        self.world.wait()
        return result

    def clean_up(self):
        """Free what only training needs."""
        if self.monitor:
            self.monitor.close()
        self._set_activation_checkpointing(False)
        for weight in self.module.parameters():
            weight.grad = None

    def _train_step(self, step):
        """One optimizer step; returns its metrics and how many tokens it read."""
        rows = batching.rows_of_step(step, self.lengths, self.recipe)
        rate = learning_rate(step, self.recipe)
        loss, counted, norm = self._update(rows, rate)
        values = {"step": step, "loss": loss, "learning_rate": rate, "gradient_norm": norm, "counted": int(counted)}
        if self.run.grad_scaler:
            values |= {"loss_scale": self.scaler.get_scale(), "skipped": not math.isfinite(norm)}
        return values, int(self.lengths[rows].sum())

    def _update(self, rows, rate):
        """Learn once from these rows; returns (loss, positions counted, norm of the gradient before clipping)."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, counted = self._gradients(rows)
        self.scaler.unscale_(self.optimizer)
        norm = state.full(torch.nn.utils.clip_grad_norm_(self._trained(), self.recipe.clip)).item()
        if not math.isfinite(norm) and self.scaler.get_scale() <= 1:  # without a scaler the scale is 1
            self._stop(f"the loss is {loss:.4g}, but the norm of its gradient is {norm}", rows=rows)
        self.scaler.step(self.optimizer)  # skips a step whose scaled gradient overflowed
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return loss, counted, norm

    def _gradients(self, rows):
        """Gradients of one batch, in smaller micro-batches when memory does not suffice; (loss, positions counted)."""
        while True:
            before = state.random_state()
            try:
                return self._accumulate(rows)
            except (RuntimeError, MemoryError) as error:
                if not stop_messages.is_out_of_memory(error):
                    raise
            # outside of `except`: there the error still holds the activations
            self._halve()
            state.set_random_state(before)

    def _accumulate(self, rows):
        """Add up the gradients of a batch's micro-batches."""
        self.optimizer.zero_grad(set_to_none=True)
        parts = batching.micro_batches(self.world.share(rows), self.micro_batch)
        batches = [self.collate([self.rows[row] for row in part]) for part in parts]
        counts = [self.module.count(batch) for batch in batches]
        total = self.world.total(sum(counts), self.device)
        losses = []
        for number, (batch, count) in enumerate(zip(batches, counts, strict=True)):
            batch = moved(batch, self.device)
            with parallel.hold_gradients(self.wrapped, last=number == len(parts) - 1):
                with self._autocast():
                    loss = self.wrapped(batch).float() * (count / total)
                # processes average their gradients, so each multiplies by their number
                self.scaler.scale(loss * self.world.size).backward()
            losses.append(loss.detach())
        loss = self.world.total(sum(losses), self.device)
        if not math.isfinite(loss):
            broken = [row for part, value in zip(parts, losses, strict=True) if not value.isfinite() for row in part]
            self._stop(f"the loss is {loss}", rows=broken or rows)
        return loss, total

    def _autocast(self):
        if self.run.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.run.autocast)

    def _trained(self):
        return state.trained_parameters(self.module).values()

    def _evaluate(self):
        self.module.eval()
        with torch.no_grad(), self._autocast():
            found = self.evaluate(self.wrapped)
            values = {name: v if isinstance(v, list) else float(v) for name, v in found.items()}
        self.module.train()
        return values

    def _halve(self):
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        # several processes cannot agree on a retry in the middle of an exchange
        if self.world.size > 1 or self.micro_batch == 1:
            self._stop(f"memory does not suffice for micro-batches of {self.micro_batch} rows")
        self.micro_batch //= 2
        self.monitor.say(
            f"Step {self.step + 1}: out of memory. Going on with micro-batches of {self.micro_batch} rows; each step "
            f"still learns from {self.recipe.batch_size} rows."
        )

    def _stop(self, why, rows=(), advice=None):
        history, kept = self.monitor.metrics[-1:], checkpoint.steps(self.checkpoints)
        recipe = replace(self.recipe, micro_batch=self.micro_batch)  # as it is after any halving
        raise TrainingStopped(stop_messages.explain(why, self.step + 1, recipe, rows, history, kept, advice))

    def _set_activation_checkpointing(self, on):
        """Switch it on or off in the model inside the loss module, when the recipe uses it at all."""
        models = [part for part in self.module.modules() if hasattr(part, "gradient_checkpointing_enable")]
        if not self.recipe.activation_checkpointing or not models:
            return
        if on:
            models[0].gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        else:
            models[0].gradient_checkpointing_disable()


def make_optimizer(module, recipe):
    """AdamW over the trained weights; only matrices decay."""
    weights = list(state.trained_parameters(module).values())
    groups = [
        {"params": [weight for weight in weights if weight.dim() >= 2], "weight_decay": recipe.weight_decay},
        {"params": [weight for weight in weights if weight.dim() < 2], "weight_decay": 0.0},
    ]
    fused = weights[0].device.type in ("cpu", "cuda")
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=recipe.learning_rate, betas=recipe.betas, fused=fused
    )
