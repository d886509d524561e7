"""How fast this machine reads and writes, how fast its memory is, and what that means for each notebook's minutes."""

import time

import torch

from course_utils import recipes
from course_utils.models import static_cache


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


@torch.inference_mode()
def writing_speed(model, *, rows, tokens, prompt=16):
    """Tokens a second of greedy decoding by transformers, over all rows, after one step to warm up.

    The last hidden states are made contiguous before the head: a strided slice with a frozen head takes PyTorch's slow
    path on a CPU, and would be measured instead of the format.
    """
    words = model.config.get_text_config().vocab_size
    ids = (torch.arange(rows * prompt, device=model.device) * 7 + 5).view(rows, prompt) % words
    head, cache, start = model.get_output_embeddings(), None, 0.0
    for step in range(tokens + 2):  # reading the prompt and one token to warm up
        if step == 2:
            start = time.perf_counter()
        output = model.base_model(ids, **static_cache.passed(model, cache))
        cache = output[static_cache.name_in(model.base_model)]
        ids = head(output.last_hidden_state[:, -1].contiguous()).argmax(-1, keepdim=True)
    ids.sum().item()  # waits for the device
    return rows * tokens / (time.perf_counter() - start)


def in_turns(ours, theirs, *, rounds=5):
    """Seconds of one action over those of another, in each of some rounds, sorted.

    Both run in every round, so that a slow moment of the machine meets both; a first round warms up and is left out.

    Args:
        ours, theirs: functions without arguments, which wait for their device.
    """
    ratios = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        ours()
        half = time.perf_counter()
        theirs()
        ratios.append((half - start) / (time.perf_counter() - half))
    return sorted(ratios[1:])


def copy_bandwidth(*, megabytes=256, rounds=5, device="cpu"):
    """Bytes a second that memory moves in a copy, read and written ones counted, the best of a few rounds.

    Args:
        megabytes: of the block that is copied; far more than a cache holds.
    """
    source = torch.ones(megabytes << 20, dtype=torch.uint8, device=device)
    target, best = torch.empty_like(source), float("inf")
    for _ in range(rounds + 1):
        start = time.perf_counter()
        target.copy_(source)
        target[-1].item()
        best = min(best, time.perf_counter() - start)
    return 2 * source.nbytes / best


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
