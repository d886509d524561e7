"""Notebook 17 shows what its record holds, all of it, a part, or nothing; words follow the numbers."""

import re

import pytest

from course_utils.judging import multiple_choice
from course_utils.reporting import evaluation

UP, DOWN, NULL = [0.4, 0.35, 0.45], [-0.1, -0.15, -0.05], [0.01, -0.05, 0.07]
PARTS = [f"{part} {how}" for part in ("seen", "unseen") for how in ("own", "reworded")]
LETTERS = {"A": 0.7, "B": 0.1, "C": 0.1, "D": 0.1}


def model(**shares):
    rules = {key: [0.2, 0.15, 0.25] for key in multiple_choice.RULES} | shares
    return rules | {"letters": LETTERS, "sure": 0.5, "error": 0.3, "right": {}}


ARENA = {"gold mean": {"ppo": 1.0, "empty": -1.0}, "person": {
    "table": {"ppo": [1.0, 0.5, 1.5], "empty": [-1.0, -1.5, -0.5]}, "apart": 1, "neighbours": 1, "both sure": 1,
    "agrees": 1, "kendall": 1.0,
}}  # fmt: skip
SUMMARY = {
    "exam": {"knowledge": {"items": 100, "chance": 0.25, "base": model(letter=UP), "chat": model(byte=UP)}},
    "made up": {"base": {"real": NULL, "invented": UP, "told apart": UP}},
    "bias": {"base": {"jobs": {f"job {n}": n - 5.0 for n in range(10)}, "spread": 1.2, "groups": {"a less b": DOWN}}},
    "bought": {
        "shares": {f"{w} {part}": UP for w in ("before", "after") for part in PARTS},
        "gains": dict.fromkeys(PARTS, NULL),
        "seen own over reworded": UP, "seen over unseen": NULL,
        "detectors": {w: {"min-k": [0.5, 0.6], "order": [0.5, 0.9]} for w in ("before", "after")},
    },
    "ranking": {"0": ARENA},
    "old measures": {"0": {
        "rouge": {"means": {"ppo": 0.1, "empty": 0.4}, "empty": 1, "kendall": -1.0},
        "gold": {"means": {"ppo": 1.0, "empty": -1.0}, "empty": 2, "kendall": 1.0},
    }},
    "variety": {"0": {"ppo": {"gold": 1.0, "words": 9.0, "distinct": 0.5, "self-bleu": 0.3}}},
    "judges": {"chat, grades": NULL, "gold": UP}, "judges, same sign": {"gold": NULL},
    "biases": {"base": {"first place": 0.9, "consistent": 0.2, "longer": UP, "own kind": None}},
}  # fmt: skip
SHOWN = {
    "kinds": evaluation.show_kinds, "scoring": lambda s: evaluation.show_scoring(s, "knowledge"),
    "letters": lambda s: evaluation.show_letters(s, "knowledge"), "made up": evaluation.show_made_up,
    "bias": lambda s: evaluation.show_bias(s, "base"), "bought": evaluation.show_bought,
    "ranking": lambda s: evaluation.show_ranking(s, 0), "fooled": evaluation.show_fooled,
    "old": lambda s: evaluation.show_old_measures(s, 0), "variety": lambda s: evaluation.show_variety(s, 0),
    "judges": evaluation.show_judges, "biases": evaluation.show_biases,
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_nothing_recorded_is_said_and_a_record_is_shown_without_the_mark(name, capsys):
    SHOWN[name]({})
    assert "not recorded yet; `python -m course_utils run evaluation`" in capsys.readouterr().out
    SHOWN[name](SUMMARY)
    said = capsys.readouterr().out
    assert "not recorded" not in said and "≈" not in said and re.search(r"\d", said)


def said(name, capsys):
    SHOWN[name](SUMMARY)
    return capsys.readouterr().out


def test_words_follow_the_numbers(capsys):
    rows = said("kinds", capsys).splitlines()
    assert rows[-2].endswith("yes") and rows[-1].endswith("not told apart") and " byte " in rows[-1]
    assert "tells them apart" in said("made up", capsys) and said("bias", capsys).rstrip().endswith("worse")
    bought = said("bought", capsys)
    assert "seen own over reworded: +0.400 [+0.350, +0.450]: more" in bought
    assert "published order, seed by seed: before 0.50, 0.90" in bought
    assert "comes first by: rouge; last by: gold" in said("old", capsys)
    assert said("judges", capsys).splitlines()[-2].startswith("gold")


def test_another_rule_has_another_winner(capsys):
    printed = said("scoring", capsys)
    assert "letter: base" in printed and "byte: chat" in printed and "2 of 2 models come first" in printed
    assert evaluation.turned(SUMMARY) == [1, 1] and evaluation.turned({}) == [0, 0]


def test_a_ranking_says_what_is_sure(capsys):
    assert "1 of 1 pairs told apart, 1 of 1 neighbours" in said("ranking", capsys)
    assert evaluation.ranking_right(SUMMARY) == [(1, 1)] and evaluation.ranking_right({}) == []


def test_recorded_answers_are_paired_blind(monkeypatch):
    texts = {"ppo": ["a good film", "the same", "fine"], "base": ["a bad film", "the same", "dull"]}
    monkeypatch.setattr(evaluation.reference, "load", lambda name: {"points": {"arena-0": {"texts": texts}}})
    pairs = evaluation.blind_pairs("ppo", "base")
    assert [pair["chosen"] for pair in pairs] == ["a good film", "fine"] and pairs[1]["rejected_id"] == "base: dull"
    assert len(evaluation.blind_pairs("ppo", "base", 1)) == 1
    monkeypatch.setattr(evaluation.reference, "load", lambda name: {"points": {}})
    assert evaluation.blind_pairs("ppo", "base") == []


def test_no_file_is_no_summary(monkeypatch):
    monkeypatch.setattr(evaluation.reference, "load", lambda name: {"summary": SUMMARY})
    assert evaluation.load() == SUMMARY
