"""Each plot says what its axes are, draws the numbers it was given and leaves no figure behind."""

import base64
import io
import warnings
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from helpers import colour_vision
from matplotlib import font_manager
from matplotlib.colors import to_rgba

from course_utils.evaluation.comparison import Estimate
from course_utils.reporting import plots

LOW, HIGH = Estimate(0.5, 0.4, 0.7, 1, 20), Estimate(0.8, 0.75, 0.85, 6, 20)


@pytest.fixture
def shown(monkeypatch):
    """The axes of every plot at the moment it is shown."""
    drawn = []
    monkeypatch.setattr(plt, "show", lambda: drawn.append(plt.gca()))
    yield drawn
    assert plt.get_fignums() == [], "a figure was left open"


def test_a_plot_has_its_title_and_labels(shown):
    with plots.axes(title="Loss", xlabel="steps", ylabel="loss (nats)", size=(3, 2)) as ax:
        ax.plot([1, 2], label="ours")
    assert shown == [ax]
    assert (ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()) == ("Loss", "steps", "loss (nats)")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ours"]
    assert tuple(ax.figure.get_size_inches()) == (3, 2)


def test_one_line_without_a_name_needs_no_legend(shown):
    with plots.axes(title="Loss", xlabel="steps", ylabel="nats") as ax:
        ax.plot([1, 2])
    assert ax.get_legend() is None


def test_an_error_while_drawing_leaves_nothing_behind(shown):
    with pytest.raises(ZeroDivisionError), plots.axes(title="Loss", xlabel="steps", ylabel="nats"):
        raise ZeroDivisionError
    assert shown == []


def test_the_style_of_others_is_untouched(shown):
    before = dict(plt.rcParams)
    with plots.axes(title="Loss", xlabel="steps", ylabel="nats") as ax:
        ax.plot([1, 2])
        assert ax.xaxis.label.get_size() >= 14, "the last row reads it"
    assert dict(plt.rcParams) == before


def test_next_tokens_are_bars_with_the_most_probable_on_top(shown):
    plots.next_tokens([(" Paris", 0.6), ("\n", 0.25)], title="next")
    (ax,) = shown
    assert [bar.get_width() for bar in ax.patches] == [0.6, 0.25]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["␣Paris", "↵"]
    assert [text.get_text() for text in ax.texts] == ["60.0%", "25.0%"]
    assert ax.yaxis_inverted() and ax.get_xlabel() == "probability of the next token"


def test_bars_show_estimates_with_their_intervals(shown):
    plots.bars({"word pairs": LOW, "model": HIGH}, ours=["model"], title="hits", xlabel="share of tokens", human=0.9)
    (ax,) = shown
    assert [bar.get_width() for bar in ax.patches] == [0.5, 0.8]
    assert [bar.get_facecolor() for bar in ax.patches] == [to_rgba(c) for c in (plots.BASELINE, plots.OURS)]
    (whiskers,) = ax.collections
    assert [segment[:, 0].tolist() for segment in whiskers.get_segments()] == [
        pytest.approx([0.4, 0.7]),
        pytest.approx([0.75, 0.85]),
    ]
    assert [text.get_text() for text in ax.texts] == ["0.50", "0.80", "one person"] and ax.get_legend() is None
    assert ax.get_xlabel() == "share of tokens"


def test_a_bars_value_lies_under_no_interval_and_no_bar(shown):
    given = {"word pairs": LOW, "model": HIGH, "worse": Estimate(-0.5, -0.6, -0.4, 1, 20)}
    plots.bars(given, ours=["model"], title="hits", xlabel="share of tokens", human=0.88)
    (ax,) = shown
    ax.figure.canvas.draw()
    inside = ax.get_window_extent()
    for text, estimate in zip(ax.texts[:3], given.values(), strict=True):
        low, high = (ax.transData.transform((end, 0))[0] for end in estimate.interval)
        box = text.get_window_extent()
        assert box.x0 > high if estimate.mean > 0 else box.x1 < low
        assert inside.x0 < box.x0 and box.x1 < inside.x1, "it would run out of the plot"
        assert text.get_color() == "black" and text.get_bbox_patch().get_facecolor() == to_rgba("white")


def test_a_curve_has_lines_bands_and_what_it_is_compared_with(shown):
    series = {"calibrated": (plots.OURS, [LOW, HIGH]), "raw": (plots.BASELINE, [LOW, LOW])}
    lines = [("zero-shot", plots.MUTED, 0.55)]
    plots.curve((0, 16), series, title="shots", xlabel="examples", ylabel="accuracy", lines=lines, ylim=(0, 1))
    (ax,) = shown
    assert [list(line.get_ydata()) for line in ax.lines] == [[0.5, 0.8], [0.5, 0.5], [0.55, 0.55]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "16"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["calibrated", "raw", "zero-shot"]
    band = ax.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((0.4, 0.85))
    assert ax.get_ylim() == (0, 1)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("examples", "accuracy")


@pytest.mark.parametrize(
    ("token", "drawn"),
    [(" the", "␣the"), ("the", "the"), ("  two", "␣␣two"), ("\n\n", "↵↵"), ("\t", "⇥"), (" ", "␣"), ("a b ", "a b ")],
)
def test_blanks_and_line_breaks_can_be_seen(token, drawn):
    assert plots.visible_token(token) == drawn


def test_no_two_colours_look_alike_to_anyone():
    assert colour_vision.smallest_distance(plots.PALETTE) >= 20
    assert colour_vision.smallest_distance(["#c4572b", "#3b7d3a"]) < 10, (
        "the simulation finds what red-green blindness hides"
    )
    # pairs of Sharma et al. 2005, table 1
    assert colour_vision.distance((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=1e-4)
    assert colour_vision.distance((50, 2.5, 0), (73, 25, -18)) == pytest.approx(27.1492, abs=1e-4)


def test_a_line_is_known_by_its_marker_too(shown):
    with plots.axes(title="Loss", xlabel="steps", ylabel="nats") as ax:
        ax.plot(range(100), color=plots.OURS, label="ours")
        ax.plot([1, 2], color=plots.BASELINE, label="theirs")
        ax.plot([1, 2], "--", color=plots.MUTED)
    assert [line.get_marker() for line in ax.lines] == ["o", "s", "None"]
    assert ax.lines[0].get_markevery() == 8 and len(set(plots.MARKERS.values())) == len(plots.PALETTE)


def test_a_legend_that_the_cell_made_shows_the_markers_and_a_level_has_none(shown):
    with plots.axes(title="t", xlabel="x", ylabel="y", alt="a") as ax:
        for color in (plots.OURS, plots.BASELINE):
            ax.plot([1, 2], [1, 2], "o-", color=color, label=color)
        ax.axhline(0, color=plots.OURS)
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    marks = [plots.MARKERS[color] for color in (plots.OURS, plots.BASELINE)]
    assert [handle.get_marker() for handle in ax.get_legend().legend_handles] == marks and marks[0] != marks[1]
    assert [line.get_marker() for line in ax.lines] == [*marks, "None"]


def test_a_plot_says_in_words_what_it_shows(shown):
    with plots.axes(title="Loss", xlabel="steps", ylabel="nats") as ax:
        ax.plot([1, 2], label="ours")
    assert plots.described(ax, "It falls.") == ("Plot: Loss; horizontal: steps; vertical: nats; shown: ours. It falls.")
    plots.bars({"word pairs": LOW, "model": HIGH}, ours=["model"], title="hits", xlabel="share")
    assert plots.described(shown[-1]) == "Plot: hits; horizontal: share; shown: word pairs, model."


def test_in_a_notebook_the_words_stand_beside_the_picture(monkeypatch):
    given = []
    monkeypatch.setattr("builtins.get_ipython", lambda: SimpleNamespace(kernel=1), raising=False)
    monkeypatch.setattr("IPython.display.display", lambda data, **more: given.append((data, more["metadata"])))
    with plots.axes(title="Loss", xlabel="steps", ylabel="nats", alt="It falls.") as ax:
        ax.plot([1, 2])
    ((data, metadata),) = given
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert (
        data["text/plain"] == metadata["image/png"]["alt"] == "Plot: Loss; horizontal: steps; vertical: nats. It falls."
    )
    assert plt.get_fignums() == []


def test_a_legend_of_the_authors_own_stays(shown):
    with plots.axes(title="Parts", xlabel="MB", ylabel="") as ax:
        ax.legend([ax.barh(["a"], [1.0])], ["weights"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["weights"]
    with plots.axes(title="Losses", xlabel="step", ylabel="nats") as ax:
        ax.plot([1, 2], [2.0, 1.0], label="ours")
        own = ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    assert ax.get_legend() is own


TYPED = ["$", "$$", "$x$", "costs $5 or $6", r"$\\frac$", "_^", "\\\\", "한국어", "مرحبا", "🙂", "\ud83d", "a\x00b", ""]


@pytest.mark.parametrize("typed", TYPED, ids=ascii)
def test_what_a_learner_types_is_drawn_as_it_stands(typed, monkeypatch):
    drawn = []

    def look():
        figure = plt.gcf()
        figure.savefig(io.BytesIO(), format="png")
        axis = figure.axes[0]
        drawn.extend([axis._left_title, axis.xaxis.label, *axis.get_yticklabels(), *axis.get_xticklabels()])

    monkeypatch.setattr(plots.plt, "show", look)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a box comes with a warning
        plots.next_tokens([(typed, 0.5), ("b", 0.2)], title=typed)
        plots.bars({plots.drawable(typed) or "a": LOW, "ours": HIGH}, ours=("ours",), title=typed, xlabel=typed)
    shown = plots.drawable(typed)
    told = [text for text in drawn if text.get_text() == shown and shown]
    assert not any(text.get_parse_math() for text in told) and len(told) >= 3 * bool(shown)


def test_a_list_of_fonts_without_matplotlib_s_own_is_completed(monkeypatch):
    added = []
    system = SimpleNamespace(name="DejaVu Sans", fname="/usr/share/fonts/dejavu/DejaVuSans.ttf")
    plots._add_own_fonts(SimpleNamespace(ttflist=[system], addfont=lambda file: added.append(file.name)))
    assert "cmr10.ttf" in added and "DejaVuSans.ttf" not in added


def test_a_plot_with_powers_of_ten_says_nothing_where_that_list_is_all_there_is(monkeypatch, caplog):
    poor = [font for font in font_manager.fontManager.ttflist if "mpl-data" not in font.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", poor)
    font_manager.fontManager._findfont_cached.cache_clear()
    plots._families.cache_clear()
    with plots.axes(title="a", xlabel="b", ylabel="c", alt="A line over three powers of ten.") as ax:
        ax.plot([1e-4, 1e-2], [0, 1])
        ax.set_xscale("log")
    assert not [line for line in caplog.messages if "findfont" in line]
