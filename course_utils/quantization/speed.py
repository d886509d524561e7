"""Tokens a second, and why: writing one token reads every weight once, so bandwidth over bytes is the ceiling.

tokens/s ≤ bytes a second / bytes of the weights that a token reads       (one row at a time)
"""

import time

import torch


@torch.inference_mode()
def decode(model, *, batch, tokens, prompt=16):
    """Tokens a second of greedy decoding, over all rows, after one step to warm up.

    The last hidden states are made contiguous before the head: a strided slice with a frozen head takes PyTorch's slow
    path on a CPU, and would be measured instead of the quantization.
    """
    words = model.get_input_embeddings().weight.shape[0]
    ids = (torch.arange(batch * prompt, device=model.device) * 7 + 5).view(batch, prompt) % words
    head, cache, start = model.get_output_embeddings(), None, 0.0
    for step in range(tokens + 2):  # reading the prompt and one token to warm up
        if step == 2:
            start = time.perf_counter()
        output = model.base_model(ids, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        ids = head(output.last_hidden_state[:, -1].contiguous()).argmax(-1, keepdim=True)
    ids.sum().item()  # waits for the device
    return batch * tokens / (time.perf_counter() - start)


@torch.inference_mode()
def prefill(model, *, tokens, rounds=3):
    """Tokens a second of reading one text, the median of a few rounds after one to warm up."""
    words, seconds = model.get_input_embeddings().weight.shape[0], []
    ids = (torch.arange(tokens, device=model.device)[None] * 7 + 5) % words
    for _ in range(rounds + 1):
        start = time.perf_counter()
        model.base_model(ids, use_cache=False).last_hidden_state[0, -1, 0].item()
        seconds.append(time.perf_counter() - start)
    return tokens / sorted(seconds[1:])[rounds // 2]


def copy_bandwidth(*, megabytes=256, rounds=5, device="cpu"):
    """Bytes a second that memory moves in a copy, read and written ones counted, the best of a few rounds.

    Args:
        megabytes: of the block that is copied; far more than the cache holds.
    """
    source = torch.ones(megabytes << 20, dtype=torch.uint8, device=device)
    target, best = torch.empty_like(source), float("inf")
    for _ in range(rounds + 1):
        start = time.perf_counter()
        target.copy_(source)
        target[-1].item()
        best = min(best, time.perf_counter() - start)
    return 2 * source.nbytes / best


def bound(bandwidth, read_bytes):
    """The most tokens a second that one row can be decoded at: bytes a second over bytes that a token reads."""
    if not (bandwidth > 0 and read_bytes > 0):
        raise ValueError(f"Expected a bandwidth and bytes above 0, got {bandwidth} and {read_bytes}.")
    return bandwidth / read_bytes
