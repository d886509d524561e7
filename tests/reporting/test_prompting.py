"""Notebook 06 shows what its record holds, all of it, a part, or nothing; words follow the numbers."""

from course_utils.reporting import prompting

UP, DOWN, NULL = [0.1, 0.05, 0.15], [-0.1, -0.15, -0.05], [0.01, -0.05, 0.07]
SUMMARY = {
    "parts": {"base": {"calibrated": {"instruction": UP, "input": DOWN}, "calibrated, with input": {"context": NULL}}},
    "wording": {"base": {"raw": {
        "items": 400, "plain": 0.5, "spread": [-0.02, 0.03], "detectable": 0.04, "beyond": ["role: x"],
        "effects": {"reworded: y": NULL, "role: x": UP, "emotion: z": NULL},
    }}},
    "words": {"base": {"plain": [0.4, 0.3, 0.5], "step by step": [0.3, 0.2, 0.4], "step by step over plain": DOWN}},
    "search": {"16": {"1": {"validation": [0.0], "test": [0.0]}, "8": {"validation": [0.2, 0.1], "test": [0.1, 0.05]}}},
    "manner": {"user: ten": {"letters": DOWN, "words": UP}},
}  # fmt: skip


def test_nothing_recorded_is_said(capsys):
    for show in (
        lambda s: prompting.show_parts(s, "base"), lambda s: prompting.show_wordings(s, "base"),
        lambda s: prompting.show_shares(s, "words", "chat"), lambda s: prompting.show_search(s, 16),
        prompting.show_manner,
    ):  # fmt: skip
        show({})
        assert "not recorded yet; `python -m course_utils run prompting`" in capsys.readouterr().out
    assert prompting.lost({}, 16, 8) == []


def test_no_file_is_no_summary(monkeypatch):
    def absent(name):
        raise FileNotFoundError(name)

    monkeypatch.setattr(prompting.reference, "load", absent)
    assert prompting.load() == {}
    monkeypatch.setattr(prompting.reference, "load", lambda name: {"summary": SUMMARY})
    assert prompting.load() == SUMMARY


def test_words_follow_the_numbers(capsys):
    prompting.show_parts(SUMMARY, "base")
    said = [line.split("  ")[-1].strip() for line in capsys.readouterr().out.splitlines()]
    assert said[-3:] == ["helps", "hurts", "not told apart"]
    prompting.show_shares(SUMMARY, "words", "base")
    assert capsys.readouterr().out.splitlines()[-1].endswith("fewer")
    prompting.show_manner(SUMMARY)
    said = capsys.readouterr().out
    assert said.index("letters a word") < said.index("shorter") < said.index("words a sentence") < said.index("longer")


def test_wordings_stand_beside_the_rewordings(capsys):
    prompting.show_wordings(SUMMARY, "base", "raw")
    said = capsys.readouterr().out
    assert "rewordings move it by -0.020 to +0.030" in said and "reworded: y" not in said
    assert said.rstrip().endswith("1 of 2 go beyond the rewordings: role: x")


def test_what_the_best_loses(capsys):
    prompting.show_search(SUMMARY, 16)
    assert "0.150" in capsys.readouterr().out
    assert prompting.lost(SUMMARY, 16, 8) == [0.1, 0.05]
