"""How threads should wait for each other: a training of notebook 07 on a quiet machine and beside a busy neighbour.

OpenMP's threads can spin while they wait, spin a little, or sleep; or there is one thread alone. The policy is set
before torch is imported, and nothing else differs. The neighbour is one process that never waits, as a browser's tab or
a second kernel may be. Quiet and busy take turns in one run; each contender is a whole process with its own training.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys

import sft
import side_by_side

POLICIES = {
    "as the system has it": {"OMP_WAIT_POLICY": None, "GOMP_SPINCOUNT": None},
    "spinning": {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": None},
    "sleeping": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": None},
    "a short spin": {"OMP_WAIT_POLICY": None, "GOMP_SPINCOUNT": "1000"},
    "one thread": {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": None, "GOMP_SPINCOUNT": None},
}
PLACES = ("quiet", "busy")
CONTENDERS = tuple(f"{policy}, {place}" for policy in POLICIES for place in PLACES)
NEIGHBOUR = "while True: pass"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6, help="the first is not timed")
    parser.add_argument("--only", nargs="*", default=tuple(POLICIES), help="some of: " + ", ".join(POLICIES))
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(contend(options.contender, options.steps)))
        return
    contenders = [name for name in CONTENDERS if name.rpartition(", ")[0] in (*options.only, *list(POLICIES)[:1])]
    settings = {name: POLICIES[name.rpartition(", ")[0]] for name in contenders}
    steps = ("--steps", options.steps)
    results = side_by_side.play(__file__, contenders, options.rounds, steps, settings=settings)
    side_by_side.check_same_losses(results, contenders, tolerance=0.02)
    side_by_side.store(verdicts(results))
    for policy in dict.fromkeys(name.rpartition(", ")[0] for name in contenders):
        quiet, busy = (statistics.median(r["step_seconds"] for r in results[f"{policy}, {p}"]) for p in PLACES)
        print(f"{policy:<22} quiet {quiet:.2f} s a step, busy {busy:.2f}: {busy / quiet:.2f} times")


def verdicts(results):
    """Each policy against the system's own, in both places; a ratio above 1 is better."""
    usual, *others = dict.fromkeys(name.rpartition(", ")[0] for name in results)
    kind = {"key": "tokens_per_second", "metric": "speed", "unit": "tokens/s"}
    return [
        side_by_side.compare(f"threads/{policy}, {place}", results, f"{policy}, {place}", [f"{usual}, {place}"], **kind)
        for policy in others
        for place in PLACES
    ]


def contend(name, steps):
    """Train beside the neighbour, or without; {"losses", "step_seconds", "tokens_per_second", …}."""
    setting = sft.Setting(steps, own=False)
    with neighbour() if name.endswith("busy") else contextlib.nullcontext():
        result = sft.measured(setting, *sft.train_ours(setting))
    return result | {"step_seconds": statistics.median(result["seconds"][1:])}


@contextlib.contextmanager
def neighbour():
    """A process that takes one core."""
    process = subprocess.Popen([sys.executable, "-c", NEIGHBOUR])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
