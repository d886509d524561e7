"""How often is the most probable next token the right one, and in how many bits does a model say a text?

Shapes: T tokens of a text, V vocabulary, D width.
"""

import lzma
import math
from collections import Counter, defaultdict

import torch


class Trigrams:
    """The best of the cheap tables: what most often followed the same two tokens in some training texts.

    Where these two were never met in a row it backs off to the last one, then to the most frequent token. That is
    Katz (1987) without his discounts: only the favourite of a context counts here, not its probability.
    """

    def __init__(self, rows):
        """Count what follows two, one and no tokens. rows: lists of token ids, <bos> first."""
        followers = defaultdict(Counter)
        for row in rows:
            for place in range(1, len(row)):
                for context in contexts(row, place):
                    followers[context][row[place]] += 1
        if not followers:
            raise ValueError("Expected training texts of at least two tokens each, got none with a token to guess.")
        self.best = {context: counts.most_common(1)[0][0] for context, counts in followers.items()}

    def guess(self, row):
        """The guess at each of row[1:]: by the longest of its contexts that was met in training."""
        places = range(1, len(row))
        return [next(self.best[known] for known in contexts(row, place) if known in self.best) for place in places]


def contexts(row, place):
    """The two tokens before a place, the one before it, and none: from the longest to the shortest there is."""
    return [tuple(row[place - length : place]) for length in (2, 1, 0) if length <= place]


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


def bits_per_byte(logprobs, texts):
    """How many bits a model needs for each byte of some documents: comparable whatever its tokens are.

    Args:
        logprobs: log p of every token of the documents, in nats, a flat sequence or tensor. The token that ends or
            begins a document costs bits as well and has no bytes: count it for all models alike.
        texts: the documents, a list of str.

    Raises:
        ValueError: one str instead of a list, no bytes, or a probability above 1.
    """
    if isinstance(texts, str):
        raise ValueError("Expected a list of documents, got a single text; put it into a list: [text].")
    logprobs = torch.as_tensor(logprobs, dtype=torch.float64)
    if (logprobs > 0).any():
        raise ValueError(f"Expected log-probabilities, at most 0, got {logprobs.max():.3f}. Are these losses, −log p?")
    total = sum(len(text.encode("utf-8")) for text in texts)
    if total == 0:
        raise ValueError("Expected documents with at least one byte, got none.")
    # bits a byte = −Σ log p / (ln 2 · bytes)
    return -logprobs.sum().item() / (math.log(2) * total)


def compressed_bits(text, *, known=""):
    """The size in bits of a text compressed by `xz -9e`, which finds repeats far back; `bzip2` may pack prose tighter.

    Args:
        text: str.
        known: a text that both sides have already, as a model has its training text: it is compressed before the text
            and what it takes alone is subtracted. Of no use beyond 64 MiB, the reach of xz.
    """
    before = known.encode("utf-8")
    both = _xz(before + text.encode("utf-8"))
    return 8 * (both - _xz(before) if before else both)


def _xz(data):
    return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
