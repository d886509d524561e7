"""Copying a text that was just read, judged twice: exactly, k tokens in a row, and by the probability of each token.

What counts as "it can" decides when an ability seems to appear (Schaeffer et al. 2023, 2304.15004): k tokens are right
together about as often as pᵏ when one is right with p, which stays near nothing for long and then rises steeply.

Shapes: B rows, n tokens of one copy.
"""

import torch

from course_utils.evaluation.pretraining import AT_ONCE
from course_utils.models.logprobs import token_logprobs


@torch.no_grad()
def copied(model, rows, spans, *, at_once=AT_ONCE):
    """How well the second copy in rows of `said_twice` or `pretraining.repeated` is known.

    Args:
        model: anything with `hidden` and `embed_tokens`.
        rows: (B, 1 + 2n) int64: a boundary, n tokens, the same again.
        spans: k, the lengths that shall be right; at most n − 1.

    Returns:
        {"nats": mean −log p of a token of the second copy, "first": of the first,
        "exact": {str(k): share of all runs of k tokens there that greedy decoding would write}}. The first token of a
        copy is left out, for nothing says that it begins.
    """
    rows = torch.as_tensor(rows, device=model.embed_tokens.weight.device)
    copy = (rows.shape[1] - 1) // 2
    if not 1 <= max(spans) < copy:
        raise ValueError(f"Expected spans from 1 to {copy - 1} of the {copy} tokens of a copy, got {tuple(spans)}.")
    head, right, nats = model.embed_tokens.weight.float(), [], []
    for part in rows.split(at_once):
        hidden, targets = model.hidden(part)[:, :-1].float().contiguous(), part[:, 1:].contiguous()
        nats.append(-token_logprobs(hidden, head, targets).double())
        right.append((hidden @ head.T).argmax(-1) == targets)  # all of a span right: then greedy decoding writes it
    nats, right = torch.cat(nats), torch.cat(right)[:, copy + 1 :]  # column i is of token i + 1
    exact = {str(k): right.unfold(1, k, 1).all(-1).double().mean().item() for k in spans}
    return {"nats": nats[:, copy + 1 :].mean().item(), "first": nats[:, 1:copy].mean().item(), "exact": exact}


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
