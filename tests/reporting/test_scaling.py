"""What is shown of the scaling runs: whole, and nothing of it; the numbers behind `emergence-metric`."""

from contextlib import nullcontext

import pytest
from helpers import scaling_record

from course_utils.evaluation import scaling as laws
from course_utils.experiments import scaling_grid as grid
from course_utils.experiments import scaling_summary as summary
from course_utils.reporting import reference, scaling, scaling_arms

SHOWN = (
    scaling.show_rates, scaling.show_law, scaling.show_prediction, scaling.show_lines, scaling.show_kaplan,
    scaling.show_shares, scaling.show_recovery, scaling_arms.show_early, scaling_arms.show_faults,
    scaling_arms.show_repeats, scaling_arms.show_mixtures, scaling_arms.show_rivals, scaling_arms.show_int4,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    with scaling_record.few_resamples():
        yield


@pytest.fixture(scope="module")
def record():
    return scaling_record.made()


def test_everything_is_said(record, capsys):
    for function in SHOWN:
        function(record)
    scaling.show_grid(record)
    scaling.show_prediction(record, (2e5, 2e5, 4.0))
    scaling_arms.show_recited(record, 8)
    scaling_arms.show_ability(record, 8)
    scaling.show_left(record, scaling_record.LAW)
    scaling.show_joint(laws.fit(*summary.runs_of({name: record["points"][name] for name in grid.FIT})))
    said = capsys.readouterr().out
    for words in (
        "128x4", "658k", "Besiroglu 2024", "100k weights: ", "said on 2026-01-01: 3.300 [3.200, 3.400]",
        "± 3.0%", "the interval, at 4.0 × the compute", "by the law", "weights without the embedding and head",
        "against the even mixture", "experts-compute", "by the formula", "8 right", "94%",
        "correlation over 20 resamples: α and β ≈",
        "100 sets of made runs, noise 0.30% (between seeds 0.20%)", "its half-width is wider than the 3% that were",
        "every run of 1,000 steps or more fitted: a moves by ", "of 3 parabolas have their best size among", "unique",
        "and its two neighbours alone: a = ", "it read 1.5 tokens a weight: larger than the best",
        "one curve over the loss explains ", "10 to 30 tokens a weight: +0.100 nats a token over ", "factor of 1.00",
    ):  # fmt: skip
        assert words in said, words


def test_nothing_says_what_is_missing(capsys):
    for function in SHOWN:
        function(scaling.EMPTY)
    scaling.show_grid(scaling.EMPTY)
    scaling_arms.show_recited(scaling.EMPTY, 8)
    scaling_arms.show_ability(scaling.EMPTY, 8)
    assert capsys.readouterr().out.count("not recorded yet") == len(SHOWN) + 3  # a prediction lacks two parts


def test_runs_that_are_not_fitted_stand_in_brackets(record, capsys):
    scaling.show_grid(record)
    said, points = capsys.readouterr().out, record["points"]
    for name, run in grid.GRID.items():
        loss = f"{points[name]['loss']:.3f}"
        assert (f"({loss})" in said) == (run.steps < grid.LEAST_STEPS) and loss in said


def test_a_size_is_off_the_law_where_all_its_seeds_are(record):
    law, points = laws.Law(**record["summary"]["fit"]["law"]), dict(record["points"])
    for name in grid.FIT:
        spread = 0.01 * (grid.FIT[name].seed - 1) if "48x2" in name else 0  # seeds on both sides
        loss = law.loss(points[name]["weights"], points[name]["tokens"]) * (1 + spread)
        points[name] = points[name] | {"loss": loss * (0.98 if "64x3-4194304" in name else 1)}
    summary = record["summary"] | {"noise": 0.005}
    assert scaling.misses({"summary": summary, "points": points}) == ["64x3 at 4.19M (3 seeds, 2.0% below)"]


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.4, 0.6), "allows Chinchilla's 0.50 and excludes Kaplan's 0.73"),
        ((0.6, 0.8), "excludes Chinchilla's 0.50 and allows Kaplan's 0.73"),
        ((0.1, 0.3), "excludes Chinchilla's 0.50 and excludes Kaplan's 0.73"),
    ],
)
def test_an_interval_allows_what_it_holds(ends, said):
    assert scaling.allowed(*ends) == f"our interval, {ends[0]:.2f} to {ends[1]:.2f}, {said}"


def test_the_share_of_text_is_that_of_its_term():
    law = laws.Law(1.0, 2.0, 6.0, 0.0, 0.0)  # two nats of size, six of text
    fitted = laws.Fit(law, [law] * 3, None)
    said = scaling.share_of_text(fitted, "32x2", 2**21)
    assert said.startswith("32x2 at 2.1M: ≈75") and said.endswith("more than half is due to finite text")
    few = laws.Law(1.0, 6.0, 2.0, 0.0, 0.0)
    assert "more or less than half may be due" in scaling.share_of_text(laws.Fit(law, [law, few], None), "32x2", 2**21)


def test_the_lowest_run_has_a_bottom_only_between_two_others():
    runs = [[1e4, 0, 3.2], [1e5, 0, 3.0], [1e6, 0, 3.2], [1e7, 0, 9.0]]
    assert scaling.lowest(runs) == pytest.approx(1e5) and scaling.lowest(runs[::-1]) == pytest.approx(1e5)
    assert scaling.lowest(runs[1:]) is None and scaling.lowest(runs[:2]) is None


class Drawn(list):
    """Notes what is plotted, as an axis would."""

    def plot(self, across, up, *_, label, **__):
        self.append((label, list(across), list(up)))

    def axhline(self, *_, **__):
        pass

    set_xscale = axhline


def test_a_run_below_the_law_is_drawn_below_zero(record, monkeypatch):
    ax = Drawn()
    monkeypatch.setattr(scaling.plots, "axes", lambda **_: nullcontext(ax))
    points = {name: point | {"loss": 0.9 * scaling_record.LAW.loss(point["weights"], point["tokens"])}
              for name, point in record["points"].items() if name in grid.FIT}  # fmt: skip
    scaling.show_left({"points": points}, scaling_record.LAW)
    (label, steps, left), (_, none, _) = ax
    assert label == "fitted" and min(steps) >= grid.LEAST_STEPS and left == pytest.approx([-100 / 9] * len(grid.FIT))
    assert none == []


def test_faults_are_shown_against_the_run_without(record, capsys):
    scaling_arms.show_early(record)
    scaling_arms.show_faults(record)
    said, points = capsys.readouterr().out, record["points"]
    for arm in ("warm", "kept"):
        cost = points[f"{arm}-low-64x3"]["loss"] - points["low-64x3"]["loss"]
        assert f"{cost:+.3f}".replace("-", "−") in said
    early = points["grid-96x3-2097152"]["curve"]["1048576"] - points["grid-96x3-1048576"]["loss"]
    assert f"{early:+.3f}".replace("-", "−") in said and "read off a longer one" in said


@pytest.mark.parametrize(
    ("count", "said"), [(35_168, "35.2k"), (999_990, "1M"), (4e10, "40G"), (2e13, "20T"), (7, "7")]
)
def test_counts_are_short(count, said):
    assert scaling.short(count) == said


def test_without_a_record_there_is_an_empty_one(monkeypatch, capsys):
    def nothing(name):
        raise FileNotFoundError

    monkeypatch.setattr(reference, "load", nothing)
    assert scaling.load() is scaling.EMPTY and "python -m course_utils run scaling" in capsys.readouterr().out


def test_each_cause_is_said_to_lead_towards_kaplan_or_away(record, capsys):
    kaplan = {
        "count": {"all": [0.6, 0.5, 0.7], "blocks": [0.7, 0.6, 0.8]},
        "points": {"long": [0.6, 0.5, 0.7], "earlier": [0.61, 0.5, 0.7], "short too": [0.3, 0.2, 0.4]},
    }
    scaling.show_kaplan({"summary": record["summary"] | {"kaplan": kaplan}})
    said = capsys.readouterr().out
    assert "moves by +0.10, towards Kaplan's" in said and "moves by +0.01, hardly at all" in said
    assert "moves by −0.30, away from Kaplan's" in said


def test_a_largest_run_of_few_weights_is_called_smaller(record, capsys):
    small = record["points"]["largest"] | {"weights": 1e4, "tokens": 1e9}
    scaling.show_prediction({**record, "points": record["points"] | {"largest": small}})
    assert "100000.0 tokens a weight: smaller than the best size" in capsys.readouterr().out
