"""Which rows a step learns from: a pure function of (seed, step), so that a resumed run sees what it would have seen.

The rows are shuffled anew each epoch and laid end to end into one stream; step t takes its t-th batch. Padding is
saved by sorting rows by length before they are cut into micro-batches. With pool = 1 only the rows of one batch are
sorted: each optimizer step sees exactly the rows, and so the gradient, of an unsorted run. With a larger pool the rows
of several batches are sorted together and those batches come in random order: every row still comes once an epoch,
with less padding, but the rows of one batch are alike in length.
"""

from functools import lru_cache

import numpy as np


def rows_of_step(step, lengths, recipe):
    """Row numbers of one optimizer step's batch.

    Args:
        step: 1 … recipe.steps.
        lengths: (rows,) tokens of each row.
        recipe: a TrainingRecipe.

    Returns:
        batch_size row numbers, the longest first, so that the most memory is needed at once and not at the end.
    """
    group, inside = divmod(step - 1, recipe.pool)
    first = group * recipe.pool * recipe.batch_size
    rows = _stream(recipe.seed, first, recipe.pool * recipe.batch_size, len(lengths))
    rows = rows[np.argsort(-np.asarray(lengths)[rows], kind="stable")]
    order = np.random.default_rng([recipe.seed, 1, group]).permutation(recipe.pool)
    start = order[inside] * recipe.batch_size
    return rows[start : start + recipe.batch_size].tolist()


def micro_batches(rows, size):
    """Cut a batch into runs of at most `size` rows."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _stream(seed, first, count, total):
    """Positions first … first + count − 1 of the endless stream of shuffled epochs."""
    positions = np.arange(first, first + count)
    epochs = positions // total
    parts = [_epoch(seed, int(epoch), total)[positions[epochs == epoch] % total] for epoch in np.unique(epochs)]
    return np.concatenate(parts)


@lru_cache(maxsize=4)
def _epoch(seed, epoch, total):
    return np.random.default_rng([seed, 0, epoch]).permutation(total)
