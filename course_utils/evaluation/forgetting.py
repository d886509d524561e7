"""What a model lost while it learned something else: its distance to the base on plain text.

Shapes: T tokens of a text, V vocabulary.
"""

import torch

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
