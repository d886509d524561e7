"""Plots that the last row of a classroom can read: few lines, large type, labelled axes with units."""

import contextlib
import functools

import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.category import StrCategoryFormatter
from matplotlib.ticker import FixedFormatter, FuncFormatter

OURS, BASELINE, HUMAN, MUTED = "#1f5fa8", "#c4572b", "#3b7d3a", "#8a8a8a"
OTHER_SCRIPTS = ("NanumGothic", "Noto Sans CJK KR", "Malgun Gothic", "Apple SD Gothic Neo", "Noto Sans Arabic")
_STYLE = {
    "figure.figsize": (9, 4.6),
    "figure.dpi": 100,
    "font.size": 14,
    "axes.titlesize": 15,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 2.5,
    "lines.markersize": 8,
    "legend.frameon": False,
}


@contextlib.contextmanager
def axes(*, title, xlabel, ylabel, size=None):
    """`with plots.axes(title=…, xlabel=…, ylabel=…) as ax:` draws one plot in the course's style and shows it."""
    with plt.rc_context(_STYLE | {"font.family": _families()}):
        figure, ax = plt.subplots(figsize=size)
        ax.set(xlabel=drawable(xlabel), ylabel=drawable(ylabel))
        ax.set_title(drawable(title), loc="left")
        try:
            yield ax
            if ax.get_legend_handles_labels()[1]:
                ax.legend()
            _as_typed(ax)
            figure.tight_layout()
            plt.show()
        finally:
            plt.close(figure)  # a kernel would keep it for good, and show a half-drawn one after an error


def _as_typed(ax):
    """Draw what people typed as it stands: a $ begins no formula. Numbers on a logarithmic axis stay what they are."""
    texts = [ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
    for axis in (ax.xaxis, ax.yaxis):
        if isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter | StrCategoryFormatter):
            texts += axis.get_ticklabels()
    if ax.get_legend():
        texts += ax.get_legend().get_texts()
    for text in texts:
        text.set_parse_math(False)


def drawable(text):
    """A text whose characters a font here can draw; others are written as their code, as \\ud55c, and not as boxes."""
    held = _characters()
    return "".join(
        letter
        if (letter.isprintable() and ord(letter) in held) or letter in "\n\t"
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


@functools.cache
def _families():
    """The plots' fonts: matplotlib's own, then what this machine has for other scripts."""
    here = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in here)]


@functools.cache
def _characters():
    """The code points that the plots' fonts hold."""
    files = [font_manager.findfont(font_manager.FontProperties(family=name)) for name in _families()]
    return frozenset(code for file in files for code in font_manager.get_font(file).get_charmap())


def next_tokens(pairs, *, title):
    """Bars of (token, probability), the most probable on top; blanks are drawn as ␣ and line breaks as ↵."""
    names = [visible_token(token) for token, _ in pairs]
    with axes(title=title, xlabel="probability of the next token", ylabel="") as ax:
        bars = ax.barh(range(len(pairs)), [p for _, p in pairs], color=OURS)
        ax.bar_label(bars, [f"{p:.1%}" for _, p in pairs], padding=4)
        ax.set_yticks(range(len(pairs)), names)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_xlim(0, 1.15 * max(p for _, p in pairs))


def bars(estimates, *, ours, title, xlabel, human=None):
    """Horizontal bars with intervals.

    Args:
        estimates: {name: Estimate}, drawn from top to bottom; the last is ours, the others what it is compared with.
        human: value of a dashed line, or None.
    """
    names = list(estimates)
    colors = [OURS if name in ours else BASELINE for name in names]
    with axes(title=title, xlabel=xlabel, ylabel="", size=(9, 1.4 + 0.6 * len(names))) as ax:
        means = [estimate.mean for estimate in estimates.values()]
        spread = [[e.mean - e.low for e in estimates.values()], [e.high - e.mean for e in estimates.values()]]
        ax.barh(names, means, color=colors, xerr=spread, capsize=5, ecolor="#333333")
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        if human is not None:
            ax.axvline(human, color=HUMAN, linestyle="--")
            above = ax.get_xaxis_transform()  # x in data, y from 0 to 1: a legend would lie on the line
            ax.text(human, 1.01, "one person", color=HUMAN, ha="right", va="bottom", transform=above)


def curve(x, series, *, title, xlabel, ylabel, lines=(), ylim=None):
    """Lines with interval bands over evenly spaced x labels.

    Args:
        x: labels, as (0, 1, 2, 4, 8, 16).
        series: {name: (color, list of Estimate)}.
        lines: (name, color, value) of horizontal lines to compare with.
    """
    places = range(len(x))
    with axes(title=title, xlabel=xlabel, ylabel=ylabel) as ax:
        for name, (color, estimates) in series.items():
            ax.plot(places, [e.mean for e in estimates], "o-", color=color, label=name)
            ax.fill_between(places, [e.low for e in estimates], [e.high for e in estimates], color=color, alpha=0.15)
        for name, color, value in lines:
            ax.axhline(value, color=color, linestyle="--", label=name)
        ax.set_xticks(places, [str(label) for label in x])
        if ylim:
            ax.set_ylim(*ylim)


def visible_token(token):
    """A token as it is drawn: ␣ for a leading blank, ↵ for a line break."""
    token = drawable(token.replace("\n", "↵").replace("\t", "⇥"))
    return "␣" * (len(token) - len(token.lstrip(" "))) + token.lstrip(" ")
