"""A decoder by hand: Gemma 3's transformer in plain PyTorch, into which the real weights load.

    tokens → embedding · √D → L blocks → RMSNorm → logits = h Eᵀ, E the embedding once more (a tied head)
    block:  x = x + norm(attention(norm(x)))        what other tokens know
            x = x + norm(mlp(norm(x)))              what this token makes of it

Parts are named as the weights are in the files of Gemma 3. `transformer_weights` puts those in, or first ones for a
model of any size that is trained from nothing; `kv_cache` writes text with either.

Which tokens may see each other is said by one argument. `documents` (B, T) holds a number for each token, and attention
stays among equal numbers: several documents packed into one row, or the real tokens of a padded row (a bool mask),
whose pads are then a document of their own. Positions are columns and never start anew, since rotary positions tell
only how far apart two tokens are.

Deviations from transformers' Gemma3ForCausalLM: no dropout, bias, soft caps or images; √D is not rounded to bf16.

Shapes: B rows, T tokens, S keys (those of a cache first), D width, H query heads, K key-value heads, d width of a head,
M width of the MLP, L layers, V vocabulary.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class TransformerConfig:
    """The sizes of a transformer; those of a small one are the defaults."""

    vocabulary: int = 258  # V
    width: int = 256  # D, of what flows from block to block
    layers: int = 4  # L
    heads: int = 4  # H
    key_value_heads: int = 1  # K, each shared by H / K query heads
    head_width: int = 64  # d
    mlp_width: int = 768  # M
    window: int = 512  # tokens that a local layer sees, itself among them
    global_every: int = 4  # so many layers make a group, whose last is global and sees all tokens; the others are local
    local_base: float = 10_000.0  # of the rotary positions in local layers
    global_base: float = 1_000_000.0  # and in global ones
    context: int = 32_768  # the most tokens of a row
    epsilon: float = 1e-6  # under the root of RMSNorm

    def __post_init__(self):
        for field in fields(self):
            value, kinds = getattr(self, field.name), (int, float) if field.type is float else (int,)
            if type(value) not in kinds or not 0 < value < math.inf:
                raise ValueError(f"Expected {field.name} as {field.type.__name__} above 0, got {value!r}.")
        if self.heads % self.key_value_heads:
            raise ValueError(
                f"{self.heads} query heads cannot share {self.key_value_heads} key-value heads evenly: "
                "heads must be a multiple of key_value_heads."
            )
        if self.head_width % 2:
            raise ValueError(
                f"Rotary positions turn pairs of numbers, so head_width must be even, got {self.head_width}."
            )

    def window_of(self, layer):
        """The tokens that a layer sees, or None for a global one, which sees all."""
        return None if (layer + 1) % self.global_every == 0 else self.window


class RMSNorm(nn.Module):
    """Numbers of root mean square 1, each then scaled by its own learned factor. The file holds that factor minus 1."""

    def __init__(self, width, epsilon):
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.zeros(width)), epsilon

    def forward(self, x):
        exact = x.float()
        # x / √(mean x² + ε) · (1 + w)
        normal = exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return (normal * (1 + self.weight.float())).to(x.dtype)


def rotary_angles(columns, head_width, base):
    """cos and sin of the angles by which each column's queries and keys are turned, ((T, d/2), (T, d/2)) fp32.

    Args:
        columns: (T,) where the tokens stand in their row, 0 first.
    """
    # θ_i = position · base^(−2i/d): the first pair turns by one radian a token, the last hardly at all
    speeds = base ** -(torch.arange(0, head_width, 2, device=columns.device) / head_width)
    angles = columns[:, None] * speeds
    return angles.cos(), angles.sin()


def rotate(x, angles):
    """Turn each pair (x_i, x_{i+d/2}) by its angle; the product of two turned vectors depends on their distance alone.

    Args:
        x: (B, heads, T, d).
        angles: of `rotary_angles`.
    """
    cos, sin = (part.to(x.dtype) for part in angles)
    left, right = x.chunk(2, dim=-1)
    # (a, b) → (a cos − b sin, b cos + a sin)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


def visible_keys(queries, keys, window=None, query_documents=None, key_documents=None):
    """Which keys each query may look at: (T, S) bool, (B, 1, T, S) with documents.

    Args:
        queries, keys: (T,) and (S,) columns.
        window: the most tokens that a query sees, itself among them; None for all that came before.
        query_documents, key_documents: (B, T) and (B, S), each token's document; attention stays inside.
    """
    distance = queries[:, None] - keys
    visible = (distance >= 0) & (distance < (window or math.inf))
    if query_documents is None:
        return visible
    return visible & (query_documents[:, None, :, None] == key_documents[:, None, None, :])


def attend(q, k, v, visible=None):
    """softmax(q kᵀ / √d) v, (B, H, T, d), by torch's own kernel, which never holds the weights of all pairs.

    Args:
        q: (B, H, T, d).
        k, v: (B, K, S, d); a key-value head serves H / K query heads.
        visible: bool, of `visible_keys`; None for all keys that came before.
    """
    causal = visible is None and q.shape[2] > 1
    return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, is_causal=causal, enable_gqa=True)


class Attention(nn.Module):
    """Each token asks with its query, and takes up the values of the tokens whose keys answer."""

    def __init__(self, config):
        super().__init__()
        width, head = config.width, config.head_width
        self.head_width = head
        self.q_proj = nn.Linear(width, config.heads * head, bias=False)
        self.k_proj = nn.Linear(width, config.key_value_heads * head, bias=False)
        self.v_proj = nn.Linear(width, config.key_value_heads * head, bias=False)
        self.o_proj = nn.Linear(config.heads * head, width, bias=False)
        self.q_norm, self.k_norm = RMSNorm(head, config.epsilon), RMSNorm(head, config.epsilon)

    def queries_keys_values(self, x, angles):
        """(B, H, T, d), (B, K, T, d), (B, K, T, d) of x (B, T, D)."""
        q, k, v = (
            project(x).unflatten(-1, (-1, self.head_width)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        return rotate(self.q_norm(q), angles), rotate(self.k_norm(k), angles), v

    def weights(self, x, angles, visible=None):
        """softmax(q kᵀ / √d), (B, H, T, T) fp32: what `attend` keeps to itself, for looking at."""
        q, k, _ = self.queries_keys_values(x, angles)
        k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
        if visible is None:
            visible = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        scores = q @ k.mT / math.sqrt(self.head_width)
        return scores.float().masked_fill(~visible, -torch.inf).softmax(dim=-1)

    def forward(self, x, angles, visible=None, cache=None):
        q, k, v = self.queries_keys_values(x, angles)
        if cache is not None:
            k, v = cache.append(k, v)
        return self.o_proj(attend(q, k, v, visible).transpose(1, 2).flatten(2))


class GatedMLP(nn.Module):
    """Two hidden layers side by side, of which one opens and closes the other."""

    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.mlp_width, bias=False)
        self.up_proj = nn.Linear(config.width, config.mlp_width, bias=False)
        self.down_proj = nn.Linear(config.mlp_width, config.width, bias=False)

    def forward(self, x):
        # (gelu(x Gᵀ) ∘ x Uᵀ) Dᵀ
        return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))


class Block(nn.Module):
    """Attention, then the MLP; each reads a normal copy of x and adds a normal answer to it."""

    def __init__(self, config):
        super().__init__()
        self.self_attn, self.mlp = Attention(config), GatedMLP(config)
        self.input_layernorm = RMSNorm(config.width, config.epsilon)
        self.post_attention_layernorm = RMSNorm(config.width, config.epsilon)
        self.pre_feedforward_layernorm = RMSNorm(config.width, config.epsilon)
        self.post_feedforward_layernorm = RMSNorm(config.width, config.epsilon)

    def forward(self, x, angles, visible=None, cache=None):
        x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), angles, visible, cache))
        return x + self.post_feedforward_layernorm(self.mlp(self.pre_feedforward_layernorm(x)))


class Transformer(nn.Module):
    """The whole decoder."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width, config.epsilon)

    def forward(self, tokens, documents=None, cache=None):
        """Logits (B, T, V) of the token that follows each.

        Args:
            tokens: (B, T) int64; with a cache, those behind the ones that it holds.
            documents: (B, T), a number for each token; attention stays among equal ones. A bool mask of a padded row's
                real tokens is such a numbering. None: a row is one document.
            cache: a `kv_cache.KeyValueCache`, which is read and extended.
        """
        return self.logits(self.hidden(tokens, documents, cache))

    def logits(self, hidden):
        """(…, D) → (…, V): how well each token's embedding fits, the head being the embedding itself."""
        return F.linear(hidden, self.embed_tokens.weight)

    def hidden(self, tokens, documents=None, cache=None):
        """(B, T, D) last hidden states, for a loss that never holds all logits (`logprobs.linear_cross_entropy`)."""
        start, count = 0 if cache is None else cache.length, tokens.shape[-1]
        check_tokens(tokens, self.config, documents, start)
        seen = documents if cache is None else cache.extend(tokens, documents)
        local, all_before = (self._view(window, start, count, documents, seen) for window in (self.config.window, None))
        x = self.embed_tokens(tokens) * math.sqrt(self.config.width)
        for layer, block in enumerate(self.layers):
            angles, visible = local if self.config.window_of(layer) else all_before
            x = block(x, angles, visible, None if cache is None else cache.layers[layer])
        return self.norm(x)

    def _view(self, window, start, count, documents, seen):
        """(angles, visible) of the local or the global layers, for `count` tokens behind `start` others."""
        config, device = self.config, self.embed_tokens.weight.device
        columns = torch.arange(start, start + count, device=device)
        angles = rotary_angles(columns, config.head_width, config.local_base if window else config.global_base)
        first = max(0, start - window + 1) if window else 0  # a local layer's cache has let go of earlier keys
        fits = window is None or start + count - first <= window
        if documents is None and fits and (start == 0 or count == 1):
            return angles, None  # the kernel needs no list of what every token before is
        keys = torch.arange(first, start + count, device=device)
        return angles, visible_keys(columns, keys, window, documents, None if seen is None else seen[:, first:])


def check_tokens(tokens, config, documents=None, start=0):
    """Raise ValueError unless tokens are (B, T) ids of the vocabulary that fit behind `start` others."""
    if tokens.dim() != 2 or tokens.dtype != torch.int64 or not tokens.numel():
        raise ValueError(
            f"Expected token ids (B, T) in int64, got {tuple(tokens.shape)} in {tokens.dtype}. "
            "One text is a batch of one: torch.tensor([ids])."
        )
    low, high = (int(end) for end in tokens.aminmax())
    if low < 0 or high >= config.vocabulary:
        raise ValueError(
            f"Token ids reach from {low} to {high}, and this model knows 0 to {config.vocabulary - 1}. "
            "Is the tokenizer another model's, or −100 of the targets among them?"
        )
    if start + tokens.shape[1] > config.context:
        raise ValueError(
            f"{start + tokens.shape[1]:,} tokens a row, and the model's context is {config.context:,}. Cut the text."
        )
    if documents is not None and documents.shape != tokens.shape:
        raise ValueError(
            f"Expected a document for each token, {tuple(tokens.shape)}, got {tuple(documents.shape)}. "
            "With a cache, give those of the new tokens only."
        )


@torch.no_grad()
def attention_weights(model, tokens):
    """Who looks at whom in one text.

    Args:
        tokens: the T ids of the text, a list or (T,).

    Returns:
        (L, H, T, T) fp32: layer, query head, the token that asks, the token that it looks at; each asker's sum to 1.
    """
    found = []
    watchers = [
        block.self_attn.register_forward_hook(lambda part, inputs, _: found.append(part.weights(*inputs[:3])[0]))
        for block in model.layers
    ]
    try:
        model.hidden(torch.as_tensor(tokens, device=model.embed_tokens.weight.device)[None])
    finally:
        for watcher in watchers:
            watcher.remove()
    return torch.stack(found)
