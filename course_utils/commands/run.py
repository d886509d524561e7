"""`python -m course_utils run comparison`: an experiment too long for a notebook, resumable, its result committed.

The adapter methods on graded reviews, about three hours on two cores. Kill it and start it again: it goes on. The
result is notebooks/reference/comparison.json, with the command, the machine and the date.
"""

import argparse
import datetime
import json
import platform
import sys
from dataclasses import asdict
from pathlib import Path

REFERENCE = Path(__file__).resolve().parents[2] / "notebooks" / "reference"


def main(argv=None):
    """Run the experiment, or go on with it; 0 when it is whole, 1 with one message when it cannot be done."""
    from course_utils import runtime
    from course_utils.evaluation import sweep
    from course_utils.training.checkpoint import CheckpointError
    from course_utils.training.loop import TrainingStopped

    parser = argparse.ArgumentParser(prog="python -m course_utils run", description=__doc__.split("\n")[0])
    parser.add_argument("experiment", choices=("comparison",))
    parser.add_argument("--output", type=Path, help="another file than notebooks/reference/comparison.json")
    options = parser.parse_args(argv)
    try:
        run, grid = runtime.start(), sweep.Grid()
        lines = sweep.work_off(grid, run.runs / "comparison", run=run)
    except (ValueError, CheckpointError, TrainingStopped) as error:
        print(error, file=sys.stderr)
        return 1
    output = options.output or REFERENCE / "comparison.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(record(lines, grid, run), indent=1), encoding="utf-8")
    print(f"Written to {output}")
    return 0


def record(lines, grid, run):
    """What is committed: how it was made, each point without its single predictions, and the summary."""
    from course_utils.data import reviews
    from course_utils.evaluation import sweep

    truth = reviews.load("movies", "test")["mean"][: grid.test]
    return {
        "command": "python -m course_utils run comparison",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {run.threads} threads, {run.device}, {run.dtype}".replace("torch.", ""),
        "grid": asdict(grid),
        "summary": sweep.summary(lines, truth),
        "points": [_without_predictions(line) for line in lines],
    }


def _without_predictions(value):
    if isinstance(value, dict):
        return {name: _without_predictions(inside) for name, inside in value.items() if name != "predicted"}
    return value


if __name__ == "__main__":
    sys.exit(main())
