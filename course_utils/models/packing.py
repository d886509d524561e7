"""Training without padding: the rows of a batch stand behind one another as one sequence, and no pad is computed.

    row 0: <bos> a b c          input_ids     <bos> a b c <bos> d e      (1, N)
    row 1: <bos> d e            position_ids    0   1 2 3   0   1 2      (1, N), starting anew in each row

What all rows begin with, such as one instruction to many answers, is read once, and every row attends to it: its states
are the same in each row, and the gradients that they would have got there are added.

    shared: <bos>               input_ids     <bos> a b c d e            (1, M), P tokens shared
                                position_ids    0   1 2 3 1 2

Virtual tokens of a soft prompt stand in front of all rows and are read once as well.

Attention must not cross from one row into the next. transformers sees that from the position ids and builds a mask of
N × N; `attend_within_rows`, registered as an attention of its own, works through the rows instead and needs none. It is
exact, not an approximation: every row gets what it would get alone (fp32: to rounding).

Shapes: B batch, T tokens, N real tokens of all rows, H query heads, K key-value heads, D width of a head.
"""

import re
from functools import lru_cache

import torch
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from course_utils.models import virtual_tokens
from course_utils.models.row_attention import RowAttention
from course_utils.tensors import check_rows

ATTENTION = "within_rows"


def packed_hidden(model, input_ids, mask):
    """The model's last hidden states at the real tokens, computed without padding.

    Args:
        model: a causal language model, alone or inside a peft model; `use_row_attention` makes it fast, nothing else.
        input_ids: (B, T) int64, padded on either side.
        mask: (B, T) bool, True at real tokens.

    Raises:
        ValueError: a mask of another shape or dtype, no row, or a row without a token.

    Returns:
        (N, width), row after row. `targets[mask]` brings targets of shape (B, T) into the same order.
    """
    if mask.dtype != torch.bool or mask.shape != input_ids.shape:
        raise ValueError(f"Expected a bool mask {tuple(input_ids.shape)}, got {mask.dtype} {tuple(mask.shape)}.")
    check_rows(len(mask), "row", " to read")
    if not mask.any(dim=1).all():
        empty = (~mask.any(dim=1)).nonzero().flatten().tolist()
        raise ValueError(f"{len(empty)} of {len(mask)} rows have no token (rows {empty[:5]}). Is the mask inverted?")
    trunk = model.get_base_model() if hasattr(model, "get_base_model") else model
    soft = virtual_tokens.of_library(model)
    if rows_apart(trunk):
        if soft:
            raise ValueError("Soft prompts need a model of attention alone; this one carries a state along its rows.")
        return trunk.base_model(input_ids, attention_mask=mask.long(), use_cache=False).last_hidden_state[mask]
    here = _can_share(trunk, input_ids, soft.count if soft else 0)
    shared = shared_length(input_ids, mask) if here else 0
    if soft and not (here and (shared or len(input_ids) == 1)):
        with soft.hooked(trunk):  # each row has its own virtual tokens then, and pads are computed
            return trunk.base_model(input_ids, mask.long(), use_cache=False).last_hidden_state[mask]
    read = mask.clone()
    read[1:, :shared] = False
    lengths = [*([shared] if shared else []), *(mask.sum(dim=1) - shared).tolist()]
    tokens = {"input_ids": input_ids[read][None], "position_ids": (mask.cumsum(dim=1) - 1)[read][None]}
    tokens |= {"row_lengths": tuple(lengths), "shared": shared}
    hidden = trunk.base_model(**(soft.before_packed(trunk, tokens) if soft else tokens), use_cache=False)
    hidden = hidden.last_hidden_state[0, -int(read.sum()) :]
    if not shared:
        return hidden
    place = torch.zeros_like(input_ids)
    place[read] = torch.arange(len(hidden), device=place.device)
    place[1:, :shared] = place[:1, :shared]
    return hidden[place[mask]]


# Layers that hand a state from one token to the next and would hand it from one packed row to the next
_STATEFUL = re.compile("mamba|rwkv|recurrent|lru|delta_?net|xlstm|[ms]lstm|retention|shortconv|linear_?attention", re.I)


def rows_apart(trunk):
    """Whether rows of this model must not stand behind one another, for what its layers carry from token to token."""
    noted = getattr(trunk, "_rows_apart", None)
    if noted is None:
        noted = trunk._rows_apart = any(_carries(part) for part in trunk.base_model.modules())
    return noted


def _carries(part):
    kinds = (torch.nn.Conv1d, torch.nn.RNNBase)
    return isinstance(part, kinds) or bool(_STATEFUL.search(type(part).__name__))


def note_rows(model, tokens):
    """Compare packed rows with the same alone, once, for a model that the course does not know.

    Args:
        model: a causal language model, in eval mode.
        tokens: (2, T) int64.
    """
    if rows_apart(model):
        return
    alone = torch.cat([model.base_model(row[None], use_cache=False).last_hidden_state[0] for row in tokens]).float()
    try:
        packed = packed_hidden(model, tokens, torch.ones_like(tokens, dtype=torch.bool)).float()
    except (TypeError, ValueError, RuntimeError):  # takes no positions, or no rows of one's own
        packed = torch.full_like(alone, torch.inf)
    rounded = max(8 * torch.finfo(model.dtype).eps, 2**-12) * alone.abs().max()
    model._rows_apart = not bool((packed - alone).abs().max() <= rounded)


def shared_length(input_ids, mask):
    """How many tokens all rows begin with, 0 for a single row or one padded on the left.

    At least one token of every row counts as its own.
    """
    if len(input_ids) == 1:
        return 0
    same = (input_ids == input_ids[:1]).all(dim=0) & mask.all(dim=0)
    return min(int(same.cumprod(dim=0).sum()), int(mask.sum(dim=1).min()) - 1)


def _can_share(trunk, input_ids, virtual_tokens=0):
    """Whether the rows will go through `RowAttention`, which alone knows of a shared beginning."""
    config = trunk.config.get_text_config()
    length = virtual_tokens + input_ids.shape[1]
    window = getattr(config, "sliding_window", None) or length
    dropped = trunk.training and getattr(config, "attention_dropout", 0)
    return (
        trunk.config._attn_implementation == ATTENTION
        and length <= window
        and not dropped
        and _by_hand(input_ids.device)
    )


def _by_hand(device):
    return device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def use_row_attention(model):
    """Let the model attend within packed rows; batches that are not packed go through SDPA as before."""
    AttentionInterface.register(ATTENTION, attend_within_rows)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    trunk = model.get_base_model() if hasattr(model, "get_base_model") else model
    trunk.set_attn_implementation(ATTENTION)


def attend_within_rows(
    module, query, key, value, attention_mask, *, row_lengths=None, shared=0, scaling=None, **kwargs
):
    """Causal attention, row by row; what `transformers.AttentionInterface` expects of an attention.

    Args:
        query: (1, H, N, D).
        key, value: (1, K, P + N, D), H a multiple of K; P keys of a learned prefix stand before the first row's.
        row_lengths: the number of tokens of each row, or None for a batch that is not packed.
        shared: how many tokens the first of these rows has when all others go on behind it, else 0.

    Returns:
        ((1, N, H, D), None).
    """
    window, dropout = kwargs.get("sliding_window"), kwargs.get("dropout")
    if query.shape[2] == 1 and not dropout:
        return _attend_from_one(query, key, value, attention_mask, scaling), None
    if row_lengths is None or dropout or (window and max(row_lengths) > window):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    inputs = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
    if _by_hand(query.device):
        return RowAttention.apply(*inputs, row_lengths, shared, scaling)[None], None
    return _attend_by_library(*inputs, row_lengths, scaling)[None], None


def _attend_from_one(query, key, value, mask, scaling):
    """(B, 1, H, D): one new token looks back. The query heads of a key head stand where other queries would, so that
    keys and values are read once and not copied for each head: in bf16 on a CPU ten times faster.

    Args:
        query: (B, H, 1, D).
        key, value: (B, K, T, D).
        mask: (B, 1, 1, T) or None.
    """
    rows, heads, _, width = query.shape
    query = query.reshape(rows, key.shape[1], -1, width)
    mask = None if mask is None else mask.expand(-1, -1, query.shape[2], -1)
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    return output.reshape(rows, 1, heads, width)


def _attend_by_library(query, key, value, row_lengths, scaling):
    """(N, H, D) by the library's kernel: one call for all rows on a GPU, where calls cost more than pads, else many."""
    if query.device.type != "cpu":
        return _attend_padded(query, key, value, row_lengths, scaling)
    rows = zip(*(tensor.split(row_lengths) for tensor in (query, key, value)), strict=True)
    return torch.cat([_attend_padded(*row, (len(row[0]),), scaling) for row in rows])


def _attend_padded(query, key, value, row_lengths, scaling):
    """The same by one call: rows are padded on the right, where the causal mask hides pads from every real token."""
    (padded, real), rows = _places(row_lengths, query.device), (len(row_lengths), -1)
    q, k, v = (x.index_select(0, padded).unflatten(0, rows).transpose(1, 2) for x in (query, key, value))
    output = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=True)
    return output.transpose(1, 2).flatten(0, 1).index_select(0, real)


@lru_cache(maxsize=2)
@torch.inference_mode(False)  # a later call may need gradients
def _places(row_lengths, device):
    """Which token stands where in padded rows, (B·T,), a pad being the last before it; and back, (N,)."""
    real = (torch.arange(max(row_lengths)) < torch.tensor(row_lengths)[:, None]).flatten()
    return (real.cumsum(0) - 1).to(device), real.nonzero()[:, 0].to(device)
