"""What a model that is being pre-trained can do by now: held-out text in bits, its place in a row, copying, writing.

Induction (Olsson et al. 2022): a text that repeats itself can be copied. A head that has learned it looks, at each
token, for the same token earlier and attends to the one that followed. Random tokens, said twice, show it alone:
nothing but the first copy tells what comes in the second.

Shapes: B rows, T tokens, V vocabulary, L layers, H heads, n tokens of one copy.
"""

import math
from dataclasses import dataclass

import torch

from course_utils.data import many_tasks as tasks
from course_utils.evaluation import many_tasks
from course_utils.models import kv_cache
from course_utils.models.logprobs import token_logprobs
from course_utils.models.transformer import attention_weights
from course_utils.text import corpus

PAIRS, COPY = 16, 60  # repeated sequences, and tokens of one copy
FREQUENT = range(256, 2256)  # merges learned first: the tokens of which the repeated sequences are made
AT_ONCE = 8  # rows that are read together


@dataclass(frozen=True)
class HeldOut:
    """Documents that nobody trained on, each cut after its first bytes.

    ids: list of document ids. texts: list of str. bytes: list of their UTF-8 sizes.
    """

    ids: list
    texts: list

    @property
    def bytes(self):
        """UTF-8 bytes of each text."""
        return [len(text.encode("utf-8")) for text in self.texts]


def held_out(split, *, documents, size, source=None):
    """Beginnings of held-out documents.

    Args:
        split: "validation" or "test".
        documents: at most so many of each source.
        size: bytes of each; shorter documents are left out, a character that would be cut goes whole.
        source: () -> iterable of corpus.Document instead of the corpus.

    Raises:
        ValueError: the training split, or no document is long enough.
    """
    if split == "train":
        raise ValueError('Expected "validation" or "test"; "train" is what a model has read.')
    taken, ids, texts = {}, [], []
    for document in source() if source else corpus.documents(split):
        data = document.text.encode("utf-8")
        if len(data) >= size and taken.get(document.source, 0) < documents:
            taken[document.source] = taken.get(document.source, 0) + 1
            ids.append(document.id)
            texts.append(data[:size].decode("utf-8", "ignore"))
    if not texts:
        raise ValueError(f"No document of {split} has {size:,} bytes. Ask for fewer.")
    return HeldOut(ids, texts)


@torch.no_grad()
def losses(model, rows, documents=None):
    """(B, T − 1) −log p in nats of each row's tokens but the first, fp32.

    Args:
        model: a Transformer.
        rows: (B, T) int64.
        documents: (B, T), as for the model.
    """
    rows = torch.as_tensor(rows, device=model.embed_tokens.weight.device)
    hidden = model.hidden(rows, documents)[:, :-1].contiguous()
    return -token_logprobs(hidden.float(), model.embed_tokens.weight.float(), rows[:, 1:].contiguous()).cpu()


def document_bits(model, encoded, *, length):
    """The bits that each document costs, the same sum as −Σ log₂ p over its tokens.

    A document longer than the rows that the model was trained on is read in windows, each half a row on, so that
    every token has at least half a row before it.

    Args:
        model: a Transformer.
        encoded: lists of ids, the boundary first; it costs nothing.
        length: T, the tokens of a row in training.

    Returns:
        A list of floats.
    """
    windows = []  # (document, first token of the window, first token that counts)
    for number, ids in enumerate(encoded):
        start, known = 0, 1
        while known < len(ids):
            windows.append((number, start, known))
            known, start = start + length, start + length // 2
    bits = [0.0] * len(encoded)
    windows.sort(key=lambda window: -min(length, len(encoded[window[0]]) - window[1]))
    for first in range(0, len(windows), AT_ONCE):
        group = windows[first : first + AT_ONCE]
        rows = [encoded[number][start : start + length] for number, start, _ in group]
        longest = max(map(len, rows))
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        found = losses(model, padded).double()
        for (number, start, known), row, nats in zip(group, rows, found, strict=True):
            bits[number] += nats[known - start - 1 : len(row) - 1].sum().item() / math.log(2)
    return bits


def counted_bits(model, encoded):
    """The bits that each document costs a model by counting, `ngram.KneserNey`; the boundary, first, costs nothing."""
    return [-model.logprobs(ids).sum().item() / math.log(2) for ids in encoded]


def loss_by_position(model, rows, *, at_once=AT_ONCE):
    """(T − 1,) mean −log p in nats at each place of a row: what a longer context is worth.

    Args:
        rows: (B, T) int64.
    """
    total = sum(losses(model, part).double().sum(0) for part in torch.as_tensor(rows).split(at_once))
    return total / len(rows)


def repeated(boundary, *, count=PAIRS, copy=COPY, among=FREQUENT, seed=0):
    """(count, 1 + 2n) int64: a boundary, n random tokens, and the same n again."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(among.start, among.stop, (count, copy), generator=generator)
    return torch.cat([torch.full((count, 1), boundary), drawn, drawn], dim=1)


def induction(model, rows):
    """(nats a token in the first copy, in the second), each without its first token.

    Args:
        rows: of `repeated`.
    """
    copy = (rows.shape[1] - 1) // 2
    found = losses(model, rows).mean(0)  # column i is the loss of token i + 1
    return found[1:copy].mean().item(), found[copy + 1 :].mean().item()


def induction_heads(model, rows):
    """(L, H) the attention, averaged over the second copy, on the token that followed the earlier copy of one's own.

    Args:
        rows: of `repeated`. A head that looks everywhere alike has about 1 / (3n / 2).
    """
    copy = (rows.shape[1] - 1) // 2
    asking = torch.arange(copy + 1, 2 * copy)  # all of the second copy but its last, whose follower is not there
    followed = asking - copy + 1
    with torch.no_grad():
        found = [attention_weights(model, row)[:, :, asking, followed].mean(-1) for row in rows]
    return torch.stack(found).mean(0).cpu()


def write(model, stream, text, *, max_new_tokens=40, temperature=0.8, seed=0):
    """The text and what the model writes on, as str; drawn by the model's own probabilities.

    Args:
        stream: the token_stream.Stream whose tokens the model knows.
        temperature: divides the logits.
    """
    generator = torch.Generator().manual_seed(seed)

    def pick(logits):
        probabilities = torch.softmax(logits.float().cpu() / temperature, dim=-1)
        return torch.multinomial(probabilities, 1, generator=generator)[:, 0].to(logits.device)

    prompt = stream.encode(text)
    new = kv_cache.generate(model, [prompt], max_new_tokens=max_new_tokens, pick=pick, stop_tokens=(stream.boundary,))
    return stream.decode([*prompt[1:], *(token for token in new[0] if token != stream.boundary)])


def of_tasks(model, stream, *, context, names=tasks.NAMES, shots=(0, 8)):
    """How a small model does the six tasks of `data.many_tasks`, asked in words as a large one is.

    Args:
        context: the most tokens that it reads; a longer prompt loses its beginning.
        names: of the tasks.
        shots: examples shown; one draw of each.

    Returns:
        {task: {str(shots): share of right answers, calibrated; "chance": 1 / labels}}.
    """
    answerer, found = many_tasks.by_logits(model, stream.tokenizer.encode, context=context), {}
    for name in names:
        task = tasks.load(name)
        right = {str(n): many_tasks.over_draws(answerer, task, n, 1)["calibrated"].mean().item() for n in shots}
        found[name] = right | {"chance": 1 / len(task.words)}
    return found
