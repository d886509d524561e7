"""What a model lost while it learned something else: distance to the base on plain text, and another task in context.

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


def answers_in_context(model, tokenizer, pairs, *, shots=8):
    """Which questions would be answered right, word for word, by greedy decoding behind examples.

    Each answer is read at once instead of written: greedy decoding writes it exactly when each of its tokens is the
    most probable one behind those before it.

    Args:
        model: a causal language model, also inside a peft model.
        pairs: (question, answer) texts; the first `shots` are shown, the others asked.

    Returns:
        One bool a question.
    """
    if len(pairs) <= shots:
        raise ValueError(f"Expected more than {shots} pairs, the examples and at least one question, got {len(pairs)}.")
    shown = "".join(f"{question} => {answer}\n" for question, answer in pairs[:shots])
    right = []
    with torch.inference_mode():
        for question, answer in pairs[shots:]:
            prompt = tokenizer(f"{shown}{question} =>").input_ids
            wanted = tokenizer(f" {answer}\n", add_special_tokens=False).input_ids
            ids = torch.tensor([prompt + wanted], device=model.device)
            hidden = packed_hidden(model, ids, torch.ones_like(ids, dtype=torch.bool))
            predicting = hidden[len(prompt) - 1 : -1].contiguous()
            right.append(model.get_output_embeddings()(predicting).argmax(-1).tolist() == wanted)
    return right
