"""What is shown of the short runs: whole, in part, with a leak that taught something and one that did not."""

import copy

import pytest

from course_utils.reporting import reference, short_pretraining

JUDGED = {"evaluations": {"12": {"bits_per_byte": 2.5}}, "losses": [6.0] * 12}
RECORD = {
    "summary": {
        "short": {"short-0": 2.8, "short-1": 2.82, "short-2": 2.79, "leak": 2.5, "usual": 2.9, "across": 2.81},
    },
    "points": {
        "short-0": JUDGED, "usual": JUDGED, "hot": {"stopped": "nan"},
        "leak": JUDGED | {"honest": {"bits_per_byte": 3.7}},
    },
}  # fmt: skip
RATES = {
    "summary": {"bits": {"trial-0.004": 2.5, "trial-0.002": 2.6, "live-0.006": 2.8}, "best": {"trial": 0.004}},
}


def changed(**short):
    record = copy.deepcopy(RECORD)
    record["summary"]["short"] |= short
    return record


def test_runs_stand_side_by_side(capsys):
    runs = {"short-0": "as usual", "hot": "no warm-up", "leak": "sees ahead", "across": "borders"}
    short_pretraining.show_short(RECORD, runs)
    said = capsys.readouterr().out
    for words in ("not recorded yet: across", "not finite", "sees ahead, read honestly", "3.700", "2.500", "6.00"):
        assert words in said, words


def test_a_leak_is_told_by_what_it_taught(capsys):
    short_pretraining.show_leak(RECORD, 3.8)
    said = capsys.readouterr().out
    assert "it reports 2.50 bits a byte, fewer than the 2.80" in said and "it has learned 10% of what" in said
    short_pretraining.show_leak(changed(**{"short-0": 2.4}), 3.6)
    said = capsys.readouterr().out
    assert "not fewer than the 2.40" in said and "worse than nothing" in said


def test_verdicts_are_held_against_the_seeds(capsys):
    short_pretraining.show_verdicts(RECORD)
    said = capsys.readouterr().out
    for words in (
        "lie 0.030 bits a byte apart", "the high rate: +0.100 bits a byte, worse", "without warm-up: the run ended in",
        "borders: +0.010 bits a byte, within the seeds' spread",
    ):  # fmt: skip
        assert words in said, words
    short_pretraining.show_verdicts(changed(usual=2.5))
    assert "the high rate: -0.300 bits a byte, better" in capsys.readouterr().out


@pytest.mark.parametrize("lacking", ["short-1", "leak"])
def test_a_part_says_what_there_is(capsys, lacking):
    record = copy.deepcopy(RECORD)
    record["summary"]["short"].pop(lacking)
    record["points"].pop(lacking, None)
    short_pretraining.show_verdicts(record)
    short_pretraining.show_leak(record, 3.8)
    short_pretraining.show_short(record, {"short-0": "as usual"})
    empty = {"summary": {"short": {}}, "points": {}}
    short_pretraining.show_verdicts(empty)
    short_pretraining.show_leak(empty, 3.8)
    assert capsys.readouterr().out


def test_rates_are_shown_in_part(monkeypatch, capsys):
    monkeypatch.setattr(reference, "load", lambda name: RATES)
    short_pretraining.show_rates()
    said = capsys.readouterr().out
    lines = [line.split() for line in said.splitlines()]
    assert ["0.002", "2.600"] in lines and ["0.004", "2.500"] in lines and ["0.006", "2.800"] in lines
    assert "within 0.01 of the best: 0.004" in said


def test_rates_may_not_be_recorded(monkeypatch, capsys):
    def nothing(name):
        raise FileNotFoundError

    monkeypatch.setattr(reference, "load", nothing)
    short_pretraining.show_rates()
    assert capsys.readouterr().out.count("not recorded yet") == 2
