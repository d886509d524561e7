"""Prefix tuning by hand (Li and Liang 2021): in every layer, learned keys and values stand before those of the input.

    attend(q, [P_k; k], [P_v; v])        P (L, 2, K, k, H) trained: layer, key or value, head, virtual token, width

No token stands behind them, so the first layers can be told something that no word could say. Attention sees them as it
sees a prompt that has been read, which is why a real prompt can be turned into a prefix without loss (`of_prompt`).
Training P itself is often unstable at first; the paper therefore learns P = MLP(E) and drops the MLP afterwards
(`hidden`, `drop_encoder`). The cache of transformers, in which P lives, is touched in `models.virtual_tokens` alone.
"""

import torch

from course_utils.adapters import prompt_tuning
from course_utils.models import static_cache, virtual_tokens


class Prefix(torch.nn.Module):
    """Learned keys and values, themselves or through a two-layer network."""

    def __init__(self, shape, hidden=None):
        """
        Args:
            shape: (L, K, k, H) of layers, key-value heads, virtual tokens, head width.
            hidden: the network's width; None learns keys and values themselves.
        """
        super().__init__()
        self.shape = shape
        layers, heads, tokens, width = shape
        # flat as in peft: for each virtual token its keys and values of all layers
        flat, narrow = 2 * layers * heads * width, heads * width
        self.embedding = torch.nn.Embedding(tokens, narrow if hidden else flat)
        if hidden:
            linear = torch.nn.Linear
            self.transform = torch.nn.Sequential(linear(narrow, hidden), torch.nn.Tanh(), linear(hidden, flat))

    def forward(self):
        """(L, 2, K, k, H)."""
        flat = self.embedding.weight
        if hasattr(self, "transform"):
            flat = self.transform(flat)
        layers, heads, tokens, width = self.shape
        return flat.view(tokens, layers, 2, heads, width).permute(1, 2, 3, 0, 4)


def inject(model, *, tokens=20, hidden=None, prompt_ids=None):
    """Freeze a model and let every layer attend to k learned keys and values first, in place.

    Args:
        model: a causal language model of transformers.
        tokens: k.
        hidden: width of the network that keys and values come out of; None learns them themselves.
        prompt_ids: token ids of a real prompt to start from, all of them, so that k is its length; not with `hidden`.

    Returns:
        The model; `model.virtual_tokens` is the Prefix.

    Raises:
        ValueError: activation checkpointing is on, or both hidden and prompt_ids are given.
    """
    if getattr(model.base_model, "gradient_checkpointing", False):
        raise ValueError(virtual_tokens.CHECKPOINTING)
    if hidden and prompt_ids is not None:
        raise ValueError("A prompt's keys and values cannot be put into a network's output: leave out hidden.")
    start = None if prompt_ids is None else of_prompt(model, prompt_ids)
    config = model.config.get_text_config()
    length = tokens if start is None else start.shape[3]
    shape = (config.num_hidden_layers, config.num_key_value_heads, length, config.head_dim)
    prefix = Prefix(shape, hidden)
    if start is not None:
        prefix.embedding.weight.data = flat(start).to(prefix.embedding.weight.dtype)
    return prompt_tuning.attach(model, prefix, put=virtual_tokens.before_cache)


@torch.no_grad()
def of_prompt(model, prompt_ids):
    """(L, 2, K, k, H): the keys and values that a real prompt of k tokens, <bos> first, leaves in every layer."""
    cache = virtual_tokens.filled([], 1)
    model.base_model(torch.tensor([prompt_ids], device=model.device), **static_cache.passed(model, cache))
    return virtual_tokens.read(cache)


def flat(learned):
    """(L, 2, K, k, H) → (k, L·2·K·H), the layout of `Prefix.embedding` and of peft."""
    return learned.permute(3, 0, 1, 2, 4).flatten(1).contiguous()


@torch.no_grad()
def drop_encoder(model):
    """Replace the network by what it puts out: the same logits from keys and values alone."""
    kept = Prefix(model.virtual_tokens.shape)
    kept.embedding.weight.data = flat(model.virtual_tokens())
    model.virtual_tokens = kept.to(model.device)
    return model


remove = prompt_tuning.remove
