"""Virtual tokens: what a soft prompt puts before every row, at the embeddings or in each layer's cache.

    prompt and P-tuning   [v v v] <bos> a b c     learned vectors stand before the embeddings of the input
    prefix tuning         every layer's keys and values begin with learned ones; the input stays as it is

Both are hooks on the model's trunk, so the model is called as before and answers for its own tokens alone: logits have
the shape of the input. Batches may be padded, packed (`models.packing`) or generated from; real tokens count their
positions from k on. This module is the only place that fills transformers' cache with learned values.

Shapes: B rows, T tokens, N tokens of packed rows, k virtual tokens, D width, L layers, K key-value heads, H head width.
"""

import contextlib

import torch

from course_utils.models.prefix import masks


class Hooks(list):
    """Handles of hooks; `remove` takes them all away."""

    def remove(self):
        while self:
            self.pop().remove()


def before_embeddings(model, make):
    """Put virtual tokens before the embeddings from now on.

    Args:
        model: a causal language model of transformers.
        make: () -> (k, D), in the space of the embeddings as the first layer sees them (Gemma scales its own by √D).

    Returns:
        Hooks.
    """
    kept = []  # of each call under way: the positions of its real tokens

    def insert(trunk, args, kwargs):
        kwargs = _named(args, kwargs)
        vectors = make()
        started = _started(kwargs)
        kwargs = _shifted(kwargs, len(vectors))
        kept.append(slice(None))
        if started:
            return (), kwargs
        ids, embeds, lengths = kwargs.pop("input_ids", None), kwargs.get("inputs_embeds"), kwargs.get("row_lengths")
        embeds = trunk.get_input_embeddings()(ids) if embeds is None else embeds
        kwargs["inputs_embeds"] = in_front(vectors.to(embeds.dtype), embeds, lengths)
        if kwargs.get("position_ids") is not None:
            first = torch.arange(len(vectors), device=embeds.device)
            kwargs["position_ids"] = in_front(first, kwargs["position_ids"], lengths)
        kept[-1] = slice(len(vectors), None)
        if lengths:
            kept[-1] = order(len(vectors), lengths, embeds.device) >= len(vectors)
            kwargs["row_lengths"] = tuple(len(vectors) + length for length in lengths)
        return (), kwargs

    def cut(trunk, args, output):
        # contiguous, since a frozen head is slow on a strided slice (torch 2.13 on a CPU)
        output.last_hidden_state = output.last_hidden_state[:, kept.pop()].contiguous()
        return output

    trunk = model.base_model
    return Hooks([trunk.register_forward_pre_hook(insert, with_kwargs=True), trunk.register_forward_hook(cut)])


def before_cache(model, make):
    """Let every layer's keys and values begin with learned ones from now on.

    Args:
        model: a causal language model of transformers.
        make: () -> (L, 2, K, k, H), for each layer keys and values.

    Returns:
        Hooks.
    """

    def insert(trunk, args, kwargs):
        kwargs = _named(args, kwargs)
        learned = make()
        started, k = _started(kwargs), learned.shape[3]
        kwargs = _shifted(kwargs, k)
        if started:
            return (), kwargs
        if trunk.training and getattr(trunk, "gradient_checkpointing", False):
            raise ValueError(CHECKPOINTING)
        ids, lengths = kwargs.get("input_ids"), kwargs.get("row_lengths")
        given = kwargs.get("inputs_embeds") if ids is None else ids
        if lengths:
            kwargs["attention_mask"] = masks(trunk, k, *_owners(lengths))
        cache = kwargs.get("past_key_values")
        kind = learned.device.type  # a cache holds one dtype: under autocast the layers' own keys come in autocast's
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else trunk.dtype
        kwargs["past_key_values"] = filled(learned.to(dtype), len(given), cache)
        return (), kwargs

    return Hooks([model.base_model.register_forward_pre_hook(insert, with_kwargs=True)])


CHECKPOINTING = (
    "A prefix lives in the key-value cache, and activation checkpointing switches that cache off while training: the "
    "prefix would be lost without a word. Call model.gradient_checkpointing_disable(), and take a smaller micro_batch "
    "if memory is short."
)


def filled(learned, rows, cache=None):
    """A cache of transformers that already holds keys and values: learned (L, 2, K, k, H), the same for all rows."""
    if cache is None:
        from transformers import DynamicCache

        cache = DynamicCache()  # without the config it keeps every position; the masks apply a sliding window
    for layer, (keys, values) in enumerate(learned):
        cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), layer)
    return cache


def read(cache):
    """(L, 2, K, T, H) keys and values of the first row of a cache."""
    return torch.stack([torch.stack([layer.keys[0], layer.values[0]]) for layer in cache.layers])


@contextlib.contextmanager
def of_library(model):
    """Inside the context a peft model's virtual tokens stand before its trunk; any other model stays as it is."""
    config = getattr(model, "active_peft_config", None)
    if config is None or not config.is_prompt_learning or model._adapters_disabled:
        yield
        return
    base = model.get_base_model()
    in_cache = config.peft_type == "PREFIX_TUNING"
    put = before_cache if in_cache else before_embeddings
    hooks = put(base, lambda: read(model.get_prompt(1)) if in_cache else model.get_prompt(1)[0])
    try:
        yield
    finally:
        hooks.remove()


def in_front(first, rows, lengths=None):
    """`first` (k, …) before every row of `rows`: (B, T, …) → (B, k + T, …), or packed (1, N, …) → (1, N + B·k, …)."""
    if lengths:
        return torch.cat([first, rows[0]])[order(len(first), lengths, rows.device)][None]
    return torch.cat([first.expand(len(rows), *first.shape), rows], dim=1)


def order(k, lengths, device=None):
    """Where the tokens of packed rows come from when each gets the same k before it: the k are 0 … k − 1, row tokens
    follow from k on.

        k = 2, lengths (3, 1):  0 1 2 3 4 | 0 1 5
    """
    ends = torch.tensor(lengths).cumsum(0) + k
    rows = [torch.arange(end - length, end) for end, length in zip(ends.tolist(), lengths, strict=True)]
    return torch.cat([part for row in rows for part in (torch.arange(k), row)]).to(device)


def _named(args, kwargs):
    """The trunk's arguments by name; input_ids is its first."""
    return {**kwargs, "input_ids": args[0]} if args else dict(kwargs)


def _started(kwargs):
    """Whether this call goes on from tokens that are in the cache: then the virtual ones are there too."""
    cache = kwargs.get("past_key_values")
    return cache is not None and cache.get_seq_length() > 0


def _shifted(kwargs, k):
    """The arguments when k positions stand in front of the given ones."""
    mask, positions = kwargs.get("attention_mask"), kwargs.get("position_ids")
    if isinstance(mask, dict) or (mask is not None and mask.dim() != 2):
        raise ValueError("Virtual tokens cannot be put before a hand-made attention mask; pass one of shape (B, T).")
    if mask is not None:
        kwargs["attention_mask"] = torch.cat([mask.new_ones(len(mask), k), mask], dim=1)
    if positions is not None:
        kwargs["position_ids"] = positions + k
    return kwargs


def _owners(lengths):
    """(row, place in the row) of each packed token, both (1, N)."""
    rows = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return rows[None], torch.cat([torch.arange(length) for length in lengths])[None]
