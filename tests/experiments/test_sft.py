"""The experiment on a tiny model: every kind of point is trained and judged, and the summary is paired."""

from dataclasses import replace

import pytest

from course_utils import recipes, runtime
from course_utils.data import dialogue, instructions
from course_utils.engine.recipe import TrainingRecipe
from course_utils.experiments import sft as sft_experiment
from course_utils.training import sft

ROWS = [{"prompt": f"is the film {word}", "answer": "yes"} for word in ("good", "bad", "fine", "great", "a", "the")]
RECIPE = TrainingRecipe(steps=2, batch_size=2, learning_rate=1e-2, max_length=120)


@pytest.fixture(autouse=True)
def small(tiny_folder, monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    monkeypatch.setattr(instructions, "load", lambda split: ROWS)
    monkeypatch.setattr(instructions, "shown", lambda: ROWS[:2])
    monkeypatch.setattr(sft, "training_rows", lambda size, tokenizer, seed: ROWS)
    monkeypatch.setattr(sft, "recipe_of", lambda tier, steps=2: replace(RECIPE, steps=steps))
    monkeypatch.setattr(sft_experiment, "STEPS", 4)
    monkeypatch.setattr(sft_experiment, "EVERY", 2)
    size = replace(recipes.of("07", "cpu"), scored_tokens=3)
    monkeypatch.setattr(recipes, "of", lambda notebook, tier: size)


def test_a_count_of_rows_trains_on_so_many_and_watches_the_held_out_loss(tmp_path):
    found = sft_experiment.measure("rows-4", runtime.start(quiet=True), tmp_path)
    assert found["rows"] == 4 and found["steps"] == 4 and len(found["losses"]) == 4
    assert [step for step, _ in found["evaluations"]] == [2, 4] and all(loss > 0 for _, loss in found["evaluations"])
    assert len(found["swap"]) == len(found["ended"]) == len(ROWS)


def test_an_adapter_trains_a_share_of_the_weights_at_a_larger_rate(tmp_path):
    run = runtime.start(quiet=True)
    lora, full = (sft_experiment.measure(point, run, tmp_path / point) for point in ("lora", "full"))
    assert lora["trained_weights"] < full["trained_weights"] and lora["peak_mb"] > 0
    assert lora["learning_rate"] == pytest.approx(sft.FULL_TO_LORA * full["learning_rate"])
    assert lora["losses"][0] == pytest.approx(full["losses"][0], rel=0.01), "bf16 and fp32 start alike"


def test_the_rival_is_not_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(dialogue, "plain", dialogue.chat)  # for the tiny tokenizer, ### is three tokens
    assert "losses" not in sft_experiment.measure("prompted", runtime.start(quiet=True), tmp_path)


def test_gains_are_paired_with_the_rival():
    points = {
        "prompted": {"swap": [0.0, 1.0, 2.0, 3.0], "ended": [0.0, 0.0, 1.0, 1.0]},
        "rows-32": {"swap": [0.5, 1.5, 2.5, 3.5], "ended": [1.0, 0.0, 1.0, 1.0]},
    }
    lines = sft_experiment.summary(points)
    assert lines["rows-32"]["swap_gain"] == pytest.approx((0.5, 0.5, 0.5)), "a constant gain has no spread"
    assert lines["rows-32"]["ended"][0] == 0.75 and lines["rows-32"]["ended_gain"][0] == 0.25
    assert "swap_gain" not in lines["prompted"]
