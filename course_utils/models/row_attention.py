"""Causal attention of rows that stand behind one another, for the CPU, where a library's kernel takes five times as
long on rows this short.

    S = scaling · Q Kᵀ below the diagonal, P = softmax(S), O = P V
    dV = Pᵀ dO,  dS = P ∘ (dO Vᵀ − rowsum(dO ∘ O)),  dQ = scaling · dS K,  dK = scaling · dSᵀ Q

Rows are padded to a common length, as many together as keep their scores in the processor's cache: sixteen short rows
cost one call of each kind instead of sixteen, and a long row none of the padding. The G = H / K query heads of a key
head become rows of one matrix, so that a key head needs a single product.

Shapes: N tokens of all rows, H query heads, K key-value heads, D width of a head; in a group of rows R rows, T tokens
of the longest, B keys that stand before all of them, S = B + T.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn.utils.rnn import pad_sequence

SCORES = 1 << 18  # of one group, in fp32 a MiB


class RowAttention(torch.autograd.Function):
    """(N, H, D) attention within rows.

    Args:
        query: (N, H, D).
        key, value: (P + N, K, D), H a multiple of K; P keys of a learned prefix stand before the first row's.
        row_lengths: the number of tokens of each row.
        shared: how many tokens the first of these rows has when all others go on behind it, else 0.
        scaling: of the scores.
    """

    @staticmethod
    def forward(ctx, query, key, value, row_lengths, shared, scaling):
        output, weights = torch.empty_like(query, memory_format=torch.contiguous_format), []
        prefix = len(key) - len(query)
        groups = _groups(tuple(row_lengths), shared, prefix, query.shape[1], SCORES)
        accurate = torch.promote_types(query.dtype, torch.float32)
        for group in groups:
            q, k, v = group.queries(query, key.shape[1]), group.keys(key, prefix), group.keys(value, prefix)
            scores = torch.matmul(q.to(accurate), k.to(accurate).mT).mul_(scaling)
            future = torch.ones(group.longest, k.shape[2], dtype=torch.bool, device=k.device).triu_(1 + group.before)
            scores.unflatten(2, (group.longest, -1)).masked_fill_(future[:, None], -torch.inf)
            weights.append(scores.softmax(-1).to(v.dtype))
            group.put(output, weights[-1] @ v)
        ctx.save_for_backward(query, key, value, output, *weights)
        ctx.groups, ctx.prefix, ctx.scaling = groups, prefix, scaling
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        query, key, value, output, *weights = ctx.saved_tensors
        grads = [torch.zeros_like(t, memory_format=torch.contiguous_format) for t in (query, key, value)]
        # what all rows give to the keys before them is added up in fp32
        before = max(group.before for group in ctx.groups)
        totals = key.new_zeros(2, before, *key.shape[1:], dtype=torch.promote_types(key.dtype, torch.float32))
        for group, p in zip(ctx.groups, weights, strict=True):
            q, o, do = (group.queries(tensor, key.shape[1]) for tensor in (query, output, grad))
            k, v = group.keys(key, ctx.prefix), group.keys(value, ctx.prefix)
            ds = torch.matmul(do, v.mT).sub_((do * o).sum(-1, keepdim=True)).mul_(p).mul_(ctx.scaling)
            group.put(grads[0], ds @ k)
            for own, total, found in zip(grads[1:], totals, (ds.mT @ q, p.mT @ do), strict=True):
                group.put(own[ctx.prefix :], found[:, :, group.before :])
                total[: group.before] += found[:, :, : group.before].sum(0, dtype=total.dtype).transpose(0, 1)
        for tensor, total in zip(grads[1:], totals, strict=True):
            tensor[:before] += total.to(tensor.dtype)
        return *grads, None, None, None


@dataclass(frozen=True)
class _Group:
    """Rows that are worked through at once."""

    start: int  # where its first row stands among the N tokens
    lengths: tuple[int, ...]  # of its rows
    before: int  # B

    @property
    def longest(self):
        return max(self.lengths)

    def rows(self, tensor):
        """(N, …) → (R, T, …), zero at pads."""
        rows = self._part(tensor)
        if len(set(self.lengths)) == 1:
            return rows.unflatten(0, (len(self.lengths), -1))
        return pad_sequence(rows.split(self.lengths), batch_first=True)

    def queries(self, tensor, key_heads):
        """(N, H, D) → (R, K, T·G, D)."""
        return self.rows(tensor).unflatten(2, (key_heads, -1)).transpose(1, 2).flatten(2, 3)

    def keys(self, tensor, prefix):
        """(P + N, K, D) → (R, K, S, D): what each row sees, behind the prefix of P its own."""
        own = self.rows(tensor[prefix:])
        if self.before:
            own = torch.cat([tensor[: self.before].expand(len(own), -1, -1, -1), own], dim=1)
        return own.transpose(1, 2)

    def put(self, tensor, found):
        """Write (R, K, T·G, D) to this group's rows of an (N, H, D)."""
        found = found.unflatten(2, (self.longest, -1)).transpose(1, 2).flatten(2, 3)
        if len(set(self.lengths)) == 1:
            self._part(tensor).copy_(found.flatten(0, 1))
            return
        for row, target in zip(found, self._part(tensor).split(self.lengths), strict=True):
            target.copy_(row[: len(target)])

    def _part(self, tensor):
        return tensor[self.start : self.start + sum(self.lengths)]


@lru_cache(maxsize=8)
def _groups(row_lengths, shared, prefix, heads, scores):
    """All rows as groups of so many scores, in order. A first row that others go on from, or that alone has a learned
    prefix before it, is a group of its own."""
    alone = [_Group(0, row_lengths[:1], prefix)] if shared or prefix else []
    before, groups = shared + prefix if shared else 0, []
    start = row_lengths[0] if alone else 0
    for length in row_lengths[len(alone) :]:
        lengths = (*groups[-1].lengths, length) if groups else (length,)
        if groups and len(lengths) * heads * max(lengths) * (before + max(lengths)) <= scores:
            groups[-1] = _Group(groups[-1].start, lengths, before)
        else:
            groups.append(_Group(start, (length,), before))
        start += length
    return alone + groups
