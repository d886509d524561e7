from dataclasses import replace

import pytest

from course_utils.commands import train
from course_utils.engine import checkpoint
from course_utils.engine.recipe import TrainingRecipe
from course_utils.training import sft

RECIPE = TrainingRecipe(steps=6, batch_size=4, learning_rate=1e-2, max_length=120, save_every=2, warmup_steps=2)
ROWS = [{"prompt": f"is the film {word}", "answer": "yes"} for word in "abcdefgh"]


@pytest.fixture(autouse=True)
def tiny_stage(tiny_folder, monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    monkeypatch.setenv("COURSE_TIER", "cpu")
    monkeypatch.setattr(sft, "training_rows", lambda size, tokenizer, seed: ROWS)
    sizes = {"cpu": RECIPE, "gpu-16gb": replace(RECIPE, steps=3)}
    monkeypatch.setattr(sft, "recipe_of", lambda tier, seed: replace(sizes[tier], seed=seed))


def test_trained_refused_and_resumed(tmp_path, capsys):
    assert train.main(["sft", "--output", str(tmp_path / "run")]) == 0
    said = capsys.readouterr()
    assert "6 steps, last loss" in said.out and checkpoint.steps(tmp_path / "run/checkpoints") == [6, 4]
    assert train.main(["sft", "--output", str(tmp_path / "run")]) == 1
    assert "already holds a run, at step 6. Pass --resume" in capsys.readouterr().err
    (checkpoint.newest(tmp_path / "run/checkpoints").path / "weights.safetensors").unlink()
    assert train.main(["sft", "--output", str(tmp_path / "run"), "--resume"]) == 0
    resumed = capsys.readouterr().out
    assert "weights.safetensors is missing" in resumed and resumed.splitlines()[-1] == said.out.splitlines()[-1]


def test_the_tier_gives_the_sizes_and_options_change_them(tmp_path, capsys):
    assert train.main(["sft", "--tier", "gpu-16gb", "--output", str(tmp_path / "one")]) == 0
    assert "3 steps, last loss" in capsys.readouterr().out
    assert train.main(["sft", "--steps", "2", "--method", "full", "--micro-batch", "1"]) == 0
    assert "2 steps, last loss" in capsys.readouterr().out
    saved = checkpoint.newest(tmp_path / "runs/train/sft/checkpoints")
    assert not any("lora" in name for name in saved.tensors("weights"))
    assert saved.document("environment")["micro_batch"] == 1


def test_another_recipe_ends_with_one_sentence_and_no_traceback(tmp_path, capsys):
    train.main(["sft", "--output", str(tmp_path), "--steps", "2"])
    assert train.main(["sft", "--output", str(tmp_path), "--steps", "4", "--resume"]) == 1
    said = capsys.readouterr().err
    assert "another recipe: now steps 4 instead of 2, warmup_steps 2 instead of 1" in said and "Traceback" not in said


def test_every_stage_can_be_built():
    import importlib

    for module in train.STAGES.values():
        assert callable(importlib.import_module(module).job)
