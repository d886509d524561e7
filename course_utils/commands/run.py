"""`python -m course_utils run <experiment>`: an experiment too long for a notebook, resumable, its result committed.

data: quality rules and copies taken out, at equal tokens, and what a model recites; about 40 minutes.
rates: learning rates for pre-training, on validation documents; about 45 minutes.
pretrain: a transformer of three million weights from nothing, n-grams on the same tokens, broken runs; about two hours.
scaling: a law on small runs, a larger one predicted; mixtures, rivals; three hours with --at-once 2 on two cores.
language_models: bits a byte of each kind of language model, six tasks with and without examples; about 30 minutes.
icl: labels turned, swapped and calibrated, an instruction beside examples, naive Bayes; about 12 minutes.
prompting: parts, wordings, roles, steps, search, a grammar, on two models, three seeds; five hours on one slow core.
sft: demonstrations against a good prompt, LoRA against full tuning, the mask left out, two turns; about 85 minutes.
rlhf: PPO on three seeds and longer leashes, DPO, SFT on the better texts, RLOO by TRL, broken runs; about two hours.
comparison: five adapter methods and full tuning at equal steps and trials; about three hours.
anchors: P-tuning with a fixed word among its vectors and without, three seeds; about 35 minutes.
forgetting: tasks that nobody trained, after LoRA and after full tuning, three seeds; about 30 minutes.
quantization: what each format costs, and how fast each engine is; about 15 minutes on two cores.
evaluation: exams, made-up answers, a bought test, an arena and its judges, three seeds; four hours on a slow core.
qlora: LoRA against QLoRA, three seeds and 2,000 reviews; about 40 minutes.

Each point runs in a process of its own, so that its peak memory is its own. Kill it and start it again: it goes on.
The result is notebooks/reference/<experiment>.json, with the command and each point's machine and date. It is written
anew after every point, and a run begins with the points of the same setting that it holds: another machine can go on.
With --at-once 2 two points are measured side by side, each with its part of the threads; STAGES of an experiment then
wait for each other.
"""

import argparse
import datetime
import importlib
import json
import os
import platform
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from course_utils import folders, records, runtime
from course_utils.files import AssetError

REFERENCE = Path(__file__).resolve().parents[2] / "notebooks" / "reference"
# experiment → its module, with POINTS, SETTING, measure(point, run, folder) and summary(points)
EXPERIMENTS = {
    "language_models": "course_utils.experiments.language_models",
    "data": "course_utils.experiments.data",
    "rates": "course_utils.experiments.rates",
    "pretrain": "course_utils.experiments.pretrain",
    "scaling": "course_utils.experiments.scaling",
    "icl": "course_utils.experiments.in_context",
    "prompting": "course_utils.experiments.prompting",
    "sft": "course_utils.experiments.sft",
    "rlhf": "course_utils.experiments.rlhf",
    "comparison": "course_utils.experiments.comparison",
    "anchors": "course_utils.experiments.anchors",
    "forgetting": "course_utils.experiments.forgetting",
    "quantization": "course_utils.experiments.quantization",
    "qlora": "course_utils.experiments.qlora",
    "evaluation": "course_utils.experiments.evaluation",
}


def main(argv=None):
    """Run the experiment, or go on with it; 0 when it is whole, 1 when a point failed and said why."""
    parser = argparse.ArgumentParser(prog="python -m course_utils run", description=__doc__.split("\n")[0])
    parser.add_argument("experiment", choices=sorted(EXPERIMENTS))
    parser.add_argument("--output", type=Path, help="another file than notebooks/reference/<experiment>.json")
    parser.add_argument("--at-once", type=int, default=1, help="so many points side by side")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.at_once < 1:
        parser.error(f"Expected --at-once as a number from 1 on, got {options.at_once}.")
    experiment = importlib.import_module(EXPERIMENTS[options.experiment])
    if options.point and options.point not in experiment.POINTS:
        parser.error(f"{options.experiment} has no point {options.point!r}. There are: {', '.join(experiment.POINTS)}.")
    output = options.output or REFERENCE / f"{options.experiment}.json"
    try:
        run = runtime.start(quiet=True)
        folder = run.runs / "experiments" / f"{options.experiment}-{setting_key(experiment.SETTING)}"
        if options.point:
            return measure(experiment, options.point, run, folder)
        take_over(output, experiment, folder)
    except (ValueError, AssetError) as error:  # a setting, a place, or what the earlier record holds
        print(error, file=sys.stderr)
        return 1
    if not all_points(experiment, options, folder, output, max(1, run.threads // options.at_once)):
        return 1
    records.write(output, [record(experiment, options.experiment, folder)])
    print(f"Written to {output}")
    return 0


def all_points(experiment, options, folder, output, threads):
    """Measure what is missing, stage by stage, a process a point; whether all came to an end.

    No point is begun after one that failed.
    """
    lock, failed = threading.Lock(), []
    env = os.environ | ({"OMP_NUM_THREADS": str(threads)} if options.at_once > 1 else {})

    def one(point):
        if failed or (folder / f"{point}.json").exists():
            return
        number, count = experiment.POINTS.index(point) + 1, len(experiment.POINTS)
        print(f"{options.experiment} {number}/{count}: {point}", flush=True)
        command = [sys.executable, "-m", "course_utils.commands.run", options.experiment, "--point", point]
        if status := subprocess.run(command, env=env).returncode:
            failed.append(point)
            print(f"The point {point} ended with status {status}. Run the command again.", file=sys.stderr)
            return
        with lock:
            records.write(output, [record(experiment, options.experiment, folder)])  # a summary may take ten seconds

    for stage in getattr(experiment, "STAGES", (experiment.POINTS,)):
        with ThreadPoolExecutor(options.at_once) as pool:
            list(pool.map(one, stage))
    return not failed


def measure(experiment, point, run, folder):
    """One point, in this process; 0, or 1 with one message."""
    from course_utils.engine import stages
    from course_utils.engine.checkpoint import CheckpointError
    from course_utils.engine.loop import TrainingStopped

    try:
        result = experiment.measure(point, run, folder / point)
    except (ValueError, CheckpointError, TrainingStopped, AssetError) as error:
        print(error, file=sys.stderr)
        return 1
    machine = f"{platform.machine()}, {run.threads} threads, {run.device}, {run.dtype}".replace("torch.", "")
    known = {"date": datetime.date.today().isoformat(), "machine": machine, "code": stages.code_fingerprint()}
    records.write(folder / f"{point}.json", [result | known])
    return 0


def take_over(output, experiment, folder):
    """Let the points of an earlier record of the same setting count as measured.

    Raises:
        ValueError: nothing can be written there, or the file holds no record.
    """
    if output.is_dir() or not folders.writable(output.parent):
        raise ValueError(f"The record cannot be written to {output}. Pass a file in a folder of your own as --output.")
    for earlier in records.read(output, fields=("setting", "points")):
        if setting_key(earlier["setting"]) == setting_key(experiment.SETTING):
            for point, result in earlier["points"].items():
                if not (folder / f"{point}.json").exists():
                    records.write(folder / f"{point}.json", [result])


def record(experiment, name, folder):
    """What is committed: how it was made, the setting, the points so far and their summary."""
    files = {point: folder / f"{point}.json" for point in experiment.POINTS}
    points = {point: records.read(file)[0] for point, file in files.items() if file.exists()}
    return {
        "command": f"python -m course_utils run {name}",
        "missing": [point for point in files if point not in points],
        "setting": experiment.SETTING,
        "summary": experiment.summary(points),
        "points": points,
    }


def setting_key(setting):
    """Points measured under another setting are not mixed with these."""
    from course_utils.engine.checkpoint import fingerprint

    return fingerprint(json.dumps(setting, sort_keys=True))


if __name__ == "__main__":
    sys.exit(main())
