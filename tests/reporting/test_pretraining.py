"""What is shown of the long pre-training: whole, in part, and not at all; the crossing by made curves."""

import copy

import pytest

from course_utils.reporting import plots, pretraining, reference

CURVE = [[0, 3.7, 8.4, 8.4], [1000, 3.0, 8.5, 8.5], [4000, 2.2, 9.0, 8.8], [16000, 1.6, 9.5, 6.5]]
JUDGED = {"bits_per_byte": 2.5, "samples": ["one\ntwo", "three"], "bits": [100.0, 300.0, 200.0]}
LONG = {
    "start": JUDGED, "evaluations": {"10": JUDGED, "40": JUDGED, "160": JUDGED}, "losses": [8.3, 7.0] * 80,
    "gradient_norms": [1.0, None] * 80, "learning_rates": [1e-3] * 160, "by_position": [6.0, 5.0, 4.0] * 30,
    "position_documents": 7,
}  # fmt: skip
RECORD = {
    "setting": {"batch_size": 10, "length": 10},
    "summary": {
        "curve": CURVE, "ngrams": {"1000": 2.4, "4000": 2.1, "16000": 1.9}, "short": {"short-0": 2.8},
        "gaps": {"1000": [-0.6, -0.7, -0.5], "4000": [-0.1, -0.2, 0.1], "16000": [0.3, 0.2, 0.4]},
    },
    "points": {
        "long": LONG, "heads": {"10": [[0.1, 0.2]], "160": [[0.1, 0.9]], "date": "today"},
        "ngram-16000": {"ids": ["a/1", "b/1", "b/2"], "bits": [90.0, 320.0, 260.0], "bytes": [100, 100, 100]},
    },
}  # fmt: skip


def test_the_crossing_lies_where_the_line_goes_below():
    assert pretraining.crossing(RECORD) == (16000, 16000)
    never = copy.deepcopy(RECORD)
    never["summary"]["ngrams"]["16000"] = 1.5
    assert pretraining.crossing(never) == (None, 16000) and pretraining.crossing(pretraining.EMPTY) is None


def test_a_line_that_comes_back_has_not_crossed_there():
    back = copy.deepcopy(RECORD)
    back["summary"]["ngrams"] |= {"1000": 3.1, "16000": 1.5}
    assert pretraining.crossing(back) == (None, 16000)


def test_nothing_is_compared_beyond_the_last_n_gram():
    part = copy.deepcopy(RECORD)
    del part["summary"]["ngrams"]["16000"]
    assert pretraining.crossing(part) == (None, 4000)


def test_everything_is_said(capsys):
    for function in (
        pretraining.show_curve, pretraining.show_gaps, pretraining.show_crossing, pretraining.show_samples,
        pretraining.show_induction, pretraining.show_heads, pretraining.show_watched, pretraining.show_position,
        pretraining.show_sources,
    ):  # fmt: skip
        function(RECORD)
    said = capsys.readouterr().out
    for words in (
        "+0.30 [+0.20, +0.40]", "transformer", "not told apart", "n-gram", "From about 16,000 tokens", "one two",
        "From 1,000 to 16,000 tokens the transformer saves 1.40 bits a byte, the n-gram 0.50.",
        "first copy 9.50 nats a token, second 6.50; the second is +3.00 cheaper",
        "93% of that gain, between 4,000 and 16,000 tokens", "0.900", "By then head 1 of layer 0", "7 documents:",
        "ahead on 2 of 3 documents", "best for the n-gram: a, -0.10 (1 document)",
        "best for the transformer: b, +0.40 (2 documents)",
    ):  # fmt: skip
        assert words in said, words


def test_no_copying_is_said_so(capsys):
    flat = copy.deepcopy(RECORD)
    flat["summary"]["curve"][-1][3] = 9.45
    flat["points"]["heads"]["160"] = [[0.1, 0.3]]
    pretraining.show_induction(flat)
    pretraining.show_heads(flat)
    said = capsys.readouterr().out
    assert "has not learned to copy" in said and "stride" not in said and "no head spends half" in said


def test_samples_grow_fourfold(capsys):
    pretraining.show_samples(RECORD)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["0", "1,000", "4,000", "16,000"]


@pytest.mark.parametrize("live", [(), (1000, 2.9, 2.5)])
def test_a_part_says_what_is_missing(capsys, live):
    pretraining.show_curve(pretraining.EMPTY, live)
    pretraining.show_curve(RECORD, live)
    for function in (
        pretraining.show_gaps,
        pretraining.show_induction,
        pretraining.show_heads,
        pretraining.show_position,
        pretraining.show_sources,
        pretraining.show_crossing,
    ):
        function(pretraining.EMPTY)
    assert capsys.readouterr().out.count("not recorded yet") == 7


def test_without_a_record_there_is_an_empty_one(monkeypatch, capsys):
    def nothing(name):
        raise FileNotFoundError

    monkeypatch.setattr(reference, "load", nothing)
    assert pretraining.load() is pretraining.EMPTY and "python -m course_utils run pretrain" in capsys.readouterr().out


def test_the_live_run_stands_beside_its_own_n_gram(monkeypatch):
    figures = []
    monkeypatch.setattr(plots.plt, "show", lambda: figures.append(plots.plt.gcf().axes[0]))
    pretraining.show_curve(RECORD, (1000, 2.9, 2.5))
    marks = {line.get_label(): line.get_ydata().tolist() for line in figures[0].lines}
    assert marks["your run"] == [2.9] and marks["its n-gram"] == [2.5]


def test_a_rate_that_the_record_rounds_away_is_not_called_zero(capsys):
    record = copy.deepcopy(RECORD)
    record["points"]["long"]["learning_rates"][-1] = 0.0
    pretraining.show_watched(record)
    last = capsys.readouterr().out.splitlines()[-1]
    assert "below 5e-08" in last and "0.0e+00" not in last
