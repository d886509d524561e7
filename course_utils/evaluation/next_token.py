"""How often is the most probable next token the right one? A language model against a table of word pairs.

Shapes: T tokens of a text, V vocabulary, D width.
"""

from collections import Counter, defaultdict
from itertools import pairwise

import torch


class Bigrams:
    """The strongest cheap guess at the next token: what most often followed this one in some training texts."""

    def __init__(self, rows):
        """Count pairs of neighbours. rows: lists of token ids, <bos> first."""
        followers, everywhere = defaultdict(Counter), Counter()
        for row in rows:
            for token, following in pairwise(row):
                followers[token][following] += 1
                everywhere[following] += 1
        if not everywhere:
            raise ValueError("Expected training texts of at least two tokens each, got no pair of neighbours.")
        self.usual = everywhere.most_common(1)[0][0]
        self.best = {token: counts.most_common(1)[0][0] for token, counts in followers.items()}

    def guess(self, row):
        """The guess at each of row[1:], from the token before it; unseen tokens get the most frequent one."""
        return [self.best.get(token, self.usual) for token in row[:-1]]


def guesses(model, row, *, chunk=64):
    """A language model's most probable token at each of row[1:], and its loss there.

    Args:
        model: a causal language model of transformers.
        row: T token ids.
        chunk: positions whose logits (chunk, V) exist at one time.

    Returns:
        (list of T − 1 token ids, (T − 1,) float32 of −log p(row[t] | row[:t]) in nats).
    """
    tokens = torch.tensor(row, device=model.device)
    best, losses = [], []
    with torch.inference_mode():
        hidden = model.base_model(tokens[None]).last_hidden_state[0, :-1].contiguous()
        for states, truth in zip(hidden.split(chunk), tokens[1:].split(chunk), strict=True):
            logits = model.get_output_embeddings()(states).float()
            best += logits.argmax(-1).tolist()
            losses.append(torch.nn.functional.cross_entropy(logits, truth, reduction="none").cpu())
    return best, torch.cat(losses)


def hit_rate(guessed, row):
    """The share of row[1:] that was guessed right.

    Raises:
        ValueError: the row has no second token, or not one guess for each.
    """
    if len(row) < 2 or len(guessed) != len(row) - 1:
        raise ValueError(f"Expected a guess for each token but the first, got {len(guessed)} for {len(row)} tokens.")
    return sum(guess == truth for guess, truth in zip(guessed, row[1:], strict=True)) / len(guessed)
