"""Notebook 02 shows what its record holds, all of it, a part, or nothing."""

import pytest

from course_utils.reporting import data_record, plots

CELL = {"mean": 5.0, "low": 4.0, "high": 6.0, "recited": 2, "of": 12}
SUMMARY = {
    "documents": {"raw": {"taken": 10, "kept": 10, "tokens": 99}, "filtered": {"taken": 12, "kept": 9, "tokens": 99}},
    "reasons": {"filtered": {"words": 2, "stop words": 1}},
    "quality": {"all": [-0.1, -0.2, -0.05], "code": [0.3, 0.1, 0.5], "news": [0.0, -0.1, 0.1]},
    "canaries": {"copied": {"0": CELL, "100": CELL | {"mean": 5.5}, "10": CELL}},
}


def test_nothing_recorded_is_said(capsys):
    data_record.show_documents({})
    data_record.show_canaries({})
    data_record.show_differences({}, "quality", "filtered − raw")
    assert capsys.readouterr().out.count("not recorded") == 3
    assert data_record.exposure({}, "copied", 100) is data_record.exposure({}, "copied") is None
    assert data_record.difference({}, "quality") is None


def test_no_file_is_no_summary(monkeypatch):
    def absent(name):
        raise FileNotFoundError(name)

    monkeypatch.setattr(data_record.reference, "load", absent)
    assert data_record.load() == {}
    monkeypatch.setattr(data_record.reference, "load", lambda name: {"summary": SUMMARY})
    assert data_record.load() == SUMMARY


def test_a_part_is_shown(capsys):
    data_record.show_documents(SUMMARY)
    assert "filtered: 2 words, 1 stop words" in capsys.readouterr().out
    data_record.show_differences(SUMMARY, "quality", "filtered − raw")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1].strip() for line in lines[1:]] == ["fewer bits", "more bits", "not told apart"]
    data_record.show_differences(SUMMARY | {"held_out": {"code": 2}}, "quality", "filtered − raw")
    assert "more bits, 2 documents" in capsys.readouterr().out


def test_canaries_are_shown_in_the_order_of_copies(capsys):
    data_record.show_canaries(SUMMARY)
    said = capsys.readouterr().out
    assert said.index("copied        0") < said.index("copied       10") < said.index("copied      100")
    assert "2 of 12" in said and said.count("above guessing (1.4)") == 3 and "together" not in said
    assert data_record.copies(SUMMARY) == [0, 10, 100]
    assert data_record.exposure(SUMMARY, "copied") == 5.5 and data_record.exposure(SUMMARY, "copied", 10) == 5.0


def test_words_beside_guessing_come_from_the_interval(capsys):
    cells = [CELL | {"mean": 1.1, "low": 1.0, "high": high} for high in (6.0, 1.2)]
    data_record.show_canaries({"canaries": {"copied": dict(zip("19", cells, strict=True))}})
    said = capsys.readouterr().out.splitlines()
    assert "not told from guessing (1.4)" in said[2] and "below guessing (1.4)" in said[3]


def test_canaries_left_once_are_counted_together(capsys):
    left = {"0": CELL | {"exposures": [9.0]}, "1": CELL | {"exposures": [1.0, 1.2]}, "100": CELL | {"exposures": [1.1]}}
    summary = {"canaries": {"deduplicated": left}}
    assert data_record.left(summary).items == 3 and data_record.left(summary).mean == pytest.approx(1.1)
    data_record.show_canaries(summary)
    assert "all 3 together: 1.10 [1.00, 1.20] bits, below guessing (1.4)" in capsys.readouterr().out
    assert data_record.left({}) is None


def test_intervals_of_canaries_are_drawn(monkeypatch):
    figures = []
    monkeypatch.setattr(plots.plt, "show", lambda: figures.append(plots.plt.gcf().axes[0]))
    data_record.show_canaries(SUMMARY)
    drawn = [line.get_ydata().tolist() for line in figures[0].lines if line.get_label().startswith("_")]
    assert drawn == [[4.0, 6.0]] * 3
