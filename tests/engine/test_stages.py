from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from helpers.toy_loss import RUN, SmallCollator, SmallLoss

from course_utils.engine import stages
from course_utils.engine.recipe import TrainingRecipe

RECIPE = TrainingRecipe(steps=6, batch_size=8, learning_rate=0.01, method="full", save_every=2)


@pytest.fixture
def run(tmp_path):
    return SimpleNamespace(**vars(RUN), runs=tmp_path)


@pytest.fixture
def stage(run, rows):
    def call(build=SmallLoss, recipe=RECIPE, **options):
        return stages.run_stage("sft", build, rows, SmallCollator(), recipe, run=run, progress=False, **options)

    return call


def test_trained_once_then_read_back_with_the_same_result_and_output(stage, capsys):
    first = stage()
    said = capsys.readouterr()
    second = stage()
    assert capsys.readouterr() == said
    assert (first.cached, second.cached) == (False, True) and first.folder == second.folder
    assert first.result.metrics == second.result.metrics
    for name, weight in first.module.state_dict().items():
        assert torch.equal(weight, second.module.state_dict()[name])
    assert not second.module.training


def test_one_that_was_stopped_goes_on(stage):
    class Stop(Exception):
        pass

    def stop(module):
        raise Stop

    recipe = replace(RECIPE, evaluate_every=5)
    with pytest.raises(Stop):
        stage(recipe=recipe, evaluate=stop)
    found = stage(recipe=recipe, evaluate=lambda module: {})
    assert found.result.resumed_from == 4 and not found.cached


@pytest.mark.parametrize(
    "change",
    [{"steps": 5}, {"learning_rate": 0.02}, {"micro_batch": 4}, {"seed": 1}, {"pool": 2}],
)
def test_another_recipe_is_another_stage(run, rows, change):
    keys = {
        stages.stage_key(SmallLoss(), rows, SmallCollator(), recipe, run)
        for recipe in (RECIPE, replace(RECIPE, **change))
    }
    assert len(keys) == 2


def test_other_data_weights_threads_and_number_formats_are_another_stage(run, rows, monkeypatch):
    other = SmallLoss()
    other.hidden.bias.data[0] += 1e-3
    changed = [row | {"input_ids": row["input_ids"][::-1]} for row in rows]
    bf16 = SimpleNamespace(**vars(run) | {"autocast": torch.bfloat16})
    arguments = [(SmallLoss(), rows, run), (other, rows, run), (SmallLoss(), changed, run), (SmallLoss(), rows, bf16)]
    keys = [stages.stage_key(module, data, SmallCollator(), RECIPE, how) for module, data, how in arguments]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    keys.append(stages.stage_key(SmallLoss(), rows, SmallCollator(), RECIPE, run))
    monkeypatch.setattr(stages, "code_fingerprint", lambda: "other")
    keys.append(stages.stage_key(SmallLoss(), rows, SmallCollator(), RECIPE, run))
    assert len(set(keys)) == 6


def test_the_starting_weights_are_drawn_from_the_recipes_seed(run, rows):
    def build():
        module = SmallLoss()
        module.hidden.weight.data = torch.randn(16, 16)
        return module

    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    first, second = stages.seeded(build, 3), stages.seeded(build, 3)
    assert torch.equal(first.hidden.weight, second.hidden.weight)
    assert not torch.equal(first.hidden.weight, stages.seeded(build, 4).hidden.weight)
    assert torch.equal(torch.rand(2), expected)


def test_code_counts_and_words_about_it_do_not(tmp_path):
    (tmp_path / "engine").mkdir()
    file = tmp_path / "engine/loop.py"
    (tmp_path / "tensors.py").write_text("")

    def of(text):
        file.write_text(text)
        return stages.code_fingerprint(tmp_path)

    plain = of('"""Words."""\ndef f(x):\n    """More."""\n    return x + 1\n')
    assert of('"""Other."""\n# why\ndef f(x):\n    """Words."""\n\n    return x + 1\n') == plain
    assert of("def f(x):\n    return x + 2\n") != plain
    (tmp_path / "reporting").mkdir()
    (tmp_path / "reporting/plots.py").write_text("x = 1")
    assert of("def f(x):\n    return x + 1\n") == plain
