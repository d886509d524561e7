"""How fast this machine reads, and what that means for each notebook's minutes."""

import time

import torch

from course_utils import recipes


def reading_speed(model, tokens, *, rounds=3):
    """Tokens a second of a forward pass, the median of a few rounds after one to warm up.

    Args:
        model: a causal language model of transformers.
        tokens: length of the sequence that is read.
    """
    row = torch.arange(1, tokens + 1, device=model.device)[None] % model.config.get_text_config().vocab_size
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        with torch.inference_mode():
            model.base_model(row).last_hidden_state[0, -1, 0].item()  # .item() waits for the device
        seconds.append(time.perf_counter() - start)
    return tokens / sorted(seconds[1:])[rounds // 2]


def minutes_here(speed, tier):
    """Each notebook's minutes, scaled from the machine the recipe was measured on to this one.

    Args:
        speed: what `reading_speed` gave here, in tokens a second.
        tier: this machine's tier.

    Returns:
        list of {notebook, minutes, memory GB}; minutes are a guide, since reading is not all that a notebook does.
    """
    scale = recipes.READING_SPEED[tier] / speed
    rows = [(number, recipes.of(number, tier)) for number in recipes.notebooks()]
    return [
        {"notebook": number, "minutes": round(row.minutes * scale, 1), "memory GB": row.memory_gb}
        for number, row in rows
    ]
