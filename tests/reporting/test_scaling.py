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
    scaling.show_shares, scaling.show_recovery, scaling.show_early, scaling.show_faults, scaling_arms.show_repeats,
    scaling_arms.show_mixtures, scaling_arms.show_rivals, scaling_arms.show_int4,
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
        "over the even mixture", "experts-compute", "formula", "8 right", "94%",
        "correlation over 20 resamples: α and β ≈",
        "100 sets of made runs, noise 0.30% (between seeds 0.20%)",
    ):  # fmt: skip
        assert words in said, words


def test_nothing_says_what_is_missing(capsys):
    for function in SHOWN:
        function(scaling.EMPTY)
    scaling.show_grid(scaling.EMPTY)
    scaling_arms.show_recited(scaling.EMPTY, 8)
    scaling_arms.show_ability(scaling.EMPTY, 8)
    assert capsys.readouterr().out.count("not recorded yet") == len(SHOWN) + 3  # a prediction lacks two parts


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
    scaling.show_early(record)
    scaling.show_faults(record)
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
