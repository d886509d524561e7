"""A policy of two layers with its reference, prompts for it, and rewards that it can learn in seconds."""

import torch

from course_utils.adapters import switching
from course_utils.training import actor as actors
from course_utils.training.ppo import PPOLoss, PPORecipe
from helpers.attention_models import model as strong_model
from helpers.attention_models import token_lists

END = 1


class SmallTurns:
    """Tokens as texts: the numbers, with blanks between."""

    end = END

    def text(self, tokens):
        return " ".join(str(token) for token in tokens if token != END)


def make_actor(temperature=1.0, seed=0):
    """An actor on the small Gemma whose reference is no base model."""
    model = strong_model("gemma").requires_grad_(False)
    weights = switching.weights_of(switching.add(strong_model("gemma"), "x", rank=4), "x")
    generator = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(value.shape, generator=generator) * 0.1 for name, value in weights.items()}
    return actors.make(model, sft=weights, temperature=temperature)


def make_loss(recipe, **how):
    return PPOLoss(make_actor(recipe.temperature, **how), recipe)


def make_recipe(**fields):
    sizes = {
        "steps": 6,
        "batch_size": 8,
        "learning_rate": 5e-3,
        "answer_tokens": 6,
        "save_every": 2,
        "schedule": "constant",
    }
    return PPORecipe(**sizes | {"max_length": 12, "minibatches": 2, "epochs": 2, "missing_end_penalty": 0.0} | fields)


PROMPTS = [
    {"prompt": f"prompt {row}", "prompt_ids": [2, *tokens], "opening_length": 1}
    for row, tokens in enumerate(token_lists([3, 5, 2, 7, 4, 6, 3, 5, 2, 4]))
]


def evens(prompts, texts):
    """The share of even tokens of each text."""
    return torch.tensor(
        [sum(int(word) % 2 == 0 for word in text.split()) / max(1, len(text.split())) for text in texts]
    )
