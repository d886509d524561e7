"""Measured numbers as a reader sees them: `≈0.94` may differ in its last digits on another machine.

The mark stands before every number that depends on the machine, and before no other. The tests leave out exactly what
stands behind it, so that a changed verdict, an unmarked number or a missing line is still noticed. What was said in
words is no number to see: a `Word` or a `Flag` stays silent.
"""

import math

from course_utils.data import rows
from course_utils.reporting import checked

MARK = "≈"
# what the mark covers: blanks that align it, sign, digits with thousands, decimals, exponent; the unit is compared
PATTERN = r" *≈[+−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"


def about(value, *, spread=None, digits=None, signed=False, percent=False):
    """A measured number behind the mark, with as many digits as it is sure of.

    Args:
        value: the number.
        spread: half the width of its interval; its second significant digit is the last one shown. Without it and
            without `digits`, three significant digits.
        digits: decimals to show, instead.
        signed: whether a positive number gets its sign, as a difference should.
        percent: show 0.25 as 25%; spread and digits then count in percent as well.

    Raises:
        ValueError: value or spread is no finite number, or digits no count.
    """
    scale = 100 if percent else 1
    number = float(checked.finite(value, "The number to show")) * scale
    if digits is None:
        digits = _decimals(number, None if spread is None else abs(checked.finite(spread, "The spread")) * scale)
    rows.whole("digits", digits, 0)
    text = f"{number:{'+' if signed else ''},.{digits}f}"
    if not any(digit in text for digit in "123456789"):  # −0.00 is zero
        text = text.replace("-", "+" if signed else "")
    return f"{MARK}{text.replace('-', '−')}" + "%" * percent


def estimate(mean, interval=None, *, signed=False, percent=False):
    """`≈+0.11 [≈+0.09, ≈+0.13]`: a mean with its interval, all three to the same digit.

    Args:
        mean: the number, or an `Estimate`, which brings its interval along.
        interval: (low, high).
        signed, percent: as for `about`.

    Raises:
        ValueError: a number is not finite, or the interval has not two ends in their order.
    """
    if interval is None:
        checked.estimate(mean, "the estimate to show, which came without an interval,")
        mean, interval = mean.mean, mean.interval
    mean = checked.finite(mean, "The mean to show")
    low, high = checked.interval(interval, mean, "The interval to show")
    scale = 100 if percent else 1
    digits = _decimals(scale * mean, scale * (high - low) / 2)
    shown = [about(number, digits=digits, signed=signed, percent=percent) for number in (mean, low, high)]
    return "{} [{}, {}]".format(*shown)


def recorded(mean, interval=None, *, signed=False, percent=False):
    """The same without the mark: what stands in a record is the same on every machine."""
    return estimate(mean, interval, signed=signed, percent=percent).replace(MARK, "")


def decimals_of(size, significant=2):
    """Decimals that show a number of this size to so many significant digits; at most six."""
    size = abs(checked.finite(size, "The size"))
    return min(6, max(0, significant - 1 - math.floor(math.log10(size)))) if size else 2


def _decimals(number, spread):
    """Decimals to show: to the second significant digit of the spread, else three significant digits."""
    return decimals_of(spread) if spread else decimals_of(abs(number), 3)


class Silent:
    """A mix-in: IPython shows nothing for it, although it is a cell's last value; it was printed already, in words."""

    def _ipython_display_(self):
        """Say nothing."""


class Word(Silent, str):
    """A verdict."""


class Flag(Silent, int):
    """A yes or no; bool itself cannot be extended."""

    def __repr__(self):
        return repr(bool(self))
