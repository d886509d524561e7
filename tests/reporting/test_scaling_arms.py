"""The numbers behind the claims of 04 on mixtures, rivals and what is known by heart."""

import pytest
from helpers import scaling_record

from course_utils.experiments import scaling_grid as grid
from course_utils.reporting import scaling, scaling_arms


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    with scaling_record.few_resamples():
        yield


@pytest.fixture(scope="module")
def record():
    return scaling_record.made()


def test_the_least_gain_is_of_the_kind_that_gains_least():
    best = {"prose": ["prose", -0.3, -0.4, -0.2], "old": ["code", -0.1, -0.2, -0.05]}
    assert scaling_arms.least_gain({"summary": {"mixtures": {"best": best}}}) == ("old", 0.1, 0.05, 0.2)
    assert scaling_arms.least_gain(scaling.EMPTY) is None


def test_the_nearest_rival_is_the_one_with_the_fewest_bits(record, monkeypatch):
    bits = {"vanilla": 3.0, "gemma": 2.9, "experts-weights": 3.2, "lstm": 2.95}
    faster = {"48x2": 0, "64x3": 0, "96x3": 0.01}
    documents = lambda _, kind, size: [bits[kind] - (kind == "gemma") * faster[size] + n for n in range(3)]  # noqa: E731
    monkeypatch.setattr(scaling_arms, "_documents", documents)
    kind, size, *by = scaling_arms.nearest_rival(record)
    assert (kind, size) == ("gemma", "96x3") and by == pytest.approx([-0.11] * 3, abs=1e-5)
    assert scaling_arms.nearest_rival(scaling.EMPTY) is None


def test_the_documents_of_a_rival_are_those_of_its_best_rate(record):
    assert len(scaling_arms._documents(record, "lstm", grid.RIVAL_AT)) == 6


def test_the_largest_step_is_an_even_share_of_a_straight_line():
    assert scaling_arms.largest_step([1, 2, 3, 4]) == pytest.approx(1 / 3)
    assert scaling_arms.largest_step([5, 5, 5, 1]) == 1 and scaling_arms.largest_step([0, 0.5, 2]) == 0.75
    with pytest.raises(ValueError, match="three values or more that change"):
        scaling_arms.largest_step([1, 1, 1])


def test_exact_spans_come_suddenly_and_nats_do_not(record):
    found = scaling_arms.suddenness(record, 8)
    assert len(found) == 3 and all(exact > 0.5 > nats for exact, nats in found)
    assert list(record["summary"]["recited"]) == list(grid.SEEDED) and scaling_arms.suddenness(scaling.EMPTY, 8) == []


def test_a_trend_needs_intervals_that_lie_apart():
    near, far = (1, "48x2", -0.05, -0.07, -0.03), (2, "96x3", -0.20, -0.22, -0.18)
    assert scaling_arms._trend(near, far) == "gains on Gemma's parts from 48x2 to 96x3, −0.050 to −0.200"
    assert scaling_arms._trend(far, near).startswith("falls back behind Gemma's parts")
    assert scaling_arms._trend(near, (2, "96x3", -0.08, -0.10, -0.06)).startswith("no trend from 48x2 to 96x3")


def test_repeats_are_held_against_new_text_and_the_formula_against_the_law(record, capsys):
    found = {
        "48x2": {
            "16": {"found": 4.0, "if_new": 3.5, "by_2023": 3.9},
            "4": {"found": 3.6, "if_new": 3.5, "by_2023": 3.7},
        }
    }
    scaling_arms.show_repeats({**record, "summary": record["summary"] | {"repeats": found}})
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("48x2")]
    new = scaling.law(record).loss(grid.counted("48x2")[0], 2**20)
    assert [line[1:5] for line in lines] == [["4", "262k", "3.600", "+0.100"], ["16", "65.5k", "4.000", "+0.500"]]
    assert [line[5] for line in lines] == [f"{said - new:+.3f}".replace("-", "−") for said in (3.7, 3.9)]


def test_the_lowest_run_of_each_arm_is_named(record, capsys):
    points = dict(record["points"])
    for arm, low in (("", "48x2"), ("warm-", "64x3"), ("kept-", "32x2")):
        for size in grid.LINES["low"][1]:
            points[f"{arm}low-{size}"] = points[f"{arm}low-{size}"] | {"loss": 3.0 if size == low else 4.0}
    line = {"own": {"weights": 3e4, "inside": True}, "warm": {"weights": 4e4, "inside": False}, "kept": None}
    kaplan = record["summary"]["kaplan"] | {"line": line}
    scaling_arms.show_faults({"summary": record["summary"] | {"kaplan": kaplan}, "points": points})
    said = capsys.readouterr().out
    assert "lowest run: its own 48x2, long warm-up 64x3, one rate 32x2" in said
    assert "by a parabola: its own 30k, long warm-up 40k (beyond the sizes)\n" in said


def test_one_curve_and_the_size_that_lies_furthest_off_it(record, capsys):
    points = {}
    for name, run in grid.FIT.items():
        loss, off = record["points"][name]["loss"], 0.05 * (run.size == "24x2")
        right = {"text": {"exact": {"8": 1 - 0.2 * loss + off}}}
        points[name] = record["points"][name] | {"copied": right}
    scaling_arms.show_ability({"points": points}, 8)
    said = capsys.readouterr().out
    assert "of the sizes 24x2" in said and 90 < int(said.split("explains ")[1].split("%")[0]) <= 100


def test_four_bits_are_counted_by_tokens_a_weight(record, capsys):
    scaling_arms.show_int4(record)
    said = capsys.readouterr().out
    runs = [int(line.split(" over ")[1].split()[0]) for line in said.splitlines() if " tokens a weight: " in line]
    assert sum(runs) == len(grid.FIT) and len(runs) == 4
