"""Virtual tokens: what a soft prompt puts before every row, at the embeddings or in each layer's cache.

    prompt and P-tuning   [v v v] <bos> a b c     learned vectors stand before the embeddings of the input
    prefix tuning         every layer's keys and values begin with learned ones; the input stays as it is

Both are hooks on the model's trunk, so the model is called as before and answers for its own tokens alone: logits have
the shape of the input. Rows may be padded on either side or generated from; real tokens count their positions from k
on, without the pads before them. Deviation: peft's own forward pass counts those pads when no positions are given, so
rows padded on the left get other logits there than alone (here by 0.5 to 0.8); pass position_ids, or pad on the right.
Packed rows of a peft model share theirs (`models.packing`). This module is the only place that fills a cache
of transformers with learned values.

Shapes: B rows, T tokens, N tokens of packed rows, k virtual tokens, D width, L layers, K key-value heads, H head width.
"""

import contextlib
from dataclasses import dataclass

import torch

from course_utils.models import static_cache


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
        kwargs = _named(trunk, args, kwargs)
        vectors = make()
        started = _started(trunk, kwargs)
        kwargs = _shifted(kwargs, len(vectors))
        kept.append(slice(None))
        if started:
            return (), kwargs
        ids, embeds = kwargs.pop("input_ids", None), kwargs.get("inputs_embeds")
        embeds = trunk.get_input_embeddings()(ids) if embeds is None else embeds
        kwargs["inputs_embeds"] = in_front(vectors.to(embeds.dtype), embeds)
        if kwargs.get("position_ids") is not None:
            first = torch.arange(len(vectors), device=embeds.device)
            kwargs["position_ids"] = in_front(first, kwargs["position_ids"])
        kept[-1] = slice(len(vectors), None)
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
        kwargs = _named(trunk, args, kwargs)
        learned = make()
        started, k = _started(trunk, kwargs), learned.shape[3]
        kwargs = _shifted(kwargs, k)
        if started:
            return (), kwargs
        if trunk.training and getattr(trunk, "gradient_checkpointing", False):
            raise ValueError(CHECKPOINTING)
        given = kwargs["inputs_embeds"] if kwargs.get("input_ids") is None else kwargs["input_ids"]
        name = static_cache.name_in(trunk)
        kind = learned.device.type  # a cache holds one dtype: under autocast the layers' own keys come in autocast's
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else trunk.dtype
        kwargs[name] = filled(learned.to(dtype), len(given), kwargs.get(name))
        return (), kwargs

    return Hooks([model.base_model.register_forward_pre_hook(insert, with_kwargs=True)])


CHECKPOINTING = (
    "A prefix lives in the key-value cache, and activation checkpointing switches that cache off while training: the "
    "prefix would be lost. Call model.gradient_checkpointing_disable(), and take a smaller micro_batch "
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


def in_front(first, rows):
    """`first` (k, …) before every row of `rows`: (B, T, …) → (B, k + T, …)."""
    return torch.cat([first.expand(len(rows), *first.shape), rows], dim=1)


@dataclass(frozen=True)
class Soft:
    """What a peft model puts before its rows at this moment."""

    learned: torch.Tensor  # (k, D), or (L, 2, K, k, H) in the cache
    in_cache: bool

    @property
    def count(self):
        """k."""
        return self.learned.shape[3 if self.in_cache else 0]

    @contextlib.contextmanager
    def hooked(self, model):
        """Inside the context the virtual tokens stand before the trunk of the bare model."""
        hooks = (before_cache if self.in_cache else before_embeddings)(model, lambda: self.learned)
        try:
            yield
        finally:
            hooks.remove()

    def before_packed(self, model, tokens):
        """The trunk's arguments for packed rows, of which the first is shared, with the virtual tokens before it."""
        tokens, positions = dict(tokens), tokens["position_ids"] + self.count
        if self.in_cache:
            cache = filled(self.learned.to(model.dtype), 1)
            return tokens | {"position_ids": positions, static_cache.name_in(model.base_model): cache}
        embeds = model.get_input_embeddings()(tokens.pop("input_ids"))
        first, *others = tokens["row_lengths"]
        return tokens | {
            "inputs_embeds": in_front(self.learned.to(embeds.dtype), embeds),
            "position_ids": in_front(torch.arange(self.count, device=embeds.device), positions),
            "row_lengths": (self.count + first, *others),
            "shared": tokens["shared"] and self.count + tokens["shared"],
        }


def of_library(model):
    """The virtual tokens of a peft model, a Soft, or None."""
    config = getattr(model, "active_peft_config", None)
    if config is None or not config.is_prompt_learning or model._adapters_disabled:
        return None
    if config.peft_type == "PREFIX_TUNING":
        return Soft(read(model.get_prompt(1)), in_cache=True)
    return Soft(model.get_prompt(1)[0], in_cache=False)


def _named(trunk, args, kwargs):
    """The trunk's arguments by name, its cache by the trunk's own one."""
    kwargs = kwargs | dict(zip(("input_ids", "attention_mask"), args, strict=False))
    if static_cache.OLDER_NAME in kwargs:
        kwargs[static_cache.name_in(trunk)] = kwargs.pop(static_cache.OLDER_NAME)
    if kwargs.get("row_lengths"):
        raise ValueError("Packed rows take virtual tokens from a peft model alone; give these rows padded.")
    return kwargs


def _started(trunk, kwargs):
    """Whether this call goes on from tokens that are in the cache: then the virtual ones are there too."""
    cache = kwargs.get(static_cache.name_in(trunk))
    return cache is not None and cache.get_seq_length() > 0


def _shifted(kwargs, k):
    """The arguments when k positions stand in front of the given ones."""
    mask, positions = kwargs.get("attention_mask"), kwargs.get("position_ids")
    if isinstance(mask, dict) or (mask is not None and mask.dim() != 2):
        raise ValueError("Virtual tokens cannot be put before a hand-made attention mask; pass one of shape (B, T).")
    if mask is not None:
        kwargs["attention_mask"] = torch.cat([mask.new_ones(len(mask), k), mask], dim=1)
        if positions is None:  # a pad between virtual and real tokens takes no position
            given = kwargs["inputs_embeds"] if kwargs.get("input_ids") is None else kwargs["input_ids"]
            positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, -given.shape[1] :]
    if positions is not None:
        kwargs["position_ids"] = positions + k
    return kwargs
