"""The record of the long comparison, as notebooks 10 to 14 show it."""

from types import SimpleNamespace

import pytest
import torch

from course_utils.evaluation import graded
from course_utils.reporting import long_comparison


@pytest.fixture
def known():
    def arm(mean, gap, **more):
        figures = {"trained": 46080, "bytes": 191276, "seconds_a_step": 1.7, "peak_mb": 1971, "divergence": 0.04}
        found = {"seeds": [mean], "median": mean, "best": mean, "alone": [mean, mean - 0.02, mean + 0.01]}
        return figures | found | {"over zero-shot": gap, "news": [mean - 0.2, mean - 0.3, mean - 0.1]} | more

    summary = {
        "zero-shot": {"alone": [0.42, 0.39, 0.45]},
        "lora": arm(
            0.85,
            [0.43, 0.40, 0.47],
            **{"over full": [-0.02, -0.03, -0.01], "from 32": [0.6, 0.5, 0.7], "over start": [0.43, 0.40, 0.47]},
            start={"predicted": 0.3, "calibrated": 0.42},
        ),
        "prompt": arm(0.83, [0.01, -0.02, 0.04]),
    }
    setting = {"test": 2000, "steps": 36, "validation": 200, "shifted": {"news": 200}, "few": [32], "seeds": [0, 1]}
    points = {"baselines": {"person": 0.88}, "rate-lora-middle": {"correlation": 0.83}}
    truth = torch.arange(-10, 10) / 5
    points["baselines"]["truth"] = graded.to_line(truth)
    points["test-lora-0"] = {"predicted": graded.to_line(truth)}
    points["test-prompt-0"] = {"predicted": graded.to_line(truth + torch.tensor([1.0, -1.0]).repeat(10))}
    points["rate-prompt-middle"] = {"correlation": 0.77}
    return {"summary": summary, "setting": setting, "points": points}


def test_verdicts_follow_the_paired_interval_and_name_what_is_there(known, capsys):
    long_comparison.show_verdicts(known, "lora", 0.84, items=200)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seed by seed: 0.850"
    assert lines[1].startswith("LoRA r8 is above its own untrained start: +0.430")
    assert lines[2].startswith("LoRA r8 is above zero-shot, calibrated: +0.430 [+0.400, +0.470]")
    assert lines[3].startswith("LoRA r8 is below full tuning: −0.020")
    assert lines[4].startswith("a trial with your recipe reached 0.83, so yours should lie between 0.76 and 0.88")
    assert lines[5] == "it is ≈0.84: inside" and len(lines) == 6
    long_comparison.show_verdicts(known, "prompt", 0.1, items=200)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("prompt tuning is not told apart from zero-shot") and lines[-1].endswith("outside")


def test_the_gain_is_shown_over_the_better_start(known, capsys):
    long_comparison.show_start(known, "lora")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("trained, seed by seed: ")
    assert lines[1] == "untrained start on 2,000 reviews, calibrated: 0.420"
    assert lines[2] == "gain: +0.430 [+0.400, +0.470]: above the start"


def test_a_baseline_of_the_record_is_read_for_just_these_reviews(known, monkeypatch):
    rows = [{"id": f"movies-{place}", "mean": mean / 5} for place, mean in enumerate(range(-10, 10))]
    monkeypatch.setattr(graded.Exam, "of", classmethod(lambda cls, count, tokenizer: cls(rows[:count], tokenizer)))
    known["points"]["baselines"]["examples"] = graded.to_line(torch.arange(20) / 10)
    few = graded.Exam([rows[17], rows[3]], None)
    assert long_comparison.rated(known, "examples", few).tolist() == pytest.approx([1.7, 0.3])
    for odd in ({"id": "movies-99", "mean": 0.0}, rows[3] | {"mean": 2.0}):
        with pytest.raises(ValueError, match="first 20 test reviews"):
            long_comparison.rated(known, "examples", graded.Exam([rows[1], odd], None))


def test_a_start_that_was_not_measured_is_not_made_up(known, capsys):
    del known["summary"]["lora"]["start"]
    long_comparison.show_start(known, "lora")
    assert capsys.readouterr().out.splitlines()[-1].startswith("its untrained start is not in the record yet")


def test_a_rival_is_compared_review_by_review_over_the_seeds_of_both(known, capsys):
    long_comparison.show_verdicts(known, "lora", 0.84, items=200, rivals=("prompt",))
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("LoRA r8 is above prompt"))
    mean, low, high = long_comparison.paired(known, "lora", "prompt")
    assert 0 < low < mean < high and f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]" in line
    assert long_comparison.paired(known, "prompt", "lora")[0] == pytest.approx(-mean)


def test_a_run_of_another_size_is_not_held_against_the_trial(known, monkeypatch, capsys):
    monkeypatch.setattr(long_comparison.runtime, "current", lambda: SimpleNamespace(tier="gpu-16gb"))
    long_comparison.show_verdicts(known, "lora", 0.84, items=200)
    assert capsys.readouterr().out.endswith("your run is not held against one\n")


def test_bars_say_how_many_seeds_stand_behind_them(known, capsys):
    long_comparison.show_bars(known, "lora")
    out = capsys.readouterr().out
    assert "2,000 reviews, 36 steps, 1 seeds of each trained method" in out and "one person, 0.880" in out


def test_values_stand_beside_the_plot_and_the_own_method_has_the_largest_mark(known, monkeypatch):
    shown = []
    monkeypatch.setattr(long_comparison.plots, "_show", lambda figure, text: shown.append((figure, text)))
    long_comparison.show_bars(known, "lora")
    ((figure, text),) = shown
    (ax,) = figure.axes
    values = {label.get_text(): label for label in ax.texts}
    assert set(values) == {"0.420", "0.850", "0.830"}
    begins = [label.get_transform().transform(label.get_position())[0] for label in values.values()]
    assert min(begins) > ax.bbox.x1, "no line of the plot reaches there"
    marks = [line for line in ax.lines if line.get_marker() in ("o", "s", "^")]
    (largest,) = (line for line in marks if line.get_markersize() > 8)
    assert largest.get_ydata()[0] == 1 and len({line.get_marker() for line in marks}) == 3
    assert text.endswith("the largest mark is LoRA r8")


def test_tables_leave_a_dash_where_nothing_was_measured(known, capsys):
    long_comparison.show_shift(known)
    out = capsys.readouterr().out
    prompt = next(line for line in out.splitlines() if line.startswith("prompt tuning"))
    assert prompt.split() == ["prompt", "tuning", "0.830", "0.630", "–"]
    assert "first in each column: {'movies': 'LoRA r8', 'news': 'LoRA r8', 'from 32': 'LoRA r8'}" in out
    assert "'news': 0.1" in out
    long_comparison.show_costs(known)
    out = capsys.readouterr().out
    assert "46,080" in out and "zero-shot" not in out


def test_anchors_are_named_and_told_apart(capsys):
    arms = {
        arm: {"start": 0.5, "seeds": [0.78, score]} for arm, score in (("none", 0.8), ("task", 0.9), ("other", 0.7))
    }
    gaps = {"task over none": [0.05, 0.01, 0.09], "other over none": [-0.05, -0.1, 0.02]}
    long_comparison.show_anchors({"summary": arms | gaps, "setting": {"task": " rating"}})
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "anchor 'rating'    start 0.500, trained, seed by seed: 0.780, 0.900" and len(lines) == 5
    assert lines[3] == "anchor 'rating' is above no anchor: +0.050 [+0.010, +0.090]"
    assert lines[4].startswith("anchor of no task is not told apart from no anchor: −0.050")


def test_forgetting_shows_every_task_with_its_base_and_the_gain(capsys):
    def side(right):
        kinds = {"written": [right, right - 0.1, right + 0.1], "dates": [right, right - 0.2, right + 0.2]}
        logps = {"written": [-1.5, -2.0, -1.0], "text": [-0.02, -0.03, -0.01]}
        return {"correlation": [0.8, 0.7, 0.9], "right": kinds, "logps": logps}

    summary = {name: side(right) for name, right in (("lora", -0.1), ("full", 0.2), ("lora over full", -0.3))}
    summary |= {"base": {"written": 0.5, "dates": 0.9, "text": -3.0}, "questions": {"written": 152, "dates": 40}}
    long_comparison.show_forgetting({"summary": summary})
    lines = capsys.readouterr().out.splitlines()
    heading, _, written, *_ = (" ".join(line.split()) for line in lines)
    assert heading == "share right base LoRA r8 full tuning LoRA − full"
    assert written == "written 0.50 −0.10 [−0.20, +0.00] +0.20 [+0.10, +0.30] −0.30 [−0.40, −0.20]"
    assert lines[3].startswith("dates") and "0.90" in lines[3] and len(lines) == 8
    assert lines[5].startswith("LoRA r8: correlation with people 0.80 [0.70, 0.90]; log p of a written answer −1.50")
    assert "correlation with people +0.80 [+0.70, +0.90]" in lines[7] and lines[7].endswith("−0.020 [−0.030, −0.010]")
