"""Claims with a threshold that is written down before the run and cannot move after it.

    claims.expect("icl-few-shot", statement="examples in the prompt raise accuracy", baseline="calibrated zero-shot",
                  kind="required", at_least=0.0)
    …the run…
    claims.check("icl-few-shot", measured=0.10, interval=(0.06, 0.14), n=400)

Each prints a line, and below it what is measured and against what. `check` shows value and interval behind the mark ≈
of `numbers`, then the threshold and the verdict, which are the same on every machine where the claim comes out alike.
The numbers go to `results/claims.json`. A `required` claim gates `make course`; an `observed` one reports.
"""

import os
import textwrap
from pathlib import Path

from course_utils import records, runtime
from course_utils.data import rows
from course_utils.reporting import checked, numbers
from course_utils.reporting.numbers import Word

KINDS = ("required", "observed")
UNCHECKED = "unchecked"
_checked = {}  # (notebook, id) → (direction, threshold) that this process has already measured against


def notebook_name():
    """The notebook that runs now: as the course runner says, else as Jupyter or VS Code says, else "interactive"."""
    name = os.environ.get("COURSE_NOTEBOOK") or os.environ.get("JPY_SESSION_NAME")
    if not name:
        try:
            name = get_ipython().user_ns.get("__vsc_ipynb_file__")  # IPython puts get_ipython among the builtins
        except NameError:
            name = None
    return Path(name).stem if name else "interactive"


def path():
    """Where the claims are kept."""
    return runtime.results() / "claims.json"


def expect(id, *, statement, baseline, kind, at_least=None, at_most=None, recorded=False):
    """Write a claim down before the run; `check` measures it later.

    Args:
        id: the claim's fixed name, as `icl-few-shot`.
        statement: what is claimed, in one sentence without a full stop.
        baseline: the strongest cheap alternative that it is compared with.
        kind: "required" (gates `make course`) or "observed" (reported, whatever comes out).
        at_least, at_most: the threshold; exactly one of the two.
        recorded: whether `check` will read a recording that comes with the course, no run of the reader's.

    Raises:
        ValueError: no threshold or two, an unknown kind, a text left out, or a threshold that moves after its check.
    """
    _check_texts(id, kind=kind, statement=statement, baseline=baseline)
    direction, threshold = _threshold(id, at_least, at_most)
    notebook = notebook_name()
    _refuse_moved(id, _checked.get((notebook, id)), (direction, threshold))
    terms = {"kind": kind, "statement": statement, "baseline": baseline, "direction": direction}
    record = _blank(id, notebook, threshold=threshold, **terms)
    records.replace(path(), record)
    run = "course's recording" if recorded else "run"
    _say(f"written down before the {run}: {id} ({kind}): {_bound(record)}", record)


def check(
    id,
    *,
    measured,
    interval=None,
    n=None,
    at_least=None,
    at_most=None,
    kind=None,
    baseline=None,
    statement=None,
    exact=False,
):
    """Compare a measurement with the claim as it was written down, print the verdict, keep the numbers.

    Args:
        measured: the number; `interval`: its (low, high), or None when the measurement is exact; `n`: how many items.
        exact: whether every machine gets this very number, as a count of weights or what stands in a record; then it is
            printed without the mark.
        at_least, at_most, kind, baseline, statement: may repeat what `expect` said, never change it. A claim that
            was not expected needs all of them here.

    Returns:
        "holds", "fails", or "undecided" when the interval reaches the threshold or has it inside.

    Raises:
        ValueError: the threshold moved, the claim is not known and not complete, a number is not finite, or the
            interval lies away from what was measured.
    """
    notebook = notebook_name()
    said = {"kind": kind, "baseline": baseline, "statement": statement}
    if (at_least, at_most) != (None, None):
        said["direction"], said["threshold"] = _threshold(id, at_least, at_most)
    said = {name: value for name, value in said.items() if value is not None}
    _check_texts(id, **said)
    record = _agreed(id, notebook, said)
    record.update(measured=_finite(id, "measured", measured), n=None if n is None else _count(id, n))
    if interval is not None:
        interval = list(map(float, checked.interval(interval, record["measured"], f"Claim {id!r}: interval")))
    record["interval"] = interval
    record["verdict"] = verdict(record["measured"], record["interval"], record["direction"], record["threshold"])
    record["holds"] = record["verdict"] == "holds"
    records.replace(path(), record)
    _checked[notebook, id] = (record["direction"], record["threshold"])
    shown = f"{_measured(record, exact)} against {_bound(record)}: {record['verdict']}"
    _say(f"{id} ({record['kind']}): {shown}", record)
    return Word(record["verdict"])


def verdict(measured, interval, direction, threshold):
    """ "holds", "fails" or "undecided": an interval must lie beyond the threshold, an exact number may equal it."""
    low, high = interval or (measured, measured)
    if direction == "at_most":
        low, high, threshold = -high, -low, -threshold
    if low > threshold or (interval is None and low == threshold):
        return "holds"
    return "fails" if high < threshold else "undecided"


def broken(notebooks, required=()):
    """The required claims of these notebooks that do not hold, with those that were never checked.

    Args:
        notebooks: names, as `05_in_context_learning`.
        required: (notebook, id) of each claim that must have a record; one without is broken, too.
    """
    here = [record for record in kept() if record["notebook"] in notebooks]
    known = {(record["notebook"], record["id"]) for record in here}
    absent = [{"id": id, "notebook": name, "verdict": "no record"} for name, id in required if (name, id) not in known]
    return [record for record in here if record["kind"] == "required" and not record["holds"]] + absent


def forget(notebook):
    """Drop a notebook's records, so that a new run cannot pass on the results of an old one."""
    records.update(path(), lambda old: [record for record in old if record.get("notebook") != notebook])


def kept():
    """All records there are, each with the fields that a verdict needs."""
    return records.read(path(), fields=("id", "notebook", "kind", "direction", "threshold", "holds"))


def _blank(id, notebook, *, kind, statement, baseline, direction, threshold):
    return {
        "id": id, "notebook": notebook, "kind": kind, "statement": statement, "baseline": baseline, "measured": None,
        "threshold": threshold, "direction": direction, "interval": None, "n": None, "verdict": UNCHECKED,
        "holds": False,
    }  # fmt: skip


def _say(line, record):
    """Print a line, and below it what is measured and against what: a notebook breaks longer lines inside a word."""
    indent = "    "
    below = (record["statement"], f"against {record['baseline']}")
    wrapped = [textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=2 * indent) for text in below]
    print(line, *wrapped, sep="\n")


def _bound(record):
    return f"{record['direction'].replace('_', ' ')} {record['threshold']:g}"


def _measured(record, exact):
    """The value with its interval as the reader sees it; a difference from zero gets its sign."""
    signed = record["threshold"] == 0 and record["measured"] is not None
    if record["interval"] is not None:
        shown = numbers.recorded if exact else numbers.estimate
        return shown(record["measured"], record["interval"], signed=signed)
    return f"{record['measured']:,.6g}" if exact else numbers.about(record["measured"], signed=signed)


def _threshold(id, at_least, at_most):
    if (at_least is None) == (at_most is None):
        raise ValueError(f"Claim {id!r} needs one threshold, at_least=… or at_most=…; got {at_least=}, {at_most=}.")
    if at_least is not None:
        return "at_least", _finite(id, "at_least", at_least)
    return "at_most", _finite(id, "at_most", at_most)


def _check_texts(id, **said):
    """Refuse a name, kind, statement or baseline that nobody could read."""
    checked.text(id, "The claim's name")
    if said.get("kind", KINDS[0]) not in KINDS:
        raise ValueError(f"Claim {id!r} has kind {said['kind']!r}; expected 'required' or 'observed'.")
    for name in {"statement", "baseline"} & said.keys():
        checked.text(said[name], f"Claim {id!r}: {name}")


def _finite(id, name, value):
    return float(checked.finite(value, f"Claim {id!r}: {name}"))


def _count(id, n):
    rows.whole(f"Claim {id!r}: n", n, 1)
    return int(n)


def _agreed(id, notebook, said):
    """The record to fill: as expected, after refusing what `check` says otherwise; or made of what check says alone."""
    known = [record for record in kept() if (record["notebook"], record["id"]) == (notebook, id)]
    if not known:
        missing = [name for name in ("kind", "statement", "baseline", "threshold") if name not in said]
        if missing:
            raise ValueError(
                f"Claim {id!r} was not written down before the run, and check leaves out {', '.join(missing)}.\n"
                "Run the cell with claims.expect(…) near the top of the notebook first."
            )
        return _blank(id, notebook, **said)
    expected = known[0]
    _refuse_moved(
        id,
        (expected["direction"], expected["threshold"]),
        (said.get("direction", expected["direction"]), said.get("threshold", expected["threshold"])),
    )
    for name in ("kind", "baseline", "statement"):
        if name in said and said[name] != expected[name]:
            raise ValueError(
                f"Claim {id!r}: check says {name} {said[name]!r}; before the run it was {expected[name]!r}.\n"
                "Leave it out of check, or correct claims.expect and restart the notebook."
            )
    return expected


def _refuse_moved(id, before, now):
    if before is not None and before != now:
        raise ValueError(
            f"The threshold of claim {id!r} moved after the run: {before[0]} {before[1]:g} was written down, "
            f"now it is {now[0]} {now[1]:g}.\nA threshold chosen after the result proves nothing. "
            "Restore it, or restart the notebook and run it from the top with the new one."
        )
