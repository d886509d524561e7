"""Contenders side by side: each in a process of its own, rounds in turn, medians, peak memory.

A benchmark file here is a suite. Run with `--contender NAME` it is one contender and prints a JSON line at the end; run
without, it is the referee: it starts all contenders, round after round, and stores what came out in `bench.json`.
"""

import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from course_utils import streams  # noqa: E402

# Threads that wait by spinning make everybody up to 20 times slower as soon as another process wants a core
SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "1000",
}


def play(script, contenders, rounds, options=(), say=print, settings=None):
    """Run every contender once a round, so that whatever else the machine does meets all of them.

    Args:
        script: the suite's file.
        contenders: names, in the order of play.
        rounds: how often.
        options: further arguments for every contender.
        settings: {contender: environment variables of its own}, None for one to be without.

    Returns:
        {contender: [result of each round]}.

    Raises:
        RuntimeError: a contender failed; the end of what it said is quoted.
    """
    results = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name in contenders:
            command = [sys.executable, str(script), "--contender", name, *map(str, options)]
            asked = {**os.environ, **SETTINGS, **(settings or {}).get(name, {})}
            environment = {variable: value for variable, value in asked.items() if value is not None}
            done = streams.heard(command, environment, stderr=subprocess.PIPE, cwd=ROOT)
            if done.returncode:
                raise RuntimeError(f"{name} failed with status {done.returncode}:\n{done.stderr[-1500:]}")
            result = json.loads(done.stdout.splitlines()[-1])
            results[name].append(result)
            shown = ", ".join(f"{key} {value:,.1f}" for key, value in result.items() if isinstance(value, float))
            say(f"round {number}/{rounds}  {name:<24} {shown}", flush=True)
    return results


def compare(name, results, ours, peers, *, key, metric, unit):
    """A record for bench.json: ours against the best of the peers, a ratio above 1 being better.

    Args:
        name: as the design lists it, such as "sft/bare".
        results: what `play` returned.
        ours: our contender.
        peers: theirs; the one with the best median counts.
        key: the number to compare, in each result.
        metric: "speed", more is better, or "memory", less is.
    """
    median = {who: statistics.median(result[key] for result in results[who]) for who in (ours, *peers)}
    best = (max if metric == "speed" else min)(peers, key=median.get)
    pairs = [(mine[key], theirs[key]) for mine, theirs in zip(results[ours], results[best], strict=True)]
    ratios = [mine / theirs if metric == "speed" else theirs / mine for mine, theirs in pairs]
    return {
        "name": name,
        "metric": metric,
        "unit": unit,
        "ours": round(median[ours], 3),
        "peer": round(median[best], 3),
        "peer_name": best,
        "ratio": round(statistics.median(ratios), 3),
        "rounds": len(ratios),
    }


def check_same_losses(results, contenders, *, tolerance):
    """Whoever computes something else is no contender: every step's losses must agree.

    Raises:
        RuntimeError: names the step and the losses.
    """
    for step, losses in enumerate(zip(*(results[name][0]["losses"] for name in contenders), strict=True), start=1):
        if max(losses) - min(losses) > tolerance * min(losses):
            listed = ", ".join(f"{name} {loss:.4f}" for name, loss in zip(contenders, losses, strict=True))
            raise RuntimeError(f"Step {step}: the losses are more than {tolerance:.0%} apart: {listed}.")


def clock(*events):
    """(callback, times): a callback of transformers' Trainer that notes when these of its events come."""
    from transformers import TrainerCallback

    callback, times = TrainerCallback(), []
    for event in events:
        setattr(callback, event, lambda *args, **kwargs: times.append(time.perf_counter()))
    return callback, times


def laps(times):
    """The seconds from each time to the next."""
    return [end - start for start, end in itertools.pairwise(times)]


def seconds_of(output):
    """The seconds of each step of a run of ours, from its folder."""
    return [json.loads(line)["seconds"] for line in (output / "timings.jsonl").read_text(encoding="utf-8").splitlines()]


def store(records):
    """Put the records into results/bench.json, in the place of earlier ones of the same name and metric."""
    from course_utils import records as files
    from course_utils import runtime

    for record in records:
        files.replace(runtime.results() / "bench.json", record, keys=("name", "metric"))


def peak_memory_mb():
    """The most memory this process held at once, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text(encoding="utf-8")).group(1)) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
