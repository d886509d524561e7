"""What is run from `tests` in a long run of its own.

`make bench`: our training beside the libraries' own, in one run on this machine; results/bench.json. The suites live in
tests/benchmarks, one file each. Every contender runs in a process of its own, in turn.
`make drift`: the newest and the lowest admitted versions, by tests/platforms/drift.py.
"""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

from course_utils import flags

TESTS = Path(__file__).resolve().parents[2] / "tests"
SUITES = TESTS / "benchmarks"


def main(argv=None):
    """Run the suites that are asked for, all by default, and print every figure; 0 when none failed."""
    names = sorted(path.stem for path in SUITES.glob("*.py") if path.stem != "side_by_side")
    parser = argparse.ArgumentParser(prog="python -m course_utils bench", description=main.__doc__)
    parser.add_argument("suites", nargs="*", help="some of: " + ", ".join(names))
    parser.add_argument("--rounds", type=flags.whole(1), default=3, help="of which the median counts")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.suites) - set(names))
    if unknown or not names:
        asked = ", ".join(unknown) or "any"
        print(f"There is no benchmark {asked}. Those in {SUITES}: {', '.join(names) or 'none'}.", file=sys.stderr)
        return 2
    stored()  # a place that cannot be used is said before the hours, not after
    failed = []
    for name in options.suites or names:
        print(f"{name}: {options.rounds} rounds", flush=True)
        command = [sys.executable, str(SUITES / f"{name}.py"), "--rounds", str(options.rounds)]
        if subprocess.run(command).returncode:
            failed.append(name)
    print(table(stored()))
    if failed:
        print(f"Failed: {', '.join(failed)}; their figures above, if any, are of an earlier run.", file=sys.stderr)
    return int(bool(failed))


def drift(argv):
    """Run the check of the versions; its exit status."""
    place = str(TESTS / "platforms")
    sys.path.insert(0, place)
    try:
        return importlib.import_module("drift").main(argv)
    finally:
        sys.path.remove(place)


def stored():
    """What bench.json holds."""
    from course_utils import records, runtime

    return records.read(runtime.results() / "bench.json")


def table(rows):
    """One line a figure; a ratio above 1 means that ours is better."""
    lines = [f"{'benchmark':<22} {'metric':<7} {'ours':>10} {'peer':>10}  {'ratio':>6}  {'against'}"]
    for row in rows:
        numbers = f"{row['ours']:>10,.1f} {row['peer']:>10,.1f}  {row['ratio']:>5.2f}×"
        lines.append(f"{row['name']:<22} {row['metric']:<7} {numbers}  {row['peer_name']}, {row['unit']}")
    return "\n".join(lines)
