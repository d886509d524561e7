"""Saying a text that was read, judged twice: exactly, k tokens in a row, and by the probability of each token.

What counts as "it can" decides when an ability seems to appear (Schaeffer et al. 2023, 2304.15004): k tokens are right
together about as often as pᵏ when one is right with p, which stays near nothing for long and then rises steeply.

Shapes: B rows, n tokens of one copy.
"""

import torch

from course_utils.evaluation.pretraining import AT_ONCE
from course_utils.models.logprobs import token_logprobs
from course_utils.text.token_stream import numbered


@torch.no_grad()
def known(model, rows, spans, *, boundary=None, after=1, at_once=AT_ONCE):
    """How well the tokens of rows are known, each from those before it.

    Args:
        model: anything with `hidden` and `embed_tokens`.
        rows: (B, T) int64.
        spans: k, the lengths that shall be right; at most T − after.
        boundary: the id that begins a document, whose tokens see no other's; None for one document a row.
        after: the first column that is asked for, from 1 on.

    Returns:
        {"nats": mean −log p of a token, "exact": {str(k): share of all runs of k tokens that greedy decoding would
        write}}.
    """
    rows = torch.as_tensor(rows, device=model.embed_tokens.weight.device)
    if not 1 <= max(spans) <= rows.shape[1] - after:
        raise ValueError(f"Expected spans from 1 to the {rows.shape[1] - after} tokens asked for, got {tuple(spans)}.")
    head, right, nats = model.embed_tokens.weight.float(), [], []
    for part in rows.split(at_once):
        documents = None if boundary is None else numbered(part, boundary)
        hidden, targets = model.hidden(part, documents)[:, after - 1 : -1].float().contiguous(), part[:, after:]
        nats.append(-token_logprobs(hidden, head, targets.contiguous()).double())
        right.append((hidden @ head.T).argmax(-1) == targets)  # all of a span right: then greedy decoding writes it
    right = torch.cat(right)
    exact = {str(k): right.unfold(1, k, 1).all(-1).double().mean().item() for k in spans}
    return {"nats": torch.cat(nats).mean().item(), "exact": exact}


def copied(model, rows, spans):
    """`known` of the second copy in rows of `said_twice`, and "first": nats a token of the first copy.

    The first token of a copy is left out, for nothing says that it begins.
    """
    copy = (len(rows[0]) - 1) // 2
    first = known(model, rows[:, : copy + 1], (1,), after=2)["nats"]
    return known(model, rows, spans, after=copy + 2) | {"first": first}


def said_twice(encoded, copy):
    """(B, 1 + 2n) int64: the first n tokens behind the boundary of every text that has so many, and again.

    Args:
        encoded: lists of ids, the boundary first.
        copy: n.

    Raises:
        ValueError: no text has so many.
    """
    rows = [[*ids[: copy + 1], *ids[1 : copy + 1]] for ids in encoded if len(ids) > copy]
    if not rows:
        raise ValueError(f"None of {len(encoded)} texts has {copy} tokens behind its boundary. Ask for fewer.")
    return torch.tensor(rows)
