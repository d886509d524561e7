"""The learning rate as a pure function of the step, so that there is no scheduler whose state could be lost."""

import math


def learning_rate(step, recipe):
    """The learning rate of one optimizer step.

    Args:
        step: 1 … recipe.steps.
        recipe: a TrainingRecipe.

    Returns:
        It rises linearly to recipe.learning_rate at the last warm-up step; afterwards it stays (constant) or falls
        (linear, cosine) so that one step more would reach 0.
    """
    if step <= recipe.warmup_steps:
        return recipe.learning_rate * step / recipe.warmup_steps
    # share of the way from the end of the warm-up to one step past the last, in [0, 1)
    progress = (step - 1 - recipe.warmup_steps) / (recipe.steps - recipe.warmup_steps)
    factor = {"constant": 1.0, "linear": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}
    return recipe.learning_rate * factor[recipe.schedule]
