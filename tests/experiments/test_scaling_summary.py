"""What follows from runs, on results made by a law that is known."""

import math

import numpy as np
import pytest
from helpers import scaling_record

from course_utils.evaluation import scaling
from course_utils.experiments import scaling_grid as grid
from course_utils.experiments import scaling_summary as summary

LAW = scaling.Law(1.6, 60, 400, 0.30, 0.42)
NOISE = 0.001  # of log loss; with 20 resamples an interval is rough
DOCUMENTS = {"news": [3, 300], "plays": [2, 200], "code": [2, 200]}


def result(run, **more):
    every, blocks, used = grid.counted(run.size, run.kind)
    noise = np.random.default_rng([run.tokens, every, run.seed]).normal(size=8)
    loss = float(LAW.loss(every, run.tokens)) * math.exp(NOISE * noise[0])
    curve = {str(tokens): float(LAW.loss(every, tokens)) * 1.02 for tokens in run.evaluate}
    return {
        "size": run.size, "tokens": run.tokens, "weights": every, "block_weights": blocks, "used_weights": used,
        "loss": loss, "bits_per_byte": loss / 2, "documents": DOCUMENTS, "curve": curve, "tokens_per_second": 1000,
        "bits": [100 * loss + float(one) for one in noise[1:]], "unique_tokens": run.tokens // run.times,
        "learning_rate": run.rate or 2e-2, "recited": {"nats": loss, "exact": dict.fromkeys(map(str, grid.SPANS), 0.5)},
    } | more  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    with scaling_record.few_resamples():
        yield


@pytest.fixture(scope="module")
def points():
    made = {name: result(run) for name, run in grid.RUNS.items()}
    for name, run in grid.TRIED.items():  # the best rate is N^−0.25 · 0.6
        best = 0.6 * grid.counted(run.size)[0] ** -0.25
        made[name]["loss"] = 4 + 0.1 * (math.log(run.rate / best)) ** 2
    made["largest"]["predicted"] = {"loss": 3.3, "low": 3.2, "high": 3.4}
    for name in grid.MIX:
        if name.startswith("mix-code"):
            made[name]["bits"][5:] = [50.0, 50.0]
    return made


def test_the_rule_is_that_of_the_best_rates(points):
    found = summary.summary(points)["rates"]
    assert found["rule"]["power"] == pytest.approx(-0.25, abs=0.01) and len(found["rule"]["at"]) == 3
    assert summary.rate_by(found["rule"], "128x4", 2**20) == pytest.approx(0.6 * 657_792**-0.25, rel=0.02)


def test_a_rate_lies_between_those_of_the_lengths_that_were_tried():
    rule = {"power": -0.5, "at": {"1000": 0.1, "4000": 0.025}}
    size = grid.counted("96x3")[0] / summary.REFERENCE
    by = lambda tokens: summary.rate_by(rule, "96x3", tokens)  # noqa: E731
    assert by(2000) == pytest.approx(0.05 * size**-0.5) and by(10) == by(1000) and by(10**9) == by(4000)
    assert summary.rate_by({"power": 9, "at": {"1": 1.0}}, "96x3", 5) == max(grid.RATES)


def test_the_best_rate_may_be_the_first_or_beside_one_that_was_stopped():
    at = lambda rate, **loss: {"learning_rate": rate} | loss  # noqa: E731
    assert summary.best_rate({"a": at(1e-3, loss=3), "b": at(1e-2, loss=4), "c": at(1e-1, loss=5)}) == 1e-3
    assert summary.best_rate({"a": at(1e-3, loss=3), "b": at(1e-2, loss=2), "c": at(1e-1)}) == 1e-2
    even = {"a": at(1e-3, loss=3), "b": at(1e-2, loss=2), "c": at(1e-1, loss=3)}
    assert summary.best_rate(even) == pytest.approx(1e-2)


def test_the_law_comes_back_with_what_it_says_of_the_live_run(points):
    found = summary.fit(points)
    assert found["law"]["alpha"] == pytest.approx(0.30, abs=0.05) and found["runs"] == len(grid.FIT)
    low, high = found["intervals"]["exponent"]
    assert low - 0.02 < LAW.exponent < high + 0.02 and found["left"] < 2 * NOISE
    _, low, high = found["live"]["loss"]
    assert low < LAW.loss(found["live"]["weights"], grid.LIVE_TOKENS) < high
    assert summary.largest(points) == {"predicted": [3.3, 3.2, 3.4], "found": points["largest"]["loss"]}


def test_lines_and_the_arms_of_kaplan(points):
    found = summary.lines(points)
    assert set(found) == {"low", "middle", "high"} and len(found["low"]["runs"]) == len(grid.LINES["low"][1])
    weights, tokens = found["middle"]["law"]
    assert 6 * weights * tokens == pytest.approx(1.6e12)
    arms = summary.kaplan(points)
    assert set(arms["count"]) == {"all", "blocks"} and set(arms["points"]) == {"long", "earlier", "short too"}
    exponent, low, high = arms["count"]["all"]
    assert low <= exponent <= high and set(arms["line"]) == {"own", "warm", "kept"}
    unspoiled = {name: point for name, point in points.items() if name not in grid.WARM}
    assert summary.kaplan(unspoiled)["line"] is None
    assert arms["line"]["own"] == summary.minimum(summary._line(points, "low-"))
    assert len(arms["points"]["short too"]) == 3 and arms["points"]["long"] == arms["count"]["all"]


def test_noise_repeats_mixtures_and_rivals(points):
    found = summary.summary(points)
    assert found["noise"] == pytest.approx(NOISE, rel=0.6)
    assert set(found["repeats"]["48x2"]) == {"4", "16", "64"} and len(found["recited"]["64x3"]["nats"]) == 3
    four = found["repeats"]["48x2"]["4"]
    assert four["by_2023"] > LAW.loss(grid.counted("48x2")[0], 2**20)
    assert found["mixtures"]["best"]["code"][0] == "code" and found["mixtures"]["best"]["code"][1] < 0
    assert set(found["rivals"]) == {"gemma", *grid.RIVALS}
    assert found["rivals"]["gemma"]["64x3"]["worse"] == [0, 0, 0]
    worse, low, high = found["rivals"]["lstm"]["48x2"]["worse"]
    assert low <= worse <= high


def test_a_part_has_a_summary_as_well(points):
    assert set(summary.summary({}).values()) == {None}
    some = {name: points[name] for name in grid.GRID}
    assert summary.summary(some)["fit"] is None


def test_losses_that_do_not_bend_have_no_minimum():
    flat = {str(n): {"weights": 10**n, "tokens": 1, "loss": 5 - 0.1 * n**2} for n in (1, 2, 3)}
    assert summary.minimum(flat) is None


def test_noise_is_over_all_seeds_and_the_earlier_cut_takes_shorter_runs(points, monkeypatch):
    assert all(len(summary.seeds_of(points, *at)) == 1 + len(seeds) for at, seeds in grid.AGAIN_AT.items())
    counted = []
    monkeypatch.setattr(summary, "_exponent", lambda runs: counted.append(len(runs[0])) or [0.5, 0.4, 0.6])
    summary.kaplan(points)
    every = [run.steps for run in (grid.FIT | grid.GRID | grid.LINE).values()]
    earlier = sum(steps >= grid.EARLIER_LEAST for steps in every)
    assert sorted(counted) == sorted([len(grid.FIT)] * 2 + [earlier, len(every)]) and earlier > len(grid.FIT)
