"""The long experiment of notebook 16, on a small model: each point trains, and the summary pairs by item and seed."""

import pytest
import torch
from datasets import Dataset

from course_utils import runtime
from course_utils.data import instructions
from course_utils.engine.recipe import TrainingRecipe
from course_utils.evaluation.graded import from_line, to_line
from course_utils.experiments import qlora

ROWS = [
    {"id": f"r{number}", "text": f"the film is {word}", "ratings": [rating] * 3, "mean": float(rating)}
    for number, (word, rating) in enumerate([("good", 3), ("bad", -3), ("fine", 1), ("great", 4)] * 3)
]


@pytest.fixture
def small(tiny_folder, monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    monkeypatch.setattr(qlora.reviews, "load", lambda domain, split: Dataset.from_list(ROWS))
    monkeypatch.setattr(qlora, "RECIPE", {"steps": 2, "batch_size": 4, "learning_rate": 1e-2})
    monkeypatch.setattr(qlora, "ITEMS", 8)


@pytest.mark.parametrize("arm", qlora.ARMS)
def test_each_arm_is_trained_and_judged(arm, small, tmp_path):
    found = qlora.measure(f"{arm}-1", runtime.start(quiet=True), tmp_path / "run")
    assert len(from_line(found["ratings"])) == 8 and len(found["losses"]) == 2
    assert found["seconds_a_step"] > 0 and found["peak_mb"] > 0


@pytest.mark.parametrize("base", ["lora", "qlora"])
def test_the_instruction_rows_are_learned_on_both_bases(base, small, tmp_path, monkeypatch):
    rows = [{"prompt": f"is the film {word}", "answer": "yes"} for word in ("good", "bad", "fine", "great")]
    recipe = TrainingRecipe(steps=2, batch_size=2, learning_rate=1e-2, max_length=120)
    monkeypatch.setattr(instructions, "load", lambda split: rows)
    monkeypatch.setattr(qlora.sft, "training_rows", lambda size, tokenizer, seed: rows)
    monkeypatch.setattr(qlora.sft, "recipe_of", lambda tier: recipe)
    adapted, made = qlora.qlora.adapted, []
    monkeypatch.setattr(qlora.qlora, "adapted", lambda *args, **how: made.append(how) or adapted(*args, **how))
    found = qlora.measure(f"rows-{base}", runtime.start(quiet=True), tmp_path / "run")
    assert found["loss"] > 0 and len(found["losses"]) == 2 and "ratings" not in found
    assert [how["quantized"] for how in made] == [base == "qlora"]


def test_the_summary_pairs_by_item_and_seed(monkeypatch):
    monkeypatch.setattr(qlora.reviews, "load", lambda domain, split: Dataset.from_list(ROWS))
    truth = torch.tensor([row["mean"] for row in ROWS])
    noise = torch.randn(3, len(ROWS), generator=torch.Generator().manual_seed(0))
    points = {"rows-lora": {"loss": 2.0}, "rows-qlora": {"loss": 2.1}}
    for seed in qlora.SEEDS:
        for arm, size in (("lora", 0.1), ("qlora", 2.0), ("error", 0.1)):
            points[f"{arm}-{seed}"] = {"ratings": to_line(truth + size * noise[seed])}
    lines = qlora.summary(points)
    assert lines["lora"][0] > 0.99 and lines["rows-qlora"] == 2.1
    assert lines["qlora − lora"][2] < 0 and lines["error − lora"] == pytest.approx((0, 0, 0), abs=1e-3)
    assert list(qlora.summary({"rows-lora": {"loss": 2.0}})) == ["rows-lora"]  # what is missing is left out
