"""`python -m course_utils run <experiment>`: an experiment too long for a notebook, resumable, its result committed.

sft: how many demonstrations equal a good prompt, and LoRA against full tuning; about 25 minutes on two cores.
quantization: what each format costs, and how fast each engine is; about 15 minutes on two cores.
qlora: LoRA against QLoRA, three seeds and 2,000 reviews; about 40 minutes.

Each point runs in a process of its own, so that its peak memory is its own. Kill it and start it again: it goes on.
The result is notebooks/reference/<experiment>.json, with the command, the machine and the date.
"""

import argparse
import datetime
import importlib
import json
import platform
import subprocess
import sys
from pathlib import Path

from course_utils import runtime
from course_utils.reporting import records

REFERENCE = Path(__file__).resolve().parents[2] / "notebooks" / "reference"
# experiment → its module, with POINTS, SETTING, measure(point, run, folder) and summary(points)
EXPERIMENTS = {
    "sft": "course_utils.evaluation.demonstrations",
    "quantization": "course_utils.evaluation.rounding",
    "qlora": "course_utils.evaluation.rounded_base",
}


def main(argv=None):
    """Run the experiment, or go on with it; 0 when it is whole, 1 when a point failed and said why."""
    parser = argparse.ArgumentParser(prog="python -m course_utils run", description=__doc__.split("\n")[0])
    parser.add_argument("experiment", choices=sorted(EXPERIMENTS))
    parser.add_argument("--output", type=Path, help="another file than notebooks/reference/<experiment>.json")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    experiment = importlib.import_module(EXPERIMENTS[options.experiment])
    run = runtime.start(quiet=True)
    folder = run.runs / "experiments" / f"{options.experiment}-{setting_key(experiment.SETTING)}"
    if options.point:
        return measure(experiment, options.point, run, folder)
    for number, point in enumerate(experiment.POINTS, start=1):
        if not (folder / f"{point}.json").exists():
            print(f"{options.experiment} {number}/{len(experiment.POINTS)}: {point}", flush=True)
            command = [sys.executable, "-m", "course_utils.commands.run", options.experiment, "--point", point]
            if status := subprocess.run(command).returncode:
                print(f"The point {point} ended with status {status}. Run the command again.", file=sys.stderr)
                return 1
    output = options.output or REFERENCE / f"{options.experiment}.json"
    records.write(output, [record(experiment, options.experiment, folder, run)])
    print(f"Written to {output}")
    return 0


def measure(experiment, point, run, folder):
    """One point, in this process; 0, or 1 with one message."""
    from course_utils.training.checkpoint import CheckpointError
    from course_utils.training.loop import TrainingStopped

    try:
        result = experiment.measure(point, run, folder / point)
    except (ValueError, CheckpointError, TrainingStopped) as error:
        print(error, file=sys.stderr)
        return 1
    records.write(folder / f"{point}.json", [result])
    return 0


def record(experiment, name, folder, run):
    """What is committed: how it was made, the setting, every point and the summary."""
    points = {point: records.read(folder / f"{point}.json")[0] for point in experiment.POINTS}
    return {
        "command": f"python -m course_utils run {name}",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {run.threads} threads, {run.device}, {run.dtype}".replace("torch.", ""),
        "setting": experiment.SETTING,
        "summary": experiment.summary(points),
        "points": points,
    }


def setting_key(setting):
    """Points measured under another setting are not mixed with these."""
    from course_utils.training.checkpoint import fingerprint

    return fingerprint(json.dumps(setting, sort_keys=True))


if __name__ == "__main__":
    sys.exit(main())
