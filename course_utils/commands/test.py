"""`python -m course_utils test`: unit tests, then nbval on every notebook, offline, with nothing left from before.

COURSE_TEST_MINUTES, set-up included, is for a slow machine that stops what takes too long: see `notebook_order`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from course_utils.commands import course, notebook_order
from course_utils.setup import environment as set_up

ROOT = Path(__file__).resolve().parents[2]
GUARD = ROOT / "tests" / "guard"
SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"  # progress bars
CELL_SECONDS = 1800  # a cell that takes longer hangs: one may train all stages that its notebook needs
NOTHING_COLLECTED = 5  # pytest's exit status
UNIT = "unit tests"
PYTEST = (sys.executable, "-m", "pytest")
# two workers with one thread each: a test's work comes in pieces too small for two threads; a file stays together
WORKERS = ("-n", "2", "--dist", "loadfile")
# nbval interrupts a slow cell and shows where it was; pytest's own limit would kill everything before that
NBVAL = (*PYTEST, "--nbval", "--nbval-current-env", f"--nbval-sanitize-with={SANITIZE}")
NBVAL += (f"--nbval-cell-timeout={CELL_SECONDS}", "--timeout=0")


def main(argv=None):
    """Run all tests, or the part asked for.

    Returns:
        The exit status: 0, or the highest that a part gave; 1 as well when anything tried to reach the network.
    """
    parser = argparse.ArgumentParser(
        prog="python -m course_utils test",
        description=main.__doc__.split("\n")[0],
        epilog="Anything else goes to pytest and leaves the notebooks out, as: -k claims, or tests/test_offline.py",
    )
    parser.add_argument("--notebooks", metavar='"00 05"', help="nbval on these notebooks only, without the unit tests")
    options, passed_on = parser.parse_known_args(argv)
    if options.notebooks is not None and passed_on:
        parser.error(f"--notebooks runs nbval alone, and {passed_on[0]} is for pytest: leave out one of them")
    with tempfile.TemporaryDirectory() as folder:
        try:
            minutes = minutes_allowed()
            parts = _parts(options.notebooks, passed_on, Path(folder), changed_first=minutes is not None)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        status = max(_timed(parts, minutes), default=0)
        return status or refusals(Path(folder) / "refused.log")


def minutes_allowed():
    """COURSE_TEST_MINUTES as a number, counted from the start of the set-up; None, without a limit, where it is unset.

    Raises:
        ValueError: it is no number above zero.
    """
    text = os.environ.get("COURSE_TEST_MINUTES", "").strip()
    if not text:
        return None
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0
    if not 0 < minutes < float("inf"):
        raise ValueError(
            f"COURSE_TEST_MINUTES is {text!r}; expected the minutes that all tests may take, set-up included, such as "
            "80. A unit behind the number, as in 80m, is not understood. Unset it to run everything."
        )
    return minutes


def environment(folder):
    """Variables for a test run: `course.isolated`, the socket guard in each Python below, and no way round it.

    Args:
        folder: an empty folder, for runs, results and the guard's log.
    """
    dead_end = "http://127.0.0.1:9"  # nothing listens there; stops programs that are not Python, as git or curl
    inherited = os.environ.get("PYTHONPATH")
    return {
        **{name: value for name, value in os.environ.items() if name != "COURSE_TEST_MINUTES"},  # for this run alone
        **course.isolated(folder),
        **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), dead_end),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), "localhost,127.0.0.1,::1"),
        "COURSE_GUARD_LOG": str(Path(folder) / "refused.log"),
        "PYTHONPATH": os.pathsep.join([str(GUARD), str(ROOT), *([inherited] if inherited else [])]),
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "agg",
    }


def _parts(notebooks, passed_on, folder, changed_first=False):
    """(name, command, environment) of each part, in the order of running."""
    variables = environment(folder)
    parts = []
    if notebooks is None:
        targets = passed_on or [*WORKERS, "tests"]
        unit = {**variables, "COURSE_RUNS": str(folder / "unit-runs"), "COURSE_RESULTS": str(folder / "unit-results")}
        parts.append((UNIT, [*PYTEST, "--durations=10", *targets], unit))
        if passed_on:
            return parts
    # MPLBACKEND is for the unit tests: in a kernel it would keep plots out of the notebook
    in_kernel = {name: value for name, value in variables.items() if name != "MPLBACKEND"}
    nbval = [*NBVAL, "--maxfail=10", "--durations=5", "--durations-min=1"]
    paths = _notebooks(notebooks)
    for path in notebook_order.ordered(paths) if changed_first else paths:
        parts.append((path.stem, [*nbval, str(path)], {**in_kernel, "COURSE_NOTEBOOK": path.stem}))
    return parts


def _notebooks(wanted):
    if wanted is None and not list(course.NOTEBOOKS.glob("*.ipynb")):
        return []
    return course.select(wanted or "")


def _timed(parts, minutes=None):
    """Run the parts, as many as there is time for; print how long each took, and what was left out.

    Args:
        parts: see _parts.
        minutes: that all may take, set-up included; None for no limit. Unit tests always run.

    Yields:
        The exit status of each part that ran.
    """
    lines, pace, left_out = [], notebook_order.Pace(None if minutes is None else 60 * minutes), []
    for position, (name, command, variables) in enumerate(parts, 1):
        if name != UNIT and not pace.fits(name, set_up.elapsed()):
            left_out = [name for name, _, _ in parts[position - 1 :]]
            break
        print(f"== {position}/{len(parts)} {name}", flush=True)
        started = set_up.elapsed()
        try:
            status = subprocess.run(command, cwd=ROOT, env=variables).returncode
        except KeyboardInterrupt:
            status = 130
        seconds = set_up.elapsed() - started
        status = abs(status) if status != NOTHING_COLLECTED or name == UNIT else 0
        if name == UNIT:
            pace.start(seconds)
        else:
            pace.add(name, seconds, passed=status == 0)
        word = "ok" if status == 0 else f"status {status}"
        lines.append(f"{name:<32} {seconds:7.1f} s  {word}")
        yield status
        if status == 130:
            break
    print("\n" + "\n".join([*lines, *_left_out_in_words(left_out, minutes, pace)]), flush=True)


def _left_out_in_words(names, minutes, pace):
    if not names:
        return []
    said = f"{len(names)} not run: at {pace.value():.1f} times the recipes' minutes the next one would not end within"
    return ["", f"{said} COURSE_TEST_MINUTES={minutes:g}.", *(f"not run: {name}" for name in names)]


def refusals(log):
    """1, with the list printed, when the guard refused anything; a library may have swallowed the error itself."""
    if not log.exists():
        return 0
    print(
        "The guard refused connections. Some code tried to leave this machine:\n" + log.read_text(encoding="utf-8"),
        flush=True,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
