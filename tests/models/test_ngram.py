"""Counted models: by hand, against NLTK, against the same formulas in dictionaries; and every context sums to one."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.models import ngram

TEXT = "0 the cat sat on the mat 0 the dog sat 0 a cat saw the dog on the mat and sat 0 0 the cat 0"
SAID = TEXT.split()
WORDS = [*sorted(set(SAID)), "never"]  # "0" is the boundary
TOKENS = [WORDS.index(word) for word in SAID]
V = len(WORDS)


def model(order=3, discounts=0.75, tokens=TOKENS, boundary=0, vocabulary=V):
    return ngram.KneserNey(
        ngram.count(tokens, order=order, vocabulary=vocabulary, boundary=boundary), discounts=discounts
    )


def stream(length, vocabulary=12, seed=0, boundary=True):
    """Tokens of a skewed distribution that depends on the token before; 0 begins a document about every tenth place."""
    rng, tokens = np.random.default_rng(seed), [0]
    while len(tokens) < length:
        tokens.append(min(int(rng.geometric(0.3)) * (1 + tokens[-1] % 3), vocabulary - 2))
        if boundary and rng.random() < 0.1:
            tokens.append(0)
    return tokens


class Dictionaries:
    """The formula read off the page, in dictionaries, one probability at a time."""

    def __init__(self, tokens, order, discounts, boundary, vocabulary):
        self.order, self.discounts, self.boundary, self.vocabulary = order, discounts, boundary, vocabulary
        times = [Counter() for _ in range(order + 1)]
        for end in range(len(tokens)):
            for length in range(1, order + 1):
                gram = tuple(tokens[end - length + 1 : end + 1]) if end - length + 1 >= 0 else ()
                if len(gram) == length and boundary not in gram[1:-1]:
                    times[length][gram] += 1
        self.met = defaultdict(dict)  # length → context → {token: a(hw)}
        for length in range(1, order + 1):
            for gram, often in times[length].items():
                begins = length > 1 and gram[0] == boundary
                left = sum(longer[1:] == gram for longer in times[length + 1]) if length < order else 0
                a = often if length == order or begins else left
                self.met[length].setdefault(gram[:-1], {})[gram[-1]] = a

    def probability(self, prefix, token):
        prefix = list(prefix)
        if self.boundary in prefix:
            prefix = prefix[len(prefix) - 1 - prefix[::-1].index(self.boundary) :]
        return self._probability(tuple(prefix[max(0, len(prefix) - self.order + 1) :]), token)

    def _probability(self, context, token):
        shorter = self._probability(context[1:], token) if context else 1 / self.vocabulary
        after = self.met[len(context) + 1].get(context, {})
        if not sum(after.values()):
            return shorter
        pays = [0.0, *self.discounts[len(context)]]
        left = sum(pays[min(a, 3)] for a in after.values()) / sum(after.values())
        a = after.get(token, 0)
        return (a - pays[min(a, 3)]) / sum(after.values()) + left * shorter


def test_unigrams_and_bigrams_by_hand():
    unigrams = model(1, 0.0, [1, 2, 1, 3], None, 4)
    assert unigrams.probabilities([]).tolist() == [0, 0.5, 0.25, 0.25]
    # each of the three loses 0.5 of its count; of what was lost, 1.5 of 4, all four tokens get the same
    assert model(1, 0.5, [1, 2, 1, 3], None, 4).probabilities([]).tolist() == pytest.approx(
        [1.5 / 16, 1.5 / 4 + 1.5 / 16, 0.5 / 4 + 1.5 / 16, 0.5 / 4 + 1.5 / 16]
    )
    # after 1 came 2 and 3; alone, 1 follows one other token, as do 2 and 3
    bigrams = model(2, [[0, 0, 0], [0.5, 0.5, 0.5]], [1, 2, 1, 3], None, 4)
    assert bigrams.probabilities([1]).tolist() == pytest.approx([0, 1 / 6, 1 / 4 + 1 / 6, 1 / 4 + 1 / 6])


def test_francisco_is_rare_where_it_is_new():
    text = "san francisco san francisco san francisco my glass her glass his glass"
    words = text.split()
    names = sorted(set(words))
    tokens = [names.index(word) for word in words]
    alone = model(2, 0.75, tokens, None, len(names)).probabilities([names.index("glass")] * 2)
    assert words.count("francisco") == words.count("glass")
    assert alone[names.index("glass")] > 2 * alone[names.index("francisco")]


@pytest.mark.parametrize("order", [2, 3, 4])
def test_equal_to_nltk_at_the_same_discount_where_it_sums_to_one(order):
    """Its lowest order keeps all of its mass: that of ours has no discount here, and no unknown token."""
    from nltk.lm import KneserNeyInterpolated

    documents = [["0", *words.split(), "0"] for words in TEXT.split("0") if words.strip()]
    tokens = [WORDS.index(word) for words in documents for word in words[:-1]] + [0]
    theirs = KneserNeyInterpolated(order, discount=0.6)
    grams = [
        [tuple(words[end - n : end]) for n in range(1, order + 1) for end in range(n, len(words) + 1)]
        for words in documents
    ]
    theirs.fit(grams, vocabulary_text=WORDS[:-1])
    ours = model(order, [[0, 0, 0]] + [[0.6] * 3] * (order - 1), tokens)
    compared = 0
    for words in documents:
        for end in range(order - 1, len(words)):
            for context in (words[end - order + 1 : end], ["never"] * (order - 2) + [words[end - 1]]):
                try:
                    expected = [theirs.score(word, context) for word in WORDS[:-1]]
                except ZeroDivisionError:
                    continue  # a context that only ever began a text
                if not math.isclose(sum(expected), 1, abs_tol=1e-9):
                    continue
                probabilities = ours.probabilities([WORDS.index(word) for word in context])
                assert probabilities[:-1].tolist() == pytest.approx(expected, abs=1e-9)
                compared += 1
    assert compared >= 30


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=6, max_size=60),
    st.integers(1, 5),
    st.sampled_from([0, None]),
    st.lists(st.integers(0, 6), max_size=7),
    st.integers(0, 1000),
)
def test_equal_to_the_formula_in_dictionaries_and_sums_to_one(tokens, order, boundary, prefix, seed):
    tokens = [1, 2, 3, 4, 5, *tokens]  # a document of five at least
    discounts = np.random.default_rng(seed).random((order, 3)) * [1, 2, 3]
    ours = model(order, discounts, tokens, boundary, 7)
    slow = Dictionaries(tokens, order, discounts, boundary, 7)
    probabilities = ours.probabilities(prefix)
    assert probabilities.tolist() == pytest.approx([slow.probability(prefix, w) for w in range(7)], abs=1e-12)
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-12)
    expected = [math.log(slow.probability(tokens[:t], tokens[t])) for t in range(1, len(tokens))]
    assert ours.logprobs(tokens).tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("discounts", "contexts"), [(None, 5000), (0.75, 200), (1.0, 200)])
def test_every_context_sums_to_one_and_leaves_something_to_every_token(discounts, contexts):
    tokens, rng = stream(3000), np.random.default_rng(1)
    fitted = model(5, discounts, tokens, 0, 12)
    starts = rng.integers(0, 2990, contexts)
    seen = [tokens[start : start + rng.integers(0, 6)] for start in starts]
    unseen = [rng.integers(0, 12, rng.integers(1, 6)).tolist() for _ in range(contexts)]
    for prefix in seen + unseen:
        probabilities = fitted.probabilities(prefix)
        assert probabilities.sum().item() == pytest.approx(1, abs=1e-12)
        assert probabilities.min() > 0  # 11 was never met


def test_a_context_does_not_reach_into_the_document_before():
    fitted = model(4)
    the, sat = WORDS.index("the"), WORDS.index("sat")
    expected = fitted.probabilities([0])
    assert torch.equal(fitted.probabilities([sat, 0]), expected)
    assert torch.equal(fitted.probabilities([the, sat, 0, 0]), expected)
    # four of six documents begin with "the", and the empty one ends at once
    assert expected[the] == expected.max()
    assert not torch.equal(model(4, boundary=None).probabilities([sat, 0]), expected)


def test_logprobs_are_those_of_the_distribution_after_each_beginning():
    fitted = model(3)
    logprobs = fitted.logprobs(TOKENS)
    assert logprobs.shape == (len(TOKENS) - 1,) and logprobs.dtype == torch.float64
    for place in range(1, len(TOKENS)):
        expected = fitted.probabilities(TOKENS[:place])[TOKENS[place]].log()
        assert logprobs[place - 1].item() == pytest.approx(expected.item(), abs=1e-12)


def test_without_discounts_a_bigram_model_gives_nothing_to_what_it_has_not_met():
    assert model(2, 0.0).logprobs([0, WORDS.index("mat")]).item() == -math.inf


def test_discounts_by_hand():
    # n1 … n4 = 4, 2, 1, 1: Y = 4/8; D1 = 1 − 2·½·2/4, D2 = 2 − 3·½·1/2, D3+ = 3 − 4·½·1/1
    met = np.array([1, 1, 1, 1, 2, 2, 3, 4])
    assert ngram.estimate_discounts(met) == pytest.approx([0.5, 1.25, 1.0])
    assert ngram.estimate_discounts(np.array([1, 2, 4])) == [0.5, 1.0, 1.5]
    # n1, n2, n3 = 1, 3, 4: D1 = 1 − 2·3/7 < 1, and D2 = 2 − 3·4/21; for D3+ there is no n4, so nothing is left
    assert ngram.estimate_discounts(np.array([1, 2, 2, 2, 3, 3, 3, 3])) == pytest.approx([1 / 7, 10 / 7, 3.0])


def test_fit_is_better_than_the_estimate_and_chooses_the_order():
    tokens = stream(6000, seed=3)
    train, validation, test = tokens[:3000], tokens[3000:4500], tokens[4500:]
    best, losses = ngram.fit(train, validation, vocabulary=12, boundary=0)
    assert list(losses) == [1, 2, 3, 4, 5]
    # the stream remembers one token: a bigram is enough, and one token is not
    assert best.order == min(losses, key=losses.get) and losses[1] > losses[2] + 0.01
    assert -best.logprobs(validation).mean().item() == pytest.approx(losses[best.order], abs=1e-12)
    counts = ngram.count(train, order=5, vocabulary=12, boundary=0)
    for order, loss in losses.items():
        assert loss <= -ngram.KneserNey(counts, order=order).logprobs(validation).mean().item() + 1e-9
    # the long contexts of so short a text are worth less than the estimate says
    long, _ = ngram.fit(train, validation, vocabulary=12, boundary=0, orders=[5])
    assert long.order == 5 and best.logprobs(test).mean() > model(5, None, train, 0, 12).logprobs(test).mean()


def test_tuned_discounts_are_at_a_minimum():
    tokens = stream(4000, seed=4)
    evidence = model(3, None, tokens[:2000], 0, 12).evidence(tokens[2000:])
    tuned, loss = ngram.tune(evidence, torch.full((3, 3), 0.5, dtype=torch.float64), 12)
    for place in np.ndindex(3, 3):
        for step in (-0.02, 0.02):
            moved = tuned.clone()
            moved[place] = min(max(moved[place].item() + step, 0), place[1] + 1)
            assert -ngram.interpolate(evidence, moved, 12).log().mean().item() >= loss - 1e-7


def test_samples_follow_the_counts_and_end_with_the_document():
    fitted = model(5, 0.0)
    samples = [fitted.sample([0], max_new_tokens=30, seed=seed) for seed in range(40)]
    assert samples == [fitted.sample([0], max_new_tokens=30, seed=seed) for seed in range(40)]
    assert TOKENS[8:11] in samples and TOKENS[24:26] in samples and [] in samples  # whole documents
    assert all(0 not in row for row in samples) and len({tuple(row) for row in samples}) > 3
    assert len(fitted.sample([0, WORDS.index("the")], max_new_tokens=1)) == 1
    unigrams = [token for seed in range(300) for token in model(1, 0.0).sample([], max_new_tokens=1, seed=seed)]
    assert np.mean(np.array(unigrams) == WORDS.index("the")) == pytest.approx(6 / 21, abs=0.08)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": 0}, "order of at least 1"),
        ({"tokens": []}, "two tokens to count, got 0"),
        ({"tokens": [1]}, "two tokens to count, got 1"),
        ({"tokens": [1, V]}, f"from 0 to {V - 1}, got {V}"),
        ({"tokens": [1, -3]}, f"from 0 to {V - 1}, got -3"),
        ({"tokens": [0, 1, 0, 2], "order": 4}, "at least 4 tokens for order 4"),
        ({"discounts": 1.5}, "more cannot be taken"),
        ({"discounts": -0.1}, "more cannot be taken"),
        ({"discounts": [0.5, 0.5]}, "D3\\+ for each of 3 orders, got a table of"),
    ],
)
def test_what_cannot_be_counted_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        model(**change)


def test_an_order_that_was_not_counted_and_foreign_ids_are_refused():
    counts = ngram.count(TOKENS, order=2, vocabulary=V, boundary=0)
    with pytest.raises(ValueError, match="order from 1 to 2, that of the counts, got 3"):
        ngram.KneserNey(counts, order=3)
    for ask in (model().logprobs, model().probabilities, model().evidence):
        with pytest.raises(ValueError, match=f"got {V}"):
            ask([0, V])
    with pytest.raises(ValueError, match="two validation tokens"):
        ngram.fit(TOKENS, [0], vocabulary=V, boundary=0)
