"""What every checker says and how: one line that names the case, what came and what was expected.

A learner may write for lists, numpy arrays or tensors: every case is tried in each of these forms, on copies, and a
function that is right in one of them is right.
"""

import contextlib
import copy
import io
import itertools
import math
import warnings
from collections.abc import Iterator

import numpy as np
import torch

from course_utils.reporting.numbers import Flag

ENDLESS = 100_000  # values after which a generator counts as one without end
LONGEST = 300  # characters shown of what a learner's function gave or raised


def passed(message):
    """Print praise; return what counts as True."""
    print(f"✓ {message}")
    return Flag(True)


def failed(message):
    """Print what is wrong; return what counts as False. A learner should not have to read a traceback."""
    print(f"✗ {message}")
    return Flag(False)


def attempt(function, *arguments):
    """(result, None), or (None, sentence) when the learner's function raised or returned nothing.

    The function gets copies: what it changes in place changes nothing here. A generator is read to its end, if it has
    one.
    """
    if not callable(function):
        return None, f"expected a function, got {short(function)}; pass its name alone, without quotes and brackets"
    try:
        result = function(*copy.deepcopy(arguments))
        result = list(itertools.islice(result, ENDLESS)) if isinstance(result, Iterator) else result
    except (Exception, SystemExit) as error:  # exit() in a learner's function shall not end the kernel
        return None, f"your function raised {type(error).__name__}: {_message(error)}"
    if isinstance(result, list) and len(result) >= ENDLESS:
        return (
            None,
            f"your function yields more than {ENDLESS:,} values, and may never end; yield one for each expected",
        )
    if result is None or result is Ellipsis:
        return None, "your function returns nothing yet; fill in the … and run the cell again"
    return result, None


def problem(function, cases, wrong, first="list"):
    """None when the function is right on all cases in one form; else the most helpful sentence.

    A wrong number tells a learner more than an exception, which may come of a form that he does not use.

    Args:
        function: the learner's.
        cases: tuples of arguments; lists, arrays and tensors among them are tried in each form, the rest as it is.
        wrong: (result, *case) → what is wrong with it, in a sentence, or None.
        first: the form tried first, as the notebook writes it: "list", "array" or "tensor".
    """
    found = []
    for form in sorted(_FORMS, key=lambda name: name != first):
        with _quiet(bool(found)):
            said = _first_problem(function, cases, wrong, _FORMS[form])
        if said is None:
            return None
        found.append(said)
    return min(found, key=lambda said: said[0])[1]


def verdict(function, cases, wrong, praise, first="list"):
    """Print praise, or the problem of the function, as `problem` finds it; return which."""
    found = problem(function, cases, wrong, first)
    return failed(found) if found else passed(praise)


def close(came, expected, tolerance=1e-6):
    """True when two numbers, or two nested lists of numbers of one shape, agree, whatever holds them.

    A single number counts as itself however many brackets stand around it. Texts are no numbers.
    """
    came, expected = numbers(came), numbers(expected)
    if came is None or expected is None:
        return False
    if came.size == expected.size == 1:
        came, expected = came.reshape(()), expected.reshape(())
    pairs = zip(came.flat, expected.flat, strict=False)
    return came.shape == expected.shape and all(
        math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance) for a, b in pairs
    )


def numbers(value):
    """A float64 array of what a number, a nested list, an array or a tensor holds; None when it holds no numbers."""
    try:
        return np.array(_floats(value), dtype=np.float64)
    except Exception:  # what a learner's function gives can fail in any way; all of them say: no numbers
        return None


def plain(value):
    """What an array or a tensor holds, as lists; anything else as it is."""
    try:
        return value.tolist() if hasattr(value, "tolist") else value
    except Exception:  # a tensor without storage has the method, but nothing to list
        return value


def short(value):
    """A value as a learner can read it, on one line."""
    try:
        return _one_line(_written(value))
    except Exception:
        return f"a value of type {type(value).__name__}"


def _first_problem(function, cases, wrong, form):
    """(0 for a wrong result or 1 for none, sentence) of the first case that fails, or None."""
    for case in cases:
        result, crash = attempt(function, *(form(value) for value in case))
        said = crash or wrong(result, *case)
        if said:
            return bool(crash), said
    return None


def _message(error):
    try:
        return _one_line(str(error))
    except Exception:  # an exception of the learner's own may fail at its text
        return "(its message cannot be read)"


def _as_list(value):
    return value.tolist() if isinstance(value, np.ndarray | torch.Tensor) else value


def _as_array(value):
    return np.array(_as_list(value)) if isinstance(value, list | np.ndarray | torch.Tensor) else value


def _as_tensor(value):
    """Texts stay a list: no tensor holds them."""
    array = _as_array(value)
    return torch.tensor(_as_list(value)) if isinstance(array, np.ndarray) and array.dtype.kind in "bif" else value


_FORMS = {"list": _as_list, "tensor": _as_tensor, "array": _as_array}


@contextlib.contextmanager
def _quiet(hush):
    """Hide what a function prints or warns of when it is tried again in another form."""
    with contextlib.ExitStack() as stack:
        if hush:
            stack.enter_context(warnings.catch_warnings())
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            warnings.simplefilter("ignore")
        yield


def _floats(value):
    value = plain(value)
    if isinstance(value, list | tuple | range):
        return [_floats(item) for item in value]
    if isinstance(value, str | bytes):
        raise TypeError(f"{value!r} is a text.")
    return float(value)


def _written(value):
    value = plain(value)
    if value is Ellipsis:
        return "…"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_written(item) for item in value) + "]"
    return repr(value)


def _one_line(text):
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"
