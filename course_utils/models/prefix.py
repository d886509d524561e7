"""A shared prefix is read once: the keys and values of sixteen examples serve two hundred questions.

The questions behind it are packed: several stand one after another in one row, and the attention mask lets each see
the prefix and itself only. That gives the same hidden states as one question at a time, without copying the prefix
for each question and with hardly any padding.

Shapes: B rows, P tokens of the prefix, T tokens of a packed row, N queries, C label words, D width.
"""

import copy
from dataclasses import dataclass

import torch

from course_utils.models import packing, static_cache

PACKED_ROW = 256  # tokens of one packed row: long enough to amortise the prefix, short enough to waste little attention
ROWS_AT_ONCE = {"cpu": 4, "gpu": 64}  # a GPU is not filled by four
NOBODY = -1  # owner of a padding position


@dataclass(frozen=True)
class Prefix:
    """A prompt's beginning, already read by the model."""

    tokens: tuple[int, ...]  # the P token ids, <bos> first
    cache: object  # transformers' cache with the keys and values of every layer, batch size 1

    def expanded(self, rows):
        """The cache for a batch whose rows share this prefix: views, so nothing is copied and the prefix is kept."""
        expanded = copy.copy(self.cache)
        expanded.layers = [copy.copy(layer) for layer in self.cache.layers]
        for layer in expanded.layers:
            layer.keys = layer.keys.expand(rows, -1, -1, -1)
            layer.values = layer.values.expand(rows, -1, -1, -1)
        return expanded


def read_prefix(model, tokens):
    """Run the model once over a prompt's beginning and keep its keys and values.

    Args:
        model: a causal language model of transformers.
        tokens: P token ids; the first is <bos>.

    Raises:
        ValueError: no token given, or the model carries a state along its rows, which no mask divides.
    """
    if packing.rows_apart(model):
        raise ValueError(
            f"{type(model).__name__} carries a state from token to token, so questions behind one prefix cannot "
            "share a row. Load a model of attention alone; unset COURSE_MODEL for the course's own."
        )
    if not tokens:
        raise ValueError("Expected at least the <bos> token as a prefix, got no token.")
    from transformers import DynamicCache

    cache = DynamicCache()  # without the config: it keeps every position, and the masks below apply a sliding window
    with torch.inference_mode():
        model.base_model(torch.tensor([tokens], device=model.device), **static_cache.passed(model, cache))
    return Prefix(tuple(tokens), cache)


def final_hidden(model, prefix, queries, *, batch_rows=None):
    """The hidden state above the last token of each query: (N, D). Arguments and errors as in `hidden_states`."""
    last = [states[-1] for states in hidden_states(model, prefix, queries, batch_rows=batch_rows)]
    return torch.stack(last) if last else torch.empty(0, model.config.get_text_config().hidden_size, dtype=model.dtype)


def hidden_states(model, prefix, queries, *, batch_rows=None):
    """The hidden states above all tokens of each query, each read behind the same prefix and blind to the others.

    Args:
        model: a causal language model of transformers.
        prefix: what `read_prefix` returned.
        queries: N lists of token ids, none empty.
        batch_rows: packed rows read at a time; memory grows with it. None: as many as the device has work for.

    Returns:
        A list of N tensors (T, D) on the CPU, T the query's own length, in the model's dtype and the queries' order.

    Raises:
        ValueError: a query has no token.
    """
    empty = [index for index, query in enumerate(queries) if not query]
    if empty:
        raise ValueError(f"{len(empty)} of {len(queries)} queries have no token (rows {empty[:5]}): nothing to read.")
    states, rows = [None] * len(queries), pack(queries, PACKED_ROW)
    batch_rows = batch_rows or ROWS_AT_ONCE["cpu" if model.device.type == "cpu" else "gpu"]
    for start in range(0, len(rows), batch_rows):
        batch = rows[start : start + batch_rows]
        tokens, owner, offset = lay_out(queries, batch)
        with torch.inference_mode():
            hidden = model.base_model(
                tokens.to(model.device),
                attention_mask=_masks(model, len(prefix.tokens), owner, offset),
                position_ids=(len(prefix.tokens) + offset).to(model.device),
                **static_cache.passed(model, prefix.expanded(len(batch))),
            ).last_hidden_state.cpu()
        for row, members in enumerate(batch):
            for index in members:
                states[index] = hidden[row, owner[row] == index]
    return states


def label_logprobs(model, prefix, queries, label_tokens, *, batch_rows=None):
    """Log-probability of each label word after each query, among the label words alone.

    Args:
        model, prefix, queries, batch_rows: as in `final_hidden`.
        label_tokens: C token ids, one a label.

    Returns:
        (N, C) float32 on the CPU; every row's probabilities sum to 1.
    """
    hidden = final_hidden(model, prefix, queries, batch_rows=batch_rows)
    weight = model.get_output_embeddings().weight[torch.tensor(label_tokens, device=model.device)].cpu()
    # log p(label) = h·w_label − log Σ_c exp(h·w_c): only C rows of the head are ever multiplied
    return torch.log_softmax(hidden.float() @ weight.float().T, dim=-1)


def pack(queries, row_tokens):
    """Lists of query indices, each list filling a row of at most row_tokens (a longer query gets a row of its own)."""
    rows, used = [], row_tokens
    for index in sorted(range(len(queries)), key=lambda index: (len(queries[index]), index)):
        if used + len(queries[index]) > row_tokens:
            rows.append([])
            used = 0
        rows[-1].append(index)
        used += len(queries[index])
    return rows


def lay_out(queries, rows):
    """Put packed queries side by side.

    Returns:
        tokens, owner, offset: (B, T) long. owner is the query a position belongs to (NOBODY for padding), offset its
        place inside that query, counted from 0.
    """
    longest = max(sum(len(queries[index]) for index in row) for row in rows)
    tokens, offset = (torch.zeros(len(rows), longest, dtype=torch.long) for _ in range(2))
    owner = torch.full((len(rows), longest), NOBODY)
    for row, members in enumerate(rows):
        start = 0
        for index in members:
            place = slice(start, start + len(queries[index]))
            tokens[row, place] = torch.tensor(queries[index])
            owner[row, place] = index
            offset[row, place] = torch.arange(len(queries[index]))
            start = place.stop
    return tokens, owner, offset


def visible(prefix_tokens, owner, offset, window=None):
    """Who sees whom: (B, 1, T, P + T) bool, True where a position (third axis) may look at another (fourth axis).

    A position sees the prefix and its own query up to itself; with a sliding window, only the last `window` of these.
    """
    itself = (owner[:, :, None] == owner[:, None, :]) & (offset[:, :, None] >= offset[:, None, :])
    distance = offset[:, :, None] - offset[:, None, :]
    behind = prefix_tokens + offset[:, :, None] - torch.arange(prefix_tokens)  # distance back to each prefix token
    before = torch.ones_like(behind, dtype=torch.bool)
    if window is not None:
        itself, before = itself & (distance < window), behind < window
    return torch.cat([before, itself], dim=-1)[:, None]


def _masks(model, prefix_tokens, owner, offset):
    """The mask in the form the model takes: additive, one per kind of layer where it has several kinds."""
    config = model.config.get_text_config()

    def additive(window):
        mask = visible(prefix_tokens, owner, offset, window).to(model.device)
        blocked = torch.finfo(model.dtype).min
        return torch.zeros(mask.shape, dtype=model.dtype, device=model.device).masked_fill_(~mask, blocked)

    kinds = set(getattr(config, "layer_types", None) or [])
    if "sliding_attention" not in kinds:  # a model that tells no kinds apart, as Mistral, has its window everywhere
        return additive(None if kinds else getattr(config, "sliding_window", None))
    windows = {"full_attention": None, "sliding_attention": config.sliding_window}
    return {kind: additive(windows[kind]) for kind in kinds}
