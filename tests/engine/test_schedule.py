import pytest

from course_utils.engine.recipe import TrainingRecipe
from course_utils.engine.schedule import learning_rate


def rates(**fields):
    recipe = TrainingRecipe(**({"steps": 6, "batch_size": 1, "learning_rate": 0.8} | fields))
    return [learning_rate(step, recipe) for step in range(1, recipe.steps + 1)]


def test_by_hand():
    assert rates(schedule="constant", warmup_steps=2) == pytest.approx([0.4, 0.8, 0.8, 0.8, 0.8, 0.8])
    assert rates(schedule="linear", warmup_steps=2) == pytest.approx([0.4, 0.8, 0.8, 0.6, 0.4, 0.2])
    assert rates(schedule="linear", steps=4) == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert rates(schedule="cosine", steps=2) == pytest.approx([0.8, 0.4])


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup_steps", [0, 1, 5])
def test_it_never_reaches_zero_nor_passes_its_highest_point(schedule, warmup_steps):
    found = rates(schedule=schedule, warmup_steps=warmup_steps)
    assert min(found) > 0 and max(found) == pytest.approx(0.8)
