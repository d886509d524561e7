"""What can be drawn: each part of a plot, checked before a figure is begun, with the slip named in one sentence."""

import numpy as np
from matplotlib import colors

from course_utils.data.rows import short
from course_utils.reporting import checked

INCHES = (0.5, 100)  # a plot's smallest and largest side


def axes(size, alt, **texts):
    """Raise ValueError unless title and labels are texts, and the size is one in inches."""
    for name, text in texts.items():
        checked.text(text, f"The plot's {name}", blank=True)
    if alt is not None:
        checked.text(alt, "The plot's alt")
    if size is not None:
        sides = tuple(size) if hasattr(size, "__iter__") and not isinstance(size, str) else ()
        if len(sides) != 2 or not all(
            INCHES[0] <= checked.finite(side, "A side of the plot") <= INCHES[1] for side in sides
        ):
            raise ValueError(
                f"The plot's size is {short(size)}; expected (width, height) in inches, each from {INCHES[0]} to "
                f"{INCHES[1]}."
            )


def drawn(ax):
    """Raise ValueError where a reader would see an empty frame, or a line that is named and not there."""
    if not (ax.has_data() or ax.texts):
        raise ValueError("Nothing was drawn in the plot. Draw on ax inside the with block, as ax.plot([1, 2]).")
    for line in ax.lines:
        if not np.isfinite(line.get_xydata()).all(1).any():
            raise ValueError(
                f"The line {line.get_label()!r} has no finite point to draw. Is it empty, or all NaN after a run that "
                "diverged?"
            )


def probabilities(pairs):
    """The pairs as a list of (text, float), each probability from 0 to 1; ValueError when they are something else."""
    pairs = list(pairs) if hasattr(pairs, "__iter__") and not isinstance(pairs, dict | str) else []
    if not pairs or any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in pairs):
        raise ValueError(
            f"Expected pairs as [(' Paris', 0.6), …], got {short(pairs)}. Take them from sampling.top_next."
        )
    for text, chance in pairs:
        checked.text(text, "A token to draw", blank=True)
        if not -1e-6 <= checked.finite(chance, f"The probability of {text!r}") <= 1 + 1e-6:
            raise ValueError(
                f"The probability of {text!r} is {chance:g}; expected 0 to 1. Is it a percentage, or a log-probability?"
            )
    return [(text, min(1.0, max(0.0, float(chance)))) for text, chance in pairs]


def bars(estimates, ours, human):
    """The names of the bars, after refusing what cannot be drawn."""
    if not isinstance(estimates, dict) or not estimates:
        raise ValueError(f"The bars are {short(estimates)}; expected {{name: Estimate}} with at least one of them.")
    for name, estimate in estimates.items():
        checked.estimate(estimate, f"the bar {checked.text(name, 'The name of a bar')!r}")
    unknown = [ours] if isinstance(ours, str) or not hasattr(ours, "__iter__") else set(ours) - estimates.keys()
    if unknown:
        raise ValueError(f"No bar is named {short(*unknown)}; ours is a list of some of {list(estimates)}.")
    if human is not None:
        checked.finite(human, "The value of the dashed line, human,")
    return list(estimates)


def curve(x, series, lines, ylim):
    """Raise ValueError unless every line has an Estimate for every label, and a colour."""
    if isinstance(x, str) or not hasattr(x, "__len__") or not len(x):
        raise ValueError(f"The labels x are {short(x)}; expected a list with one for each place, as [0, 1, 2].")
    if not isinstance(series, dict) or not series:
        raise ValueError(f"The series are {short(series)}; expected {{name: (color, [Estimate, …])}}.")
    for name, line in series.items():
        _check_colour(name, line)
        if len(line[1]) != len(x):
            raise ValueError(f"The line {name!r} has {len(line[1])} estimates for {len(x)} labels; expected as many.")
        for label, estimate in zip(x, line[1], strict=True):
            checked.estimate(estimate, f"the line {name!r} at {label}")
    for line in lines:
        _check_colour(line, line[1:] if isinstance(line, tuple) else line)
        checked.finite(line[2], f"The line {line[0]!r}")
    if ylim is not None and len({*checked.ends(ylim, "The range ylim")}) < 2:
        raise ValueError(f"The range ylim is {short(ylim)}; expected two different ends.")


def _check_colour(name, line):
    if not isinstance(line, tuple) or len(line) != 2 or not colors.is_color_like(line[0]):
        raise ValueError(
            f"The line {short(name)} begins with no colour; expected (color, estimates) in series, and "
            "(name, color, value) in lines, with a colour such as plots.OURS."
        )
