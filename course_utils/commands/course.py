"""`python -m course_utils course`: runs every notebook in order and says which claims hold on this machine."""

import argparse
import ast
import json
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import nbformat

from course_utils import assets, flags, folders, records, runtime
from course_utils.commands import notebook_runner
from course_utils.reporting import claims, predictions
from course_utils.setup import environment

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def main(argv=None):
    """Run the notebooks, print one summary table.

    Returns:
        The exit status: 0; 1 when a cell failed, or a required claim does not hold or was never checked; 2 when
        there is nothing to run; 130 after Ctrl-C. What was measured until then is kept in any case.
    """
    options = _parser().parse_args(argv)
    folders.settle()  # each kernel starts in the folder of its notebook
    try:
        chosen = select(options.notebooks, options.folder)
        runtime.check_settings()  # else each notebook would say it anew
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    environment.fetch_missing_assets(needed(chosen) if options.notebooks else None)
    with _place(options.save):
        outcomes = _run_all(chosen, options)
        names = {outcome.notebook for outcome in outcomes}
        shown = [record for record in claims.kept() if record["notebook"] in names]
        required = [(path.stem, id) for path in chosen if path.stem in names for id in required_claims(path)]
        broken = claims.broken(names, required)
    print("\n" + summary(outcomes, shown), flush=True)
    if broken:
        print("\nrequired, and not shown to hold:", *(f"{record['id']} ({record['verdict']})" for record in broken))
    if any(outcome.status == "interrupted" for outcome in outcomes):
        return 130
    return int(bool(broken) or any(outcome.status != "ok" for outcome in outcomes))


def _parser():
    parser = argparse.ArgumentParser(prog="python -m course_utils course", description=main.__doc__.split("\n")[0])
    parser.add_argument("--notebooks", default="", metavar='"00 05"', help="numbers or names; all by default")
    parser.add_argument("--folder", type=Path, default=NOTEBOOKS, help="where the notebooks are")
    parser.add_argument("--timeout", type=flags.seconds, help="seconds that one cell may take; no limit by default")
    saving = "for authors: run as the tests do, and put the outputs into the notebooks themselves"
    parser.add_argument("--save", action="store_true", help=saving)
    return parser


def select(wanted, folder=None):
    """The notebooks in the order of their numbers.

    Args:
        wanted: numbers or names with blanks or commas between them, as "00 05"; "" means all.
        folder: where they are, by default the notebooks/ of this clone.

    Raises:
        ValueError: a name that fits none; lists those that there are.
    """
    folder = Path(folder or NOTEBOOKS)
    available = sorted(folder.glob("*.ipynb"))
    if not available:
        raise ValueError(f"There is no notebook in {folder}. Is the clone complete?")
    words = wanted.replace(",", " ").split()
    if wanted and not words:
        raise ValueError(f"{wanted!r} names no notebook. There are: {', '.join(path.stem for path in available)}.")
    chosen = {word: [p for p in available if word in (p.stem, p.name, p.stem.split("_")[0])] for word in words}
    unknown = [word for word in words if not chosen[word]]
    if unknown:
        raise ValueError(f"No notebook {', '.join(unknown)}. There are: {', '.join(path.stem for path in available)}.")
    return [path for path in available if not words or any(path in found for found in chosen.values())]


def needed(paths):
    """The names of the assets that some notebooks need; what is not written down there is fetched when they ask."""
    return [name for name in assets.ASSETS if any(name in assets.needed_by(path.stem) for path in paths)]


def required_claims(path):
    """The ids of the required claims that a notebook writes down in plain words: each must leave a record."""
    cells = nbformat.read(path, as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code" and "claims.expect" in cell.source]
    found = []
    for call in (node for source in sources for node in ast.walk(_tree(source)) if isinstance(node, ast.Call)):
        words = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
        id = getattr(call.args[0], "value", None) if call.args else words.get("id")
        if ast.unparse(call.func).endswith("claims.expect") and words.get("kind") == "required" and id:
            found.append(id)
    return found


def _tree(source):
    """The syntax tree of a cell; an empty one for a cell that is no Python by itself, and so fails when it runs."""
    try:
        return ast.parse("\n".join(line for line in source.splitlines() if not line.startswith(("%", "!"))))
    except SyntaxError:
        return ast.Module([], [])


def isolated(folder):
    """The environment in which notebooks are tested and saved: smallest tier, no network, nothing from earlier runs.

    Args:
        folder: an empty folder; assets and converted models stay shared, they are the same for everyone.
    """
    return {
        "COURSE_RUNS": str(Path(folder) / "runs"),
        "COURSE_RESULTS": str(Path(folder) / "results"),
        "COURSE_OFFLINE": "1",
        "COURSE_TIER": "cpu",
        "CUDA_VISIBLE_DEVICES": "-1",  # a GPU's numbers are others
        "COURSE_SEED": "0",
        "OMP_NUM_THREADS": "2",
    }


@contextmanager
def _place(save):
    """Where results and runs go: the reader's own folders, or for a copy to commit a fresh place as in the tests."""
    if not save:
        yield
        return
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(isolated(folder))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def _run_all(paths, options):
    outcomes = []
    for position, path in enumerate(paths, 1):
        print(f"[{position}/{len(paths)}] {path.stem}", flush=True)
        outcome = _run_one(path, options)
        outcomes.append(outcome)
        print(f"  {outcome.status}, {outcome.seconds:.0f} s, {outcome.peak_memory_mb:.0f} MB", flush=True)
        if outcome.status == "interrupted":
            break
    return outcomes


def _run_one(path, options):
    """Run a notebook and keep its row at once, so that an interrupt of a later one loses nothing."""
    results = runtime.results()
    claims.forget(path.stem)
    predictions.forget(path.stem)
    executed = results / "executed" / path.name
    outcome = notebook_runner.run_notebook(
        path, executed=executed, timeout=options.timeout, save=options.save, report=_progress
    )
    records.replace(results / "notebooks.json", outcome.row(), keys=("notebook",))
    if options.save and outcome.status == "ok":
        _copy_to_commit(executed, path)
    return outcome


def _copy_to_commit(executed, path):
    """Take over the outputs, without the name of the temporary folder that they were made in."""
    folder = json.dumps(str(Path(os.environ["COURSE_RUNS"]).parent))[1:-1]
    path.write_text(executed.read_text(encoding="utf-8").replace(folder, "(temporary)"), encoding="utf-8")


def _progress(text, end="\n"):
    print(text, end=end, flush=True)


def summary(outcomes, shown):
    """The one table at the end: a line for each notebook, then a line for each claim.

    Args:
        outcomes: list of notebook_runner.Outcome.
        shown: claim records.
    """
    lines = [f"{'notebook':<32} {'status':<12} {'minutes':>7} {'peak GB':>8} {'cells':>6}"]
    for outcome in outcomes:
        minutes, memory = outcome.seconds / 60, outcome.peak_memory_mb / 1000
        lines.append(f"{outcome.notebook:<32} {outcome.status:<12} {minutes:>7.1f} {memory:>8.1f} {outcome.cells:>6}")
        if outcome.error:
            lines.append(f"    {outcome.failed_cell or 'kernel'}: {outcome.error.splitlines()[0]}")
    if shown:
        lines += ["", f"{'claim':<32} {'verdict':<12} {'kind':<10} {'measured':>9} {'interval':>18}  threshold"]
    lines += [_claim_line(record) for record in shown]
    return "\n".join(lines)


def _claim_line(record):
    measured = "" if record["measured"] is None else f"{record['measured']:.4g}"
    interval = "" if record["interval"] is None else "{:.3g} … {:.3g}".format(*record["interval"])
    sign = {"at_least": "≥", "at_most": "≤"}[record["direction"]]
    return (
        f"{record['id']:<32} {record['verdict']:<12} {record['kind']:<10} {measured:>9} {interval:>18}  "
        f"{sign} {record['threshold']:g}"
    )


if __name__ == "__main__":
    sys.exit(main())
