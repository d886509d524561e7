"""What a transformer remembers of a text, and writing with it.

Each new token's query looks at the keys and values of all tokens before it. They never change, so they are kept: a step
then computes one token a row instead of the whole text. A local layer looks no further back than its window, and its
cache forgets what lies beyond.

    bytes of a row = Σ over layers of 2 · K · d · min(tokens, window − 1) · bytes a number

Nothing is reserved: every step copies the cache to make it one token longer, which is short to read, and for long texts
slower than `static_cache`, with which the course samples.

Shapes: B rows, T new tokens, S tokens kept, K key-value heads, d width of a head, V vocabulary.
"""

import torch


class LayerCache:
    """One layer's keys and values, (B, K, S, d) each; None before the first tokens."""

    def __init__(self, window=None):
        """
        Args:
            window: the tokens that the layer sees, the asking one among them; None for a layer that sees all.
        """
        self.window, self.keys, self.values = window, None, None

    def append(self, keys, values):
        """Keys and values that the new tokens may look at: those kept, and their own (B, K, T, d)."""
        if self.keys is not None:
            keys, values = torch.cat([self.keys, keys], dim=2), torch.cat([self.values, values], dim=2)
        self.keys, self.values = self._within_window(keys), self._within_window(values)
        return keys, values

    def _within_window(self, states):
        """What the next token can still see: window − 1 others. A copy, so that the rest is really let go."""
        surplus = 0 if self.window is None else states.shape[2] - (self.window - 1)
        return states[:, :, surplus:].clone() if surplus > 0 else states


class KeyValueCache:
    """The caches of all layers, empty at first; `Transformer` fills them as it reads.

    Attributes:
        layers: L LayerCaches.
        length: tokens of each row that were read, pads among them.
        documents: (B, length) which document each of them belongs to, or None where a row is one.
    """

    def __init__(self, config):
        self.layers = [LayerCache(config.window_of(layer)) for layer in range(config.layers)]
        self.length, self.documents = 0, None

    def extend(self, tokens, documents=None):
        """Note that tokens (B, T) come next; returns the documents of all so far, (B, length) or None.

        Raises:
            ValueError: documents were given once and not now, or the other way round; or other rows.
        """
        if self.length and (documents is None) != (self.documents is None):
            raise ValueError(
                f"The cache holds {self.length} tokens {'with' if documents is None else 'without'} documents, and the "
                f"new ones come {'without' if documents is None else 'with'}. Give them each time or never."
            )
        if self.length and len(tokens) != self.layers[0].keys.shape[0]:
            raise ValueError(
                f"The cache holds {self.layers[0].keys.shape[0]} rows, and {len(tokens)} go on. "
                "Begin another batch with a new KeyValueCache."
            )
        self.length += tokens.shape[1]
        if documents is not None and self.documents is not None:
            documents = torch.cat([self.documents, documents], dim=1)
        self.documents = documents
        return documents

    @property
    def bytes(self):
        """What all keys and values take."""
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in self.layers if layer.keys is not None)


def cache_bytes(config, tokens, *, rows=1, dtype=torch.bfloat16):
    """What a cache takes after so many tokens a row, computed: the memory that a user of a served model costs."""
    windows = [config.window_of(layer) for layer in range(config.layers)]
    kept = [tokens if window is None else min(tokens, window - 1) for window in windows]
    # 2 (keys and values) · K · d numbers a token and layer
    return rows * sum(kept) * 2 * config.key_value_heads * config.head_width * dtype.itemsize


def pad_left(prompts, device="cpu"):
    """(tokens, real), (B, T) int64 and bool: every row's last token stands in the last column, where the next follows.

    Args:
        prompts: B lists of token ids.
    """
    longest = max(map(len, prompts))
    tokens = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    real = torch.tensor([[False] * (longest - len(prompt)) + [True] * len(prompt) for prompt in prompts], device=device)
    return tokens, real


def greedy(logits):
    """(B,) the most probable token of each row of (B, V) logits."""
    return logits.argmax(dim=-1)


@torch.inference_mode()
def generate(model, prompts, *, max_new_tokens, pick=greedy, stop_tokens=()):
    """Continue every prompt, one token at a time.

    Args:
        model: a Transformer.
        prompts: B lists of token ids, none empty, of any lengths; <bos> first where the model knows one.
        max_new_tokens: a row that has not stopped by then is cut off.
        pick: (B, V) logits → (B,) tokens.
        stop_tokens: ids that end a row.

    Returns:
        list of B lists of new token ids, a stop token being the last.

    Raises:
        ValueError: no prompt, an empty one, ids that the model does not know, or more tokens than its context holds.
    """
    if not prompts or not all(prompts):
        raise ValueError(f"Expected prompts of at least one token (<bos>), got lengths {[len(p) for p in prompts]}.")
    tokens, real = pad_left(prompts, model.embed_tokens.weight.device)
    if tokens.shape[1] + max_new_tokens > model.config.context:
        raise ValueError(
            f"The longest prompt has {tokens.shape[1]:,} tokens and {max_new_tokens:,} shall follow: more than the "
            f"{model.config.context:,} of the model's context. Cut the prompt at its beginning, or ask for fewer."
        )
    cache, written = KeyValueCache(model.config), [[] for _ in prompts]
    for _ in range(max_new_tokens):
        hidden = model.hidden(tokens, real, cache)
        picked = pick(model.logits(hidden[:, -1]))
        for row, token in zip(written, picked.tolist(), strict=True):
            if not row or row[-1] not in stop_tokens:
                row.append(token)
        if all(row[-1] in stop_tokens for row in written):
            break
        tokens, real = picked[:, None], torch.ones_like(real[:, :1])
    return written
