"""The long experiment of notebook 16, on a small model: each point trains, and the summary pairs by item and seed."""

import pytest
import torch
from datasets import Dataset

from course_utils import runtime
from course_utils.data import instructions
from course_utils.evaluation import rounded_base
from course_utils.evaluation.adapter_methods import packed, unpacked
from course_utils.training.recipe import TrainingRecipe

ROWS = [
    {"id": f"r{number}", "text": f"the film is {word}", "ratings": [rating] * 3, "mean": float(rating)}
    for number, (word, rating) in enumerate([("good", 3), ("bad", -3), ("fine", 1), ("great", 4)] * 3)
]


@pytest.fixture
def small(tiny_folder, monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    monkeypatch.setattr(rounded_base.reviews, "load", lambda domain, split: Dataset.from_list(ROWS))
    monkeypatch.setattr(rounded_base, "RECIPE", {"steps": 2, "batch_size": 4, "learning_rate": 1e-2})
    monkeypatch.setattr(rounded_base, "ITEMS", 8)


@pytest.mark.parametrize("arm", rounded_base.ARMS)
def test_each_arm_is_trained_and_judged(arm, small, tmp_path):
    found = rounded_base.measure(f"{arm}-1", runtime.start(quiet=True), tmp_path / "run")
    assert len(unpacked(found["ratings"])) == 8 and len(found["losses"]) == 2
    assert found["seconds_a_step"] > 0 and found["peak_mb"] > 0


@pytest.mark.parametrize("base", ["lora", "qlora"])
def test_the_instruction_rows_are_learned_on_both_bases(base, small, tmp_path, monkeypatch):
    rows = [{"prompt": f"is the film {word}", "answer": "yes"} for word in ("good", "bad", "fine", "great")]
    recipe = TrainingRecipe(steps=2, batch_size=2, learning_rate=1e-2, max_length=120)
    monkeypatch.setattr(instructions, "load", lambda split: rows)
    monkeypatch.setattr(rounded_base.sft, "training_rows", lambda size, tokenizer, seed: rows)
    monkeypatch.setattr(rounded_base.sft, "recipe_of", lambda tier: recipe)
    adapted, made = rounded_base.qlora.adapted, []
    monkeypatch.setattr(rounded_base.qlora, "adapted", lambda *args, **how: made.append(how) or adapted(*args, **how))
    found = rounded_base.measure(f"rows-{base}", runtime.start(quiet=True), tmp_path / "run")
    assert found["loss"] > 0 and len(found["losses"]) == 2 and "ratings" not in found
    assert [how["quantized"] for how in made] == [base == "qlora"]


def test_the_summary_pairs_by_item_and_seed(monkeypatch):
    monkeypatch.setattr(rounded_base.reviews, "load", lambda domain, split: Dataset.from_list(ROWS))
    truth = torch.tensor([row["mean"] for row in ROWS])
    noise = torch.randn(3, len(ROWS), generator=torch.Generator().manual_seed(0))
    points = {"rows-lora": {"loss": 2.0}, "rows-qlora": {"loss": 2.1}}
    for seed in rounded_base.SEEDS:
        for arm, size in (("lora", 0.1), ("qlora", 2.0), ("error", 0.1)):
            points[f"{arm}-{seed}"] = {"ratings": packed(truth + size * noise[seed])}
    lines = rounded_base.summary(points)
    assert lines["lora"][0] > 0.99 and lines["rows-qlora"] == 2.1
    assert lines["qlora − lora"][2] < 0 and lines["error − lora"] == pytest.approx((0, 0, 0), abs=1e-3)
    assert list(rounded_base.summary({"rows-lora": {"loss": 2.0}})) == ["rows-lora"]  # what is missing is left out
