"""What a run says while it goes: numbers that must be repeatable in one file, the clock in another, and a plain bar.

`metrics.jsonl` has one JSON line a step and is bit-identical in a run that was stopped and resumed. How long a step
took never is; it goes to `timings.jsonl`.
"""

import errno
import json
import math
import sys
import time
from pathlib import Path

from tqdm import tqdm

from course_utils import files, machine
from course_utils.engine.checkpoint import CheckpointError


def progress(rows=None, **choice):
    """tqdm's bar; in a notebook on stdout, since what stands on stderr is shown in the red of errors.

    Args:
        rows: what is gone through, or None with `total`.
        choice: tqdm's own options.
    """
    return tqdm(rows, file=sys.stdout if machine.in_notebook() else sys.stderr, dynamic_ncols=True, **choice)


class Monitor:
    """Writes the metrics and the timings of one run, and shows its progress."""

    def __init__(self, output, recipe, *, earlier="", show=True, write=True):
        """
        Args:
            output: the run's folder.
            recipe: its TrainingRecipe.
            earlier: the metrics up to the checkpoint that the run goes on from; what came after it is dropped.
            show: whether to show a progress bar.
            write: False in all processes of a parallel run but the first.
        """
        self.lines = earlier.splitlines()
        self.output, self.write = Path(output), write
        self.bar = progress(
            total=recipe.steps, initial=len(self.lines), disable=not (show and write), unit="step", mininterval=0.5
        )
        self.started = time.perf_counter()
        if write:
            self.put("metrics.jsonl", self.text)

    @property
    def text(self):
        """All metrics so far, as in the file."""
        return "".join(line + "\n" for line in self.lines)

    @property
    def metrics(self):
        """All metrics so far, one dictionary a step."""
        return [json.loads(line) for line in self.lines]

    @property
    def last(self):
        """The metrics of the newest step, or None."""
        return json.loads(self.lines[-1]) if self.lines else None

    def step(self, values, *, tokens, micro_batch):
        """Record one optimizer step.

        Args:
            values: {"step": …, "loss": …, …}; a value that is not finite becomes null.
            tokens: tokens that were read in this step, pads not counted.
            micro_batch: rows in memory at once.
        """
        self.lines.append(json.dumps(_finite(values), sort_keys=True))
        now = time.perf_counter()
        seconds, self.started = now - self.started, now
        speed = round(tokens / seconds, 1)
        if self.write:
            timing = {"step": values["step"], "seconds": seconds, "tokens_per_second": speed}
            self._append("metrics.jsonl", self.lines[-1])
            self._append("timings.jsonl", json.dumps(timing | {"micro_batch": micro_batch}))
        self.bar.set_postfix_str(f"loss {values['loss']:.3f}, {speed:,.0f} tokens/s", refresh=False)
        self.bar.update()

    def say(self, text):
        """Print one line; in a parallel run the first process alone speaks."""
        if self.write:
            self.bar.clear()
            print(text, flush=True)

    def close(self):
        """Leave the bar as it is."""
        self.bar.close()

    def put(self, name, text):
        """Write a small file of the run whole or not at all; one that holds the text already is left alone."""
        path = self.output / name
        with self._explained(name):
            if not path.is_file() or path.read_bytes() != text.encode("utf-8"):
                self.output.mkdir(parents=True, exist_ok=True)
                files.replace_text(path, text)

    def _append(self, name, line):
        """Add a line whole or not at all."""
        with self._explained(name), open(self.output / name, "ab", buffering=0) as file:
            before, content = file.tell(), (line + "\n").encode("utf-8")
            try:
                if file.write(content) < len(content):
                    raise OSError(errno.ENOSPC, "only a part of the line was written")
            except OSError:
                file.truncate(before)
                raise

    def _explained(self, name):
        return files.explained(f"Writing {name}", self.output, "COURSE_RUNS", CheckpointError)


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
