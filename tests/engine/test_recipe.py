import dataclasses

import pytest

from course_utils.engine.recipe import TrainingRecipe


def make(**fields):
    return TrainingRecipe(**({"steps": 10, "batch_size": 8, "learning_rate": 1e-3} | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"learning_rate": 3}, {"micro_batch": 9},
        {"max_length": 0}, {"method": "lorra"}, {"warmup_steps": 10}, {"schedule": "step"}, {"clip": 0},
        {"weight_decay": -1}, {"betas": (0.9, 1.0)}, {"seed": -1}, {"pool": 0}, {"save_every": 0}, {"steps": 2.5},
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_named_with_what_was_expected(fields):
    with pytest.raises(ValueError, match=rf"TrainingRecipe\({next(iter(fields))}=.*expected"):
        make(**fields)


def test_prefix_tuning_refuses_activation_checkpointing():
    with pytest.raises(ValueError, match="exclude each other"):
        make(method="prefix", activation_checkpointing=True)


def test_the_micro_batch_is_the_whole_batch_unless_given():
    assert make().micro_batch == 8
    assert make(micro_batch=2).micro_batch == 2


def test_identity_ignores_what_only_moves_memory_and_time():
    assert make(micro_batch=2, save_every=3, activation_checkpointing=True).identity == make().identity
    for field, value in {"steps": 11, "learning_rate": 2e-3, "seed": 1, "clip": 2.0, "pool": 2}.items():
        assert make(**{field: value}).identity != make().identity


def test_a_recipe_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().steps = 3
