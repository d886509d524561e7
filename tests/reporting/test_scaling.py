"""What is shown of the scaling runs: whole, and nothing of it; the numbers behind `emergence-metric`."""

import json

import pytest

from course_utils.evaluation import scaling as laws
from course_utils.experiments import scaling_grid as grid
from course_utils.experiments import scaling_summary as summary
from course_utils.reporting import reference, scaling, scaling_arms

LAW = laws.Law(1.6, 60, 400, 0.30, 0.42)
SHOWN = (
    scaling.show_rates, scaling.show_law, scaling.show_prediction, scaling.show_lines, scaling.show_kaplan,
    scaling.show_shares, scaling.show_recovery, scaling.show_breaks, scaling_arms.show_repeats,
    scaling_arms.show_mixtures, scaling_arms.show_rivals, scaling_arms.show_int4,
)  # fmt: skip


def result(run):
    every, blocks, used = grid.counted(run.size, run.kind)
    loss = float(LAW.loss(every, run.tokens)) * (1 + 0.002 * (run.tokens % 7 - 3 + run.seed))
    exact = {str(k): (every / 2e6) ** (k / 2) for k in grid.SPANS}
    copied = {"text": {"nats": loss - 1, "first": loss, "exact": exact}}
    return {
        "size": run.size, "tokens": run.tokens, "weights": every, "block_weights": blocks, "used_weights": used,
        "loss": loss, "bits_per_byte": loss / 2, "documents": {"news": [2, 20], "plays": [2, 20], "code": [2, 18]},
        "curve": {str(tokens): loss + 0.3 for tokens in run.evaluate}, "tokens_per_second": 1000, "int4": loss + 0.1,
        "bits": [loss * 9 + n for n in range(6)], "unique_tokens": run.tokens // run.times, "copied": copied,
        "learning_rate": run.rate or 2e-2, "recited": {"nats": loss - 1, "exact": exact},
    }  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    """Fits of few resamples: the tests here ask what is done with a fit."""
    whole = laws.fit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laws, "fit", lambda *runs, resamples=20: whole(*runs, resamples=min(resamples, 20)))
        yield


@pytest.fixture(scope="module")
def record():
    points = {name: result(run) for name, run in grid.RUNS.items()}
    points["largest"] |= {
        "predicted": {"loss": 3.3, "low": 3.2, "high": 3.4, "written": "2026-01-01", "most_fitted_compute": 5e12},
        "started": "2026-01-02",
    }  # fmt: skip
    points["recovery"] = {
        "noise": 0.003, "between_seeds": 0.002, "draws": 100,
        "found": {"alpha": {"true": 0.3, "inside": 0.94, "width": 0.2}},
    }  # fmt: skip
    return json.loads(json.dumps({"setting": {}, "summary": summary.summary(points), "points": points}))


def test_everything_is_said(record, capsys):
    for function in SHOWN:
        function(record)
    scaling.show_grid(record)
    scaling.show_prediction(record, (2e5, 2e5, 4.0))
    scaling_arms.show_recited(record, 8)
    scaling_arms.show_ability(record, 8)
    scaling.show_joint(laws.fit(*summary.runs_of({name: record["points"][name] for name in grid.FIT})))
    said = capsys.readouterr().out
    for words in (
        "128x4", "658k", "Besiroglu 2024", "100k weights: ", "said on 2026-01-01: 3.300 [3.200, 3.400]",
        "± 3.0%", "the interval, at 4.1 × the compute", "by the law", "the same, the smallest size's rate",
        "over the even mixture", "experts-compute", "formula", "8 right", "correlation of α and β", "94%",
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


def test_faults_are_shown_against_the_run_without(record, capsys):
    scaling.show_breaks(record)
    said, points = capsys.readouterr().out, record["points"]
    for arm in ("warm", "kept"):
        cost = points[f"{arm}-middle-64x3"]["loss"] - points["middle-64x3"]["loss"]
        assert f"{cost:+.3f}".replace("-", "−") in said
    early = points["grid-96x3-2097152"]["curve"]["262144"] - points["grid-96x3-262144"]["loss"]
    assert f"{early:+.3f}".replace("-", "−") in said and "read off a longer one" in said


def test_the_least_gain_and_the_nearest_rival_are_those_of_their_tables(record):
    _, gain, low, high = scaling_arms.least_gain(record)
    assert gain == min(-by for _, by, _, _ in record["summary"]["mixtures"]["best"].values()) and low <= gain <= high
    kind, size, by, low, high = scaling_arms.nearest_rival(record)
    bits = {of: record["summary"]["rivals"][of][size]["bits_per_byte"] for of in ("vanilla", kind)}
    assert kind != "vanilla" and size in ("48x2", "64x3", "96x3") and low <= by <= high
    assert (by < 0) == (bits[kind] < bits["vanilla"])
    assert scaling_arms.least_gain(scaling.EMPTY) is None and scaling_arms.nearest_rival(scaling.EMPTY) is None


def test_the_largest_step_is_an_even_share_of_a_straight_line():
    assert scaling_arms.largest_step([1, 2, 3, 4]) == pytest.approx(1 / 3)
    assert scaling_arms.largest_step([5, 5, 5, 1]) == 1 and scaling_arms.largest_step([0, 0.5, 2]) == 0.75
    with pytest.raises(ValueError, match="three values or more that change"):
        scaling_arms.largest_step([1, 1, 1])


def test_exact_spans_come_suddenly_and_nats_do_not(record):
    found = scaling_arms.suddenness(record, 8)
    assert len(found) == 3 and all(exact > 0.5 > nats for exact, nats in found)
    assert list(record["summary"]["recited"]) == list(grid.SEEDED) and scaling_arms.suddenness(scaling.EMPTY, 8) == []


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
