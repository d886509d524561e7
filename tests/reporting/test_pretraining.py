"""What is shown of the long pre-training: whole, in part, and not at all; the crossing by made curves."""

import copy

import pytest

from course_utils.reporting import pretraining, reference

CURVE = [[0, 3.7, 8.4, 8.4], [1000, 3.0, 8.5, 8.5], [4000, 2.2, 9.0, 8.8], [16000, 1.6, 9.5, 6.5]]
JUDGED = {"bits_per_byte": 2.5, "samples": ["one\ntwo", "three"]}
LONG = {
    "start": JUDGED, "evaluations": {"10": JUDGED, "40": JUDGED, "160": JUDGED}, "losses": [8.3, 7.0] * 80,
    "gradient_norms": [1.0, None] * 80, "learning_rates": [1e-3] * 160, "by_position": [6.0, 5.0, 4.0] * 30,
}  # fmt: skip
RECORD = {
    "setting": {"batch_size": 10, "length": 10},
    "summary": {
        "curve": CURVE, "ngrams": {"1000": 2.4, "4000": 2.1, "16000": 1.9}, "short": {"short-0": 2.8},
        "gaps": {"1000": [-0.6, -0.7, -0.5], "4000": [-0.1, -0.2, 0.1], "16000": [0.3, 0.2, 0.4]},
    },
    "points": {
        "long": LONG, "heads": {"10": [[0.1, 0.2]], "160": [[0.1, 0.9]], "date": "today"},
        "short-0": {"losses": [6.0] * 12, "evaluations": {"12": JUDGED}}, "hot": {"stopped": "nan"},
        "leak": {"losses": [1.0] * 12, "evaluations": {"12": JUDGED}, "honest": {"bits_per_byte": 3.75}},
    },
}  # fmt: skip


def test_the_crossing_lies_where_the_line_goes_below():
    assert pretraining.crossing(RECORD) == 16000
    never = copy.deepcopy(RECORD)
    never["summary"]["ngrams"]["16000"] = 1.5
    assert pretraining.crossing(never) is None and pretraining.crossing(pretraining.EMPTY) is None


def test_everything_is_said(capsys):
    for function in (
        pretraining.show_curve, pretraining.show_gaps, pretraining.show_crossing, pretraining.show_samples,
        pretraining.show_induction, pretraining.show_heads, pretraining.show_watched, pretraining.show_position,
    ):  # fmt: skip
        function(RECORD)
    pretraining.show_short(RECORD, {"short-0": "as usual", "hot": "hot", "leak": "sees ahead", "usual": "other"})
    said = capsys.readouterr().out
    for words in (
        "+0.30 [+0.20, +0.40]", "transformer", "not told apart", "n-gram", "From about 16,000 tokens", "one two",
        "first copy 9.50 nats a token, second 6.50, +3.00 less", "0.900", "not finite", "sees ahead, read honestly",
        "3.750", "not recorded yet: usual", "of it by 16,000 tokens",
    ):  # fmt: skip
        assert words in said, words


@pytest.mark.parametrize("live", [(), (1000, 2.9)])
def test_a_part_says_what_is_missing(capsys, live):
    pretraining.show_curve(pretraining.EMPTY, live)
    pretraining.show_curve(RECORD, live)
    for function in (
        pretraining.show_gaps,
        pretraining.show_induction,
        pretraining.show_heads,
        pretraining.show_position,
    ):
        function(pretraining.EMPTY)
    assert capsys.readouterr().out.count("not recorded yet") == 5


def test_without_a_record_there_is_an_empty_one(monkeypatch, capsys):
    def nothing(name):
        raise FileNotFoundError

    monkeypatch.setattr(reference, "load", nothing)
    assert pretraining.load() is pretraining.EMPTY and "python -m course_utils run pretrain" in capsys.readouterr().out
