from dataclasses import replace

import pytest
import torch
from datasets import Dataset

from course_utils import recipes, runtime
from course_utils.engine import stages
from course_utils.engine.loop import train
from course_utils.engine.recipe import TrainingRecipe
from course_utils.training import sft

RECIPE = TrainingRecipe(steps=30, batch_size=4, learning_rate=1e-2, max_length=120, warmup_steps=3)
ROWS = [
    {"prompt": f"is the film {word}", "answer": answer} for word, answer in zip("abcd", ["yes", "no"] * 2, strict=True)
]


@pytest.fixture
def job(tiny_folder, monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))

    def build(**fields):
        return sft.job("cpu", rows=ROWS, recipe=replace(RECIPE, **fields))

    return build


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_learns_to_answer(job, method, tmp_path):
    made = job(method=method)
    run = sft.precision(made.recipe)
    module = stages.seeded(made.build, 0)
    result = train(module, made.rows, made.collate, made.recipe, tmp_path, run=run, progress=False)
    assert result.losses[-1] < 0.5 * result.losses[0]
    names = [name for name, weight in module.named_parameters() if weight.requires_grad]
    assert all("lora_" in name for name in names) == (method == "lora")


def test_lora_starts_from_the_base_model(job):
    made = job()
    module = stages.seeded(made.build, 0)
    batch = made.collate(made.rows)
    with_adapter = module(batch)
    with module.model.disable_adapter():
        assert torch.equal(with_adapter, module(batch))


def test_full_tuning_keeps_fp32_weights_under_autocast():
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Run:
        dtype: torch.dtype
        autocast: torch.dtype | None

    bf16, full = Run(torch.bfloat16, None), replace(RECIPE, method="full")
    assert sft.precision(full, bf16) == Run(torch.float32, torch.bfloat16)
    assert sft.weights_dtype(full, bf16) == torch.float32
    assert sft.precision(RECIPE, bf16) == bf16 and sft.weights_dtype(RECIPE, bf16) == torch.bfloat16
    t4 = Run(torch.float32, torch.float16)
    assert sft.precision(full, t4) == t4


@pytest.mark.parametrize("tier", runtime.TIERS)
def test_every_tier_has_a_recipe(tier):
    recipe, size = sft.recipe_of(tier, seed=3), recipes.of("07", tier)
    assert (recipe.steps, recipe.batch_size, recipe.learning_rate) == (size.steps, size.batch_size, size.learning_rate)
    assert recipe.seed == 3 and recipe.method == "lora"
    assert sft.recipe_of(tier, steps=4).steps == 4


def test_the_policy_learns_short_answers_and_film_sentences(job, monkeypatch):
    films = Dataset.from_list([{"prompt": "say", "answer": f"film {n}"} for n in range(9)])
    long = {"prompt": "hello", "answer": "no " * 200}
    monkeypatch.setattr(sft.instructions, "load", {"train": [*ROWS, long]}.get)
    monkeypatch.setattr(sft.instructions, "film_sentences", {"train": films}.get)
    size = replace(recipes.of("07", "cpu"), film_sentences=3)
    rows = sft.training_rows(size, job().tokenizer, seed=1)
    assert rows[: len(ROWS)] == ROWS and len(rows) == len(ROWS) + 3 and long not in rows
    assert rows != sft.training_rows(size, job().tokenizer, seed=2)


def test_rows_that_would_be_cut_are_left_out(job):
    assert len(job().rows) == 4
    with pytest.raises(ValueError, match="All 4 rows are longer than 10 tokens"):
        job(max_length=10)


def test_full_tuning_takes_smaller_steps():
    full = sft.for_method(RECIPE, "full")
    assert full.method == "full" and full.learning_rate < 0.1 * RECIPE.learning_rate
    assert sft.for_method(RECIPE, "lora") is RECIPE and sft.for_method(full, "lora") == RECIPE
