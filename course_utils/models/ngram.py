"""Language models by counting: Kneser-Ney over token ids of any kind (bytes, words, byte pairs), of any order.

A language model gives every next token w a probability after its context h, the tokens before it. Counted after long
contexts it would be 0 for whatever was never met, so each order gives a little of its mass, the discounts, to the next
shorter context h′ (h without its first token), and the shortest to all V tokens alike:

    p(w | h) = (a(hw) − D(a(hw))) / a(h•) + γ(h)·p(w | h′)          a(h•) = Σ a(hw) over all w

In the longest context a(hw) is how often hw was met. In the shorter ones, and that is the idea of Kneser and Ney
(1995), it is after how many different tokens: "Francisco" is frequent, but after "San" alone. With D1, D2, D3+ for
a(hw) = 1, 2, more it is the modified Kneser-Ney of Chen and Goodman (1999), with one discount for all the interpolated
plain one. For every h, met or not, the probabilities sum to 1. Order 1 is the unigram model, order 2 the bigram model.

A stream holds many documents, each begun by the same boundary token; a context never reaches over it. What begins a
document has no token to its left that could be counted: there a(hw) is how often hw was met, at every order, as in
KenLM.

Shapes: T tokens, V vocabulary, M different n-grams of one length.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch


@dataclass(frozen=True)
class Grams:
    """All different n-grams of one length, sorted.

    keys: (M,) int64; hw is (place of h among the n-grams one shorter)·V + w: one number for any length.
    times: (M,) int32, how often each was met.
    lefts: (M,) int32, after how many different tokens; how often, where it begins a document. None for the longest.
    """

    keys: np.ndarray
    times: np.ndarray
    lefts: np.ndarray | None = None


@dataclass(frozen=True)
class Counts:
    """What was counted in a stream of tokens.

    vocabulary: V. boundary: the id that begins each document, or None. grams: of length 1, 2, … order.
    """

    vocabulary: int
    boundary: int | None
    grams: list


def count(tokens, *, order, vocabulary, boundary=None):
    """Count all n-grams up to a length.

    Args:
        tokens: (T,) ids, all documents one after the other.
        order: length of the longest n-gram, context and token.
        vocabulary: V; ids are 0 … V − 1.
        boundary: id of the token that begins each document; None when the stream is one text.

    Raises:
        ValueError: order below 1, fewer than two tokens, or an id outside the vocabulary.
    """
    if order < 1:
        raise ValueError(f"Expected an order of at least 1, the unigram model, got {order}.")
    tokens = _ids(tokens, vocabulary)
    if len(tokens) < 2:
        raise ValueError(f"Expected at least two tokens to count, got {len(tokens)}. Is the text empty?")
    grams, context, ids, opens = [], np.zeros(len(tokens) + 1, np.int64), None, None
    for length in range(1, order + 1):
        places = np.flatnonzero(context[:-1] >= 0)  # enough tokens stand before these, in the same document
        if not len(places):
            raise ValueError(
                f"Expected a document of at least {length} tokens for order {order}, got only shorter ones."
            )
        keys = context[places] * vocabulary + tokens[places]
        keys, first, inverse, times = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        if grams:
            # N1+(• g): of the n-grams that are one longer and different, how many end in g
            lefts = np.bincount(ids[places[first]], minlength=len(grams[-1].keys))
            lefts = lefts if length == 2 else np.where(opens, grams[-1].times, lefts)
            grams[-1] = replace(grams[-1], lefts=lefts.astype(np.int32))
        opens = keys == boundary if length == 1 else opens[keys // vocabulary]  # which begin with the boundary
        grams.append(Grams(keys, times.astype(np.int32)))
        ids = np.full(len(tokens), -1)
        ids[places] = inverse
        context = _contexts(ids, tokens, length, boundary)
    return Counts(vocabulary, boundary, grams)


def _contexts(ids, tokens, length, boundary):
    """What the next token finds before it: the place of each n-gram, one to the right; −1 where there is none.

    A boundary may begin a context and never stand within one, so that no context reaches into the document before.
    """
    ids = ids if length == 1 else np.where(tokens == boundary, -1, ids)
    return np.concatenate([[-1], ids])


class KneserNey:
    """The model of the formula above.

    discounts: (order, 3) D1, D2, D3+ of each length of n-gram, from the unigrams up.
    """

    def __init__(self, counts, *, order=None, discounts=None):
        """Take counts for a model.

        Args:
            counts: what `count` returned.
            order: at most that of the counts; theirs when None.
            discounts: one number for all, or (order, 3); None estimates them from the counts of counts.
        """
        self.vocabulary, self.boundary = counts.vocabulary, counts.boundary
        self.order = len(counts.grams) if order is None else order
        if not 1 <= self.order <= len(counts.grams):
            raise ValueError(f"Expected an order from 1 to {len(counts.grams)}, that of the counts, got {order}.")
        shorter = [(grams.keys, grams.lefts) for grams in counts.grams[: self.order - 1]]
        longest = counts.grams[self.order - 1]
        self._keys, self._counts = zip(*shorter, (longest.keys, longest.times), strict=True)
        self._totals, self._kinds = [], []
        for length, (keys, met) in enumerate(zip(self._keys, self._counts, strict=True)):
            context, contexts = keys // self.vocabulary, len(self._keys[length - 1]) if length else 1
            # a(h•), and N1(h•), N2(h•), N3+(h•): how many different tokens follow h once, twice, more often
            self._totals.append(np.bincount(context, weights=met, minlength=contexts))
            kinds = [np.bincount(context[kind], minlength=contexts) for kind in _kinds(met)]
            self._kinds.append(np.stack(kinds).astype(np.int32))
        self.discounts = _discounts(discounts, self._counts)

    def evidence(self, tokens):
        """What was counted about each of tokens[1:] after those before it: of each order, as `interpolate` takes it."""
        tokens = _ids(tokens, self.vocabulary)
        return [self._found(length, context[1:-1], tokens[1:]) for length, context in enumerate(self._walk(tokens))]

    def logprobs(self, tokens):
        """(T − 1,) float64 log p(token | all before it) of tokens[1:], in nats; tokens[0] is only a context."""
        return interpolate(self.evidence(tokens), self.discounts, self.vocabulary).log()

    def probabilities(self, prefix):
        """(V,) float64: the distribution of the token that follows a prefix, which may be empty."""
        tokens = _ids(prefix, self.vocabulary)
        every = np.arange(self.vocabulary)
        found = [self._found(length, context[-1:], every) for length, context in enumerate(self._walk(tokens))]
        return interpolate(found, self.discounts, self.vocabulary)

    def sample(self, prefix, *, max_new_tokens, seed=0):
        """Continue a prefix by drawing one token after another, until the boundary is drawn.

        Returns:
            list of the new ids, without the boundary.
        """
        tokens, generator = list(prefix), torch.Generator().manual_seed(seed)
        for _ in range(max_new_tokens):
            # the order − 1 tokens before it are all that the model sees
            probabilities = self.probabilities(tokens[max(0, len(tokens) - self.order + 1) :])
            drawn = torch.multinomial(probabilities, 1, generator=generator).item()
            if drawn == self.boundary:
                break
            tokens.append(drawn)
        return tokens[len(prefix) :]

    def _walk(self, tokens):
        """Of each order, (T + 1,) the place of the context before each token and after the last; −1 if never met."""
        context = np.zeros(len(tokens) + 1, np.int64)
        for length in range(1, self.order + 1):
            yield context
            ids = self._places(length - 1, context[:-1], tokens)
            context = _contexts(ids, tokens, length, self.boundary)

    def _places(self, length, context, tokens):
        """The place of each n-gram among those of its length; −1 where it was never met."""
        keys, wanted = self._keys[length], context * self.vocabulary + tokens
        places = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
        return np.where((context >= 0) & (keys[places] == wanted), places, -1)

    def _found(self, length, context, tokens):
        """(a(hw), its kind, a(h•), the kinds after h) as tensors: (T,), (3, T), (T,), (3, T), zero if never met."""
        places, known = self._places(length, context, tokens), context >= 0
        met = np.where(places >= 0, self._counts[length][places], 0)
        total = np.where(known, self._totals[length][context], 0)
        after = np.where(known, self._kinds[length][:, context], 0)
        found = (met, np.stack(_kinds(met)), total, after)
        return [torch.from_numpy(part.astype(np.float64)) for part in found]


def interpolate(evidence, discounts, vocabulary):
    """p(w | h) from what was counted, from the shortest context to the longest.

    Args:
        evidence: of each order (a(hw), its kind, a(h•), the kinds after h), float64.
        discounts: (order, 3) D1, D2, D3+.
        vocabulary: V.

    Returns:
        (T,) float64 probabilities, with the gradient for the discounts.
    """
    p = 1 / vocabulary
    for (met, kind, total, after), discount in zip(evidence, discounts, strict=True):
        known = total > 0
        total = total.clamp(min=1)
        # γ(h) = (D1·N1(h•) + D2·N2(h•) + D3·N3+(h•)) / a(h•): all that the discounts took; 1 if h was never met
        left = torch.where(known, discount @ after / total, 1.0)
        # p(w | h) = (a(hw) − D(a(hw))) / a(h•) + γ(h)·p(w | h′)
        p = (met - discount @ kind) / total + left * p
    return p


def estimate_discounts(met):
    """Chen and Goodman's D1, D2, D3+ from the counts of counts n1 … n4: how many n-grams were met once, twice, …

    A small or closed text may have none of a kind; then D is that of KenLM for this case, 1/2, 1, 3/2.
    """
    n = [int((met == times).sum()) for times in (1, 2, 3, 4)]
    if 0 in n[:3]:
        return [0.5, 1.0, 1.5]
    # Y = n1 / (n1 + 2·n2),   D_i = i − (i + 1)·Y·n_{i+1} / n_i, between nothing and all
    y = n[0] / (n[0] + 2 * n[1])
    return [min(max(i - (i + 1) * y * n[i] / n[i - 1], 0.0), float(i)) for i in (1, 2, 3)]


def fit(tokens, validation, *, vocabulary, orders=range(1, 6), boundary=None):
    """The strongest model by counting: discounts of each order by gradient descent, and the best order.

    Args:
        tokens, validation: (T,) ids to count in, and to choose on; nothing is counted in the second.
        vocabulary, boundary: as for `count`.
        orders: those to try.

    Returns:
        (the KneserNey that is best on validation, {order: its mean −log p there, in nats a token}).
    """
    counts, best, losses = count(tokens, order=max(orders), vocabulary=vocabulary, boundary=boundary), None, {}
    if len(validation) < 2:
        raise ValueError(f"Expected at least two validation tokens to choose on, got {len(validation)}.")
    for order in orders:
        model = KneserNey(counts, order=order)
        model.discounts, losses[order] = tune(model.evidence(validation), model.discounts, vocabulary)
        if losses[order] == min(losses.values()):
            best = model
    return best, losses


def tune(evidence, discounts, vocabulary):
    """Discounts with the smallest −log p of the tokens of `evidence`: (discounts, nats a token)."""
    most = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    # D_i = i·σ(x_i) keeps every discount between 0 and the count that it is taken from
    x = torch.logit((discounts / most).clamp(0.01, 0.99)).requires_grad_()
    optimizer = torch.optim.LBFGS([x], max_iter=40, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = -interpolate(evidence, most * x.sigmoid(), vocabulary).log().mean()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        tuned = most * x.sigmoid()
        return tuned, -interpolate(evidence, tuned, vocabulary).log().mean().item()


def _kinds(met):
    """Which discount each count pays: (met once, twice, more often)."""
    return met == 1, met == 2, met >= 3


def _ids(tokens, vocabulary):
    """Token ids as (T,) int64; ValueError if one stands outside the vocabulary."""
    tokens = np.asarray(tokens, dtype=np.int64)
    if len(tokens) and not 0 <= tokens.min() <= tokens.max() < vocabulary:
        wrong = int(tokens.min() if tokens.min() < 0 else tokens.max())
        raise ValueError(
            f"Expected token ids from 0 to {vocabulary - 1}, got {wrong}. Is `vocabulary` that of the tokenizer, with "
            "the boundary counted in?"
        )
    return tokens


def _discounts(discounts, counts):
    """(order, 3) float64 from one number, from a table, or from the counts themselves."""
    if discounts is None:
        discounts = [estimate_discounts(met) for met in counts]
    discounts = torch.as_tensor(discounts, dtype=torch.float64)
    if discounts.shape not in ((), (len(counts), 3)):
        raise ValueError(
            f"Expected one discount, or D1, D2, D3+ for each of {len(counts)} orders, got a table of "
            f"{tuple(discounts.shape)}."
        )
    discounts = discounts.expand(len(counts), 3)
    if not ((discounts >= 0) & (discounts <= torch.tensor([1, 2, 3]))).all():
        raise ValueError(
            "Expected D1 from 0 to 1, D2 from 0 to 2, D3+ from 0 to 3: more cannot be taken from a count. "
            f"Got {discounts.tolist()}."
        )
    return discounts
