"""Keys and values in memory that was reserved once, for a sampler that knows how long its texts can become.

transformers' own cache grows by copying: every new token moves all the tokens before it, and every row that ends moves
all the other rows. Here a token is written behind the last one, and the place of a row that ended is taken over.

Shapes: B rows, K key-value heads, T tokens, D width of a head.
"""

import functools
import inspect

import torch
from transformers.cache_utils import Cache, DynamicLayer

OLDER_NAME = "past_key_values"  # of a trunk's cache, until transformers 5.23


def passed(model, cache):
    """The keywords of a call of the model's trunk that goes on from a cache and writes into it."""
    return {name_in(model.base_model): cache, "use_cache": True}


def name_in(trunk):
    """What a trunk calls its cache, among its arguments and in its output: `cache`, or OLDER_NAME."""
    return _name_in(type(trunk))


@functools.cache
def _name_in(kind):
    return "cache" if "cache" in inspect.signature(kind.forward).parameters else OLDER_NAME


class ReservedLayer(DynamicLayer):
    """One layer's (B, K, capacity, D) keys and values, of which the first `length` tokens are written."""

    def __init__(self, capacity):
        """
        Args:
            capacity: the most tokens a row can have, prompt and answer.
        """
        super().__init__()
        self.capacity, self.length = capacity, 0

    def lazy_initialization(self, key_states, value_states):
        """Reserve memory for as many rows as these states have."""
        self.dtype, self.device = key_states.dtype, key_states.device
        rows, heads, _, width = key_states.shape
        self.keys, self.values = key_states.new_empty(2, rows, heads, self.capacity, width)
        self.is_initialized = True

    def update(self, key_states, value_states, *args, **kwargs):
        """Write (B, K, t, D) states behind those that are there; returns views of all, (B, K, T, D) each.

        Raises:
            ValueError: more tokens than were reserved.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.length = self.length, self.length + key_states.shape[-2]
        if self.length > self.capacity:
            raise ValueError(f"The cache was reserved for {self.capacity} tokens a row and now needs {self.length}.")
        self.keys[:, :, start : self.length] = key_states
        self.values[:, :, start : self.length] = value_states
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_seq_length(self):
        """How many tokens are written."""
        return self.length

    @torch.inference_mode()
    def batch_select_indices(self, indices):
        """Keep these rows, in this order; only rows that change their place are copied."""
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero()[:, 0]
        for states in (self.keys, self.values):
            states[moved, :, : self.length] = states[indices[moved], :, : self.length]
        self.keys, self.values = self.keys[: len(indices)], self.values[: len(indices)]


def reserve(model, rows, capacity, beginning=None):
    """An empty cache for so many rows of at most so many tokens, behind a prefix that they share.

    Args:
        model: a causal language model of transformers whose layers all attend.
        beginning: a `prefix.Prefix`, or None.
    """
    layers = [ReservedLayer(capacity) for _ in range(model.config.get_text_config().num_hidden_layers)]
    for layer, known in zip(layers, beginning.cache.layers if beginning else [], strict=bool(beginning)):
        layer.update(*(states.expand(rows, -1, -1, -1) for states in (known.keys, known.values)))
    return Cache(layers=layers)


def without(ended):
    """(N,) row numbers that remain when some rows have ended, so ordered that as few as possible change their place.

    Args:
        ended: (B,) bool.
    """
    count = int((~ended).sum())
    order = torch.arange(count, device=ended.device)
    order[ended[:count]] = (~ended[count:]).nonzero()[:, 0] + count
    return order
