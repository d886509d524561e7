"""Plots that the last row of a classroom can read: few lines, large type, labelled axes with units.

Each colour has a marker of its own, no two colours look alike to people who are red-green blind (a test simulates
them), and each plot carries a text that says what it shows, for those who do not see it.
"""

import base64
import contextlib
import functools
import io
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.category import StrCategoryFormatter
from matplotlib.ticker import FixedFormatter, FuncFormatter

from course_utils import machine
from course_utils.reporting import checked, numbers, plot_checks

OURS, BASELINE, HUMAN, MUTED = "#1f5fa8", "#c8500a", "#222222", "#a8a8a8"
PALETTE = (OURS, BASELINE, HUMAN, MUTED, "#f0e442")
MARKERS = dict(zip(PALETTE, "os^Dv", strict=True))
MARKED = 12  # markers on a line at most
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
def axes(*, title, xlabel, ylabel, size=None, alt=None):
    """`with plots.axes(title=…, xlabel=…, ylabel=…) as ax:` draws one plot in the course's style and shows it.

    Args:
        title, xlabel, ylabel: texts; a label names its unit.
        size: width and height in inches, or None.
        alt: a sentence on what there is to see, without measured digits, for readers who do not see the plot; it
            stands behind the names of the axes and lines.

    Raises:
        ValueError: a text is none, the size no size, nothing was drawn, or a line has no finite point.
    """
    plot_checks.axes(size, alt, title=title, xlabel=xlabel, ylabel=ylabel)
    with plt.rc_context(_STYLE | {"font.family": _families()}):
        figure, ax = plt.subplots(figsize=size)
        ax.set(xlabel=drawable(xlabel), ylabel=drawable(ylabel))
        ax.set_title(drawable(title), loc="left")
        try:
            yield ax
            plot_checks.drawn(ax)
            _mark(ax)
            if ax.get_legend_handles_labels()[1] and not ax.get_legend():  # a cell may have put its own somewhere
                ax.legend()
            _as_typed(ax)
            figure.tight_layout()
            _show(figure, described(ax, alt))
        finally:
            plt.close(figure)  # a kernel would keep it for good, and show a half-drawn one after an error


def described(ax, alt=None):
    """A plot in words: its title, axes and the names of its lines or bars, then what the author says of it."""
    named = ax.get_legend_handles_labels()[1] or [text.get_text() for text in ax.get_yticklabels() if not _number(text)]
    parts = [f"Plot: {ax.get_title(loc='left')}"]
    parts += [f"horizontal: {ax.get_xlabel()}"] * bool(ax.get_xlabel())
    parts += [f"vertical: {ax.get_ylabel()}"] * bool(ax.get_ylabel())
    parts += [f"shown: {', '.join(dict.fromkeys(filter(None, named)))}"] * any(named)
    return "; ".join(parts) + (f". {alt}" if alt else ".")


def _number(text):
    return text.get_text().replace("−", "-").replace(".", "").replace(",", "").lstrip("-").isdigit()


def _mark(ax):
    """Give each solid line the marker of its colour, so that a line is known without its colour; in a legend, too."""
    for line in ax.lines:
        if line.get_transform() != ax.transData:  # a level across the whole plot has no points
            continue
        if line.get_linestyle() == "-" and line.get_marker() in ("None", "o") and line.get_color() in MARKERS:
            line.set(marker=MARKERS[line.get_color()], markevery=max(1, len(line.get_xdata()) // MARKED))
    if legend := ax.get_legend():  # a cell's own was drawn before
        named = {line.get_label(): line for line in ax.lines}
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            if line := named.get(text.get_text()):
                handle.set_marker(line.get_marker())


def _show(figure, text):
    """Show a figure with its description: in a notebook as the output's text and as the picture's alternative."""
    if not machine.in_notebook():
        plt.show()
        return
    from IPython.display import display

    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=figure.dpi, bbox_inches="tight")
    encoded = base64.b64encode(picture.getvalue()).decode()
    display({"image/png": encoded, "text/plain": text}, raw=True, metadata={"image/png": {"alt": text}})


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
    checked.text(text, "The text to draw", blank=True)
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
    _add_own_fonts(font_manager.fontManager)
    here = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in here)]


def _add_own_fonts(manager):
    """Add the fonts that come with matplotlib, as far as its list of fonts lacks them.

    The list is kept for all environments of a user. Made while one was being built or removed, it has none of these,
    and every plot with a power of ten warns of each of them.
    """
    known = {Path(font.fname).name for font in manager.ttflist}
    for file in sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("*.ttf")):
        if file.name not in known:
            manager.addfont(file)


@functools.cache
def _characters():
    """The code points that the plots' fonts hold."""
    files = [font_manager.findfont(font_manager.FontProperties(family=name)) for name in _families()]
    return frozenset(code for file in files for code in font_manager.get_font(file).get_charmap())


def next_tokens(pairs, *, title):
    """Bars of (token, probability), the most probable on top; blanks are drawn as ␣ and line breaks as ↵.

    Raises:
        ValueError: no pairs, or no probability in one of them.
    """
    pairs = plot_checks.probabilities(pairs)
    names = [visible_token(token) for token, _ in pairs]
    with axes(title=title, xlabel="probability of the next token", ylabel="") as ax:
        bars = ax.barh(range(len(pairs)), [p for _, p in pairs], color=OURS)
        ax.bar_label(bars, [f"{p:.1%}" for _, p in pairs], padding=4)
        ax.set_yticks(range(len(pairs)), names)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_xlim(0, 1.15 * max(p for _, p in pairs) or 1.0)


def bars(estimates, *, ours, title, xlabel, human=None, alt=None):
    """Horizontal bars with intervals and their values.

    Args:
        estimates: {name: Estimate}, drawn from top to bottom; the last is ours, the others what it is compared with.
        human: value of a dashed line, or None.
        alt: see `axes`.

    Raises:
        ValueError: no estimates, one that is none, or a name in `ours` that no bar has.
    """
    names = plot_checks.bars(estimates, ours, human)
    shades = [OURS if name in ours else BASELINE for name in names]
    with axes(title=title, xlabel=xlabel, ylabel="", size=(9, 1.4 + 0.6 * len(names)), alt=alt) as ax:
        means = [estimate.mean for estimate in estimates.values()]
        reaches = [(max(0.0, e.mean - e.low), max(0.0, e.high - e.mean)) for e in estimates.values()]  # 0.0: rounding
        spread = list(zip(*reaches, strict=True))
        ax.barh(names, means, color=shades, xerr=spread, capsize=5, ecolor="#333333")
        _write_beyond(ax, estimates.values(), numbers.decimals_of(max(map(max, spread))))
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        if human is not None:
            ax.axvline(human, color=HUMAN, linestyle="--")
            above = ax.get_xaxis_transform()  # x in data, y from 0 to 1: a legend would lie on the line
            ax.text(human, 1.01, "one person", color=HUMAN, ha="right", va="bottom", transform=above)


def _write_beyond(ax, estimates, decimals):
    """Write each bar's value where neither bar nor interval lies: behind its end, on white if a line runs there."""
    ax.margins(x=0.16)  # room for them
    white = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    for place, estimate in enumerate(estimates):
        end, side, apart = (estimate.high, "left", 8) if estimate.mean >= 0 else (estimate.low, "right", -8)
        told = {"xytext": (apart, 0), "textcoords": "offset points", "ha": side, "va": "center", "fontsize": 13}
        ax.annotate(f"{estimate.mean:.{decimals}f}", (end, place), color="black", bbox=white, **told)


def curve(x, series, *, title, xlabel, ylabel, lines=(), ylim=None, alt=None):
    """Lines with interval bands over evenly spaced x labels.

    Args:
        x: labels, as (0, 1, 2, 4, 8, 16).
        series: {name: (color, list of Estimate)}.
        lines: (name, color, value) of horizontal lines to compare with.
        ylim: (lowest, highest) value shown, or None.
        alt: see `axes`.

    Raises:
        ValueError: a line has not one Estimate for each label, or a colour or number is none.
    """
    plot_checks.curve(x, series, lines, ylim)
    places = range(len(x))
    with axes(title=title, xlabel=xlabel, ylabel=ylabel, alt=alt) as ax:
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
    token = drawable(checked.text(token, "The token", blank=True).replace("\n", "↵").replace("\t", "⇥"))
    return "␣" * (len(token) - len(token.lstrip(" "))) + token.lstrip(" ")
