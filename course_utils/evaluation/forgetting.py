"""What a model lost while it learned something else: its distance to the base on plain text, and tasks it could do.

A distance says that something changed, not that it is worse; a task says whether it is.

Shapes: T tokens of a text, V vocabulary, N rows.
"""

import torch

from course_utils.evaluation.writing import HELD_BACK
from course_utils.models.logprobs import IGNORE, next_token_targets
from course_utils.models.packing import packed_hidden


def divergence(base, model, texts, *, chunk=64):
    """Mean KL(base ‖ model) of the next-token distribution, in nats a token.

    Args:
        base, model: causal language models of one vocabulary; the model may be inside a peft model.
        texts: lists of token ids, <bos> first, of one length.
        chunk: positions whose two (chunk, V) distributions exist at a time.
    """
    total = 0.0
    with torch.inference_mode():
        ids = torch.tensor(texts, device=base.device)
        hidden = [packed_hidden(one, ids, torch.ones_like(ids, dtype=torch.bool)) for one in (base, model)]
        for states in zip(*(states.split(chunk) for states in hidden), strict=True):
            logps = [
                one.get_output_embeddings()(state).float().log_softmax(-1)
                for one, state in zip((base, model), states, strict=True)
            ]
            # KL(b ‖ m) = Σ b (log b − log m)
            total += (logps[0].exp() * (logps[0] - logps[1])).sum().item()
    return total / ids.numel()


def answers(model, tokenizer, pairs):
    """How a model does a task of `data.small_tasks` behind its first HELD_BACK pairs as examples.

    Args:
        model: a causal language model with `packing.use_row_attention`, which reads the examples once.
        pairs: (question, answer) texts, written as in `evaluation.writing`.

    Returns:
        What `ends` gives for the answers of the remaining pairs, each with the end of its line.

    Raises:
        ValueError: no pair is left to be asked.
    """
    if len(pairs) <= HELD_BACK:
        raise ValueError(f"Expected more than {HELD_BACK} pairs, as the first {HELD_BACK} are shown, got {len(pairs)}.")
    shown = "".join(f"{question} => {answer}\n" for question, answer in pairs[:HELD_BACK])
    before = [tokenizer(f"{shown}{question} =>").input_ids for question, _ in pairs[HELD_BACK:]]
    after = [tokenizer(f" {answer}\n", add_special_tokens=False).input_ids for _, answer in pairs[HELD_BACK:]]
    rows = [[*question, *answer] for question, answer in zip(before, after, strict=True)]
    return ends(model, rows, [len(question) for question in before])


@torch.inference_mode()
def ends(model, rows, starts, *, chunk=64):
    """(log p of each row's end, whether greedy writing gives just that): (N,) nats, (N,) bool.

    Args:
        rows: lists of token ids, <bos> first.
        starts: where the end of each row begins, at least 1: a word is predicted from what stands before it.
        chunk: positions whose (chunk, V) logits exist at a time.
    """
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=model.device)
    place = torch.arange(longest, device=model.device)
    lengths, begins = (torch.tensor(part, device=model.device)[:, None] for part in ([*map(len, rows)], starts))
    mask = place < lengths
    targets = next_token_targets(ids, mask & (place >= begins))
    owner = torch.arange(len(rows), device=model.device)[:, None].expand_as(ids)
    counts = targets != IGNORE
    states = packed_hidden(model, ids, mask)[counts[mask]]
    logps, hits = torch.zeros(len(rows)), torch.ones(len(rows), dtype=torch.bool)
    for state, word, row in zip(*(part.split(chunk) for part in (states, targets[counts], owner[counts])), strict=True):
        found = model.get_output_embeddings()(state).float().log_softmax(-1)
        logps.index_add_(0, row.cpu(), found.gather(1, word[:, None])[:, 0].cpu())
        hits[row[found.argmax(-1) != word].cpu()] = False
    return logps, hits
