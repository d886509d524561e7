"""What every row of the recipes has, and what that of pre-training says of its run."""

import pytest

from course_utils import recipe_kinds, recipes


@pytest.mark.parametrize("wrong", [(0, 1), (1, -2)])
def test_a_notebook_takes_time_and_memory(wrong):
    with pytest.raises(ValueError, match="must be positive"):
        recipe_kinds.Recipe(*wrong, measured=False)


def test_the_live_run_reads_so_many_tokens():
    size = recipes.of("03", "cpu")
    assert size.tokens == size.steps * size.batch_size * size.length and size.batch_size % size.micro_batch == 0
    assert 0 < size.share <= 1 and size.width % 2 == 0
