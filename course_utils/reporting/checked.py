"""What a reader passes to tables, plots, guesses and claims, checked at the door: one sentence that names the slip."""

import sys

from course_utils.data.rows import short

SLIPS = {  # what came instead of a number → what was likely meant
    "str": "Write it without quotes, with a point and not a comma, as 0.8.",
    "tuple": "Write it with a point and not a comma, as 0.8: 0,8 is two numbers.",
    "ellipsis": "Replace the … by a number.",
    "NoneType": "Was the cell that measures it run?",
    "Estimate": "Pass its mean and its interval.",
    "bool": "Write 1 or 0.",
}


def text(value, what, *, blank=False):
    """The value, when it is a text with something to read in it.

    Args:
        value: what came.
        what: how the message begins, as "The title".
        blank: whether it may be empty.

    Raises:
        ValueError: it is no text, or blank.
    """
    if not isinstance(value, str) or not (blank or value.strip()):
        raise ValueError(f"{what} is {short(value)}; expected a text{'' if blank else ' of at least one letter'}.")
    return value


def finite(value, what, slip="Is it the mean of no items, or the end of a run that diverged?"):
    """One finite number of Python's, numpy's or torch's, as Python's own int or float.

    Args:
        value, what: as for `text`.
        slip: what a NaN or an infinity likely comes from.

    Raises:
        ValueError: it is no number, several, or not finite.
    """
    value = value.item() if getattr(value, "shape", None) == () else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        hint = SLIPS.get(type(value).__name__, "Pass one number, for example their mean.")
        raise ValueError(f"{what} is {short(value)}; expected a number. {hint}")
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{what} is {short(value)}; expected a finite number. {slip}")
    return value


def ends(value, what):
    """(low, high) of an interval or a range, both finite.

    Raises:
        ValueError: it has not two ends, or they run backwards.
    """
    try:
        low, high = value
    except (TypeError, ValueError):
        raise ValueError(f"{what} is {short(value)}; expected two numbers, (low, high).") from None
    low, high = finite(low, what), finite(high, what)
    if low > high:
        raise ValueError(f"{what} ({low:g}, {high:g}) runs backwards; expected (low, high).")
    return low, high


def estimate(value, what):
    """The value, when it is an Estimate with a finite mean and its interval.

    Raises:
        ValueError: it is something else.
    """
    if any(not hasattr(value, name) for name in ("mean", "low", "high")) or callable(value.mean):
        raise ValueError(
            f"{what} is {short(value)}; expected an Estimate, as comparison.mean_interval gives it. "
            "A number without an interval is comparison.Estimate(x, x, x, 1, 1)."
        )
    finite(value.mean, f"The mean of {what}")
    interval((value.low, value.high), value.mean, f"The interval of {what}")
    return value


def interval(value, mean, what):
    """(low, high) of an interval around a mean.

    A bootstrap is not exact, so the mean may lie outside, but not by more than the interval's width.

    Raises:
        ValueError: as for `ends`, or the mean lies elsewhere.
    """
    low, high = ends(value, what)
    room = high - low + 1e-9 * max(1.0, abs(mean))
    if not low - room <= mean <= high + room:
        raise ValueError(
            f"{what} ({low:g}, {high:g}) lies far from the mean {mean:g}. Are both of one quantity? "
            "Pass found.mean and found.interval of one Estimate."
        )
    return low, high
