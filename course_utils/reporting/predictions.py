"""The reader's own guesses, written down before a run and scored after it: what surprised you is what you learned.

    predictions.predict("icl-16-shot", 0.80, question="accuracy with 16 examples", within=(0, 1))
    …the run…
    predictions.score("icl-16-shot", accuracy)

The ledger is a file among the reader's runs and lasts over all notebooks. A headless run (`make course`, the tests)
keeps its default guesses apart, in the results, so that it never answers in the reader's place.
"""

import os
from datetime import UTC, datetime

from course_utils import records, runtime
from course_utils.data import rows
from course_utils.reporting import checked, numbers
from course_utils.reporting.claims import notebook_name
from course_utils.reporting.numbers import Flag


def path():
    """Where the ledger is kept."""
    return headless_path() if os.environ.get("COURSE_NOTEBOOK") else runtime.runs() / "predictions.json"


def headless_path():
    """Where the default guesses of a headless run go."""
    return runtime.results() / "predictions.json"


def predict(id, value, *rest, question, unit="", within=None):
    """Write a guess down before the run.

    Args:
        id: the question's fixed name.
        value: your guess, a number of Python's or numpy's; `rest` stays empty: 0,8 means two numbers.
        question: what is guessed, in a few words.
        unit: printed behind numbers, as "%" or "tokens/s".
        within: (low, high) that a sensible guess lies in, or None.

    Raises:
        ValueError: the guess is no number, or outside `within`; a text is none, or `within` no range.

    A guess may change until it is scored. After that the first one stays: the answer is known.
    """
    checked.text(id, "The name of your guess")
    checked.text(question, f"The question of {id!r}")
    checked.text(unit, f"The unit of {id!r}", blank=True)
    value = _guess(id, value, *rest)
    within = None if within is None else checked.ends(within, f"The range of {id!r}, within,")
    if within is not None and not within[0] <= value <= within[1]:
        raise ValueError(
            f"Your guess for {id!r} is {value:g}; it must lie between {within[0]:g} and {within[1]:g}. "
            "Is it a percentage where a share is asked?"
        )
    old = _find(id)
    if old and old["measured"] is not None and old["guess"] != value:
        print(f"You have seen the answer, so your first guess stays: {_number(old['guess'], unit)} – {question}")
        return
    if old is None or old["measured"] is None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = {
            "id": id, "notebook": notebook_name(), "question": question, "unit": unit, "guess": value,
            "within": None if within is None else list(within), "measured": None, "close": None, "predicted_at": now,
        }  # fmt: skip
        records.replace(path(), record, keys=("id",))
    print(f"your guess, before the run: {_number(value, unit)} – {question}")


def score(id, measured, *, tolerance=None, digits=2, exact=False):
    """Print guess and truth, say whether they are close, and put the truth into the ledger.

    Args:
        measured: what the run gave.
        tolerance: how far off is still close; by default a tenth of the question's range, or of the truth.
        digits: decimals of the truth that are printed, behind the mark ≈.
        exact: whether every machine gets this very number; then it is printed without the mark.

    Returns:
        True when close, None when nothing was guessed.

    Raises:
        ValueError: the truth is no finite number, the tolerance below zero, or digits no count.
    """
    checked.text(id, "The name of your guess")
    rows.whole("digits", digits, 0)
    measured = round(float(checked.finite(measured, f"What was measured for {id!r}")), digits)
    if tolerance is not None and checked.finite(tolerance, f"The tolerance for {id!r}") < 0:
        raise ValueError(f"The tolerance for {id!r} is {tolerance}; expected how far off is still close, at least 0.")
    record = _find(id)
    if record is None:
        print(f"no guess written down for {id!r}; it is {_truth(measured, '', digits, exact)}")
        return None
    if tolerance is None:
        low, high = record["within"] or (0, measured)
        tolerance = 0.1 * abs(high - low)
    gap = round(record["guess"] - measured, digits)
    record["measured"], record["close"] = measured, abs(gap) <= tolerance + 1e-9
    records.replace(path(), record, keys=("id",))
    word = "close" if record["close"] else "too high" if gap > 0 else "too low"
    unit = record["unit"]
    print(f"you said {_number(record['guess'], unit)}, it is {_truth(measured, unit, digits, exact)}: {word}")
    return Flag(record["close"])


def ledger():
    """All guesses so far, in the order they were made.

    Returns:
        list of {id, notebook, question, unit, guess, within, measured, close, predicted_at}; `measured` and `close`
        are None until scored.
    """
    return records.read(path(), fields=("id", "guess", "unit", "within", "measured"))


def forget(notebook):
    """Drop what a headless run guessed for a notebook, so that its next headless run starts anew."""
    records.update(headless_path(), lambda kept: [record for record in kept if record.get("notebook") != notebook])


def _guess(id, *parts):
    """The guess as Python's own int or float; raises ValueError, with the likely slip, when it is no finite number."""
    value = parts[0] if len(parts) == 1 else parts
    wrong = "Is it the result of a calculation that went wrong? Write the number itself."
    return checked.finite(value, f"Your guess for {id!r}", wrong)


def _find(id):
    return next((record for record in ledger() if record["id"] == id), None)


def _truth(value, unit, digits, exact):
    return ("" if exact else numbers.MARK) + _number(value, unit, digits)


def _number(value, unit, digits=None):
    text = f"{value:,.{digits}f}" if digits is not None else f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return f"{text} {unit}".strip() if unit != "%" else f"{text}%"
