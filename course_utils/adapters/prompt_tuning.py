"""Prompt tuning by hand (Lester et al. 2021): k learned vectors stand before the embeddings of the input.

    [p_1 … p_k, E(x_1) … E(x_T)]        p (k, D) trained, everything else frozen

Nothing can be merged: the vectors cost k positions in every row, for good. Initialised from a text, they are at first
exactly that text. `p` lives where the embeddings enter the first layer; Gemma scales those by √D.
"""

import torch

from course_utils.models import virtual_tokens


class SoftPrompt(torch.nn.Module):
    """k learned vectors."""

    def __init__(self, vectors):
        super().__init__()
        self.embedding = torch.nn.Embedding.from_pretrained(vectors.detach().float().clone(), freeze=False)

    def forward(self):
        """(k, D)."""
        return self.embedding.weight


def inject(model, *, tokens=20, text_ids=None):
    """Freeze a model and put k learned vectors before every row that it reads, in place.

    Args:
        model: a causal language model of transformers.
        tokens: k.
        text_ids: token ids to start from, repeated or cut to k; None draws k words of the vocabulary at random.

    Returns:
        The model; `model.virtual_tokens` is the SoftPrompt.

    Raises:
        ValueError: no room for the vectors, or another soft prompt is there already.
    """
    return attach(model, SoftPrompt(start(model, tokens, text_ids)))


@torch.no_grad()
def start(model, tokens, text_ids=None):
    """(k, D) embeddings of a text, repeated or cut to k tokens, or of k words drawn at random."""
    table = model.get_input_embeddings()
    if tokens < 1 or (text_ids is not None and not len(text_ids)):
        raise ValueError(f"Expected at least one virtual token and a text that is not empty, got {tokens}, {text_ids}.")
    if text_ids is None:
        ids = torch.randint(table.num_embeddings, (tokens,))
    else:
        ids = torch.tensor(repeated(text_ids, tokens))
    return table(ids.to(table.weight.device))


def repeated(ids, count):
    """The list repeated and cut to `count` entries."""
    return [ids[place % len(ids)] for place in range(count)]


def attach(model, module, put=virtual_tokens.before_embeddings):
    """Freeze the model and let what `module()` returns stand before its rows; another task's module may replace it."""
    if hasattr(model, "virtual_tokens"):
        raise ValueError(
            "This model already has a soft prompt. Call remove(model) first, or put(model, other weights)."
        )
    model.requires_grad_(False)
    model.virtual_tokens = module.to(model.device)
    model.virtual_hooks = put(model, lambda: model.virtual_tokens())
    return model


def remove(model):
    """Take the virtual tokens away; no weight of the base was ever changed."""
    if hasattr(model, "virtual_tokens"):
        model.virtual_hooks.remove()
        del model.virtual_hooks, model.virtual_tokens
    return model


@torch.no_grad()
def nearest_words(model, vectors):
    """The real token nearest to each learned vector by cosine: (ids (k,), cosines (k,))."""
    table = torch.nn.functional.normalize(model.get_input_embeddings().weight.float(), dim=-1)
    cosines = torch.nn.functional.normalize(vectors.detach().float(), dim=-1) @ table.T
    best = cosines.max(dim=-1)
    return best.indices, best.values
