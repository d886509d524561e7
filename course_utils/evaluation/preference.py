"""Who orders pairs as people do: a reward model, cheap baselines, and people themselves; and what a policy has won.

Shapes: N pairs or samples, P prompts, K samples of each prompt. Wherever two numbers are equal the pair counts ½, for
every contender alike: one left-out rating, a whole number, ties often, and would gain or lose three points otherwise.
"""

import itertools
import math
from collections import Counter
from dataclasses import dataclass

import torch

from course_utils.data import lexicon
from course_utils.evaluation import comparison
from course_utils.tensors import check_same_shape

PAIRS_AT_ONCE = 512  # of an interval over texts; their weights fit a cache
FEWEST = 50  # pairs of a range of gaps; with fewer, a resample of their texts may hold none


def ordered_right(chosen, rejected):
    """(N,) float64: 1 where chosen scores higher than rejected, ½ where equal, else 0.

    Also the wins of one policy's samples over another's, pair by pair: `ordered_right(ours, theirs)`.

    Raises:
        ValueError: shapes differ, or a score is not finite.
    """
    chosen, rejected = torch.as_tensor(chosen).double(), torch.as_tensor(rejected).double()
    check_same_shape(chosen=chosen, rejected=rejected)
    if not (chosen.isfinite() & rejected.isfinite()).all():
        raise ValueError("Some scores are NaN or infinite; an accuracy over them would hide a broken model.")
    return 0.5 + 0.5 * torch.sign(chosen - rejected)


def over_texts(values, pairs, *, level=0.95, seed=0):
    """Mean of a number a pair, with its interval over texts.

    A text stands in several pairs, so the pairs are not independent and an interval over them would be too narrow. Here
    the texts are drawn again, and a pair counts as often as both of its texts came (Owen 2007's pigeonhole bootstrap).

    Args:
        values: (N,) from `ordered_right`, or the difference of two of these.
        pairs: rows with columns chosen_id and rejected_id.

    Returns:
        comparison.Estimate, whose `items` are the pairs.

    Raises:
        ValueError: another number of values than of pairs, or so few pairs that a resample holds none.
    """
    values = torch.as_tensor(values).double()
    chosen, rejected = list(pairs["chosen_id"]), list(pairs["rejected_id"])
    if not len(values) == len(chosen) >= 2:
        raise ValueError(f"Expected a number for each of at least 2 pairs, got {len(values)} for {len(chosen)}.")
    number = {text: place for place, text in enumerate(dict.fromkeys([*chosen, *rejected]))}
    places = torch.tensor([[number[text] for text in side] for side in (chosen, rejected)])
    weights = (
        comparison.resampled_weights(len(number), True, torch.Generator().manual_seed(seed)).float().T.contiguous()
    )
    counted, sums = torch.stack([values, torch.ones_like(values)]).float(), torch.zeros(2, comparison.RESAMPLES)
    for part in torch.arange(len(values)).split(PAIRS_AT_ONCE):
        # Σ over pairs of w(chosen) · w(rejected) · number, for every resample
        sums += counted[:, part] @ (weights[places[0, part]] * weights[places[1, part]])
    if not sums[1].all():
        raise ValueError(
            f"{len(values)} pairs of {len(number)} texts are too few for an interval over texts: some resamples hold "
            "no pair. Give more pairs, or take comparison.mean_interval."
        )
    means = (sums[0] / sums[1]).double()
    low, high = means.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)).tolist()
    return comparison.Estimate(values.mean().item(), low, high, 1, len(values))


def by_gap(right, pairs, edges=(0.0, 0.5, 1.0, 2.0, 4.0, 8.0)):
    """Accuracy for each range of the gap between the two means.

    Args:
        right: (N,) from `ordered_right`.
        pairs: rows with columns gap (rating points, > 0), chosen_id and rejected_id.
        edges: bounds of the ranges, rising; a gap equal to a bound belongs to the range below it.

    Returns:
        A list of (low, high, comparison.Estimate over texts) for the ranges with at least FEWEST pairs.
    """
    gaps, found = torch.as_tensor(pairs["gap"][:]), []
    ids = {side: pairs[side][:] for side in ("chosen_id", "rejected_id")}  # a Dataset's column is read anew each time
    for low, high in itertools.pairwise(edges):
        inside = (gaps > low) & (gaps <= high)
        if inside.sum() >= FEWEST:
            rows = inside.nonzero().flatten().tolist()
            part = {side: [column[row] for row in rows] for side, column in ids.items()}
            found.append((low, high, over_texts(right[inside], part)))
    return found


def calibration(chosen, rejected, bins=5):
    """How often the model is right when it says how sure it is: p = σ(|difference|), from ½ to 1.

    Returns:
        A list of (mean p, share right, pairs) in bins of equally many pairs, the least sure first.
    """
    sure, right = torch.sigmoid((chosen - rejected).abs()), ordered_right(chosen, rejected)
    parts = sure.argsort().chunk(bins)
    return [(sure[part].mean().item(), right[part].mean().item(), len(part)) for part in parts]


# Baselines


@dataclass(frozen=True)
class NaiveBayes:
    """Words as they stood in preferred and in other texts: log p(word | chosen) − log p(word | rejected) of each."""

    weights: dict

    @classmethod
    def fit(cls, chosen, rejected):
        """From two lists of texts; a word counts once a text, with one added to each side."""
        sides = [Counter(word for text in texts for word in set(lexicon.words(text))) for texts in (chosen, rejected)]
        known = set().union(*sides)
        totals = [math.log(sum(side.values()) + len(known)) for side in sides]
        return cls({w: math.log((sides[0][w] + 1) / (sides[1][w] + 1)) - totals[0] + totals[1] for w in sorted(known)})

    def scores(self, texts):
        """(N,) the sum over the text's different words; unknown ones count 0."""
        return torch.tensor([math.fsum(self.weights.get(w, 0.0) for w in set(lexicon.words(text))) for text in texts])


def length_scores(texts):
    """(N,) words of each text: what a judge who likes long answers would say."""
    return torch.tensor([float(len(text.split())) for text in texts])


def lexicon_scores(texts):
    """(N,) sentiment by word list."""
    return torch.tensor([lexicon.score(text) for text in texts])


def baseline(scores, pairs):
    """(N,) `ordered_right` of a function texts -> (N,) on rows with columns chosen and rejected."""
    return ordered_right(scores(list(pairs["chosen"])), scores(list(pairs["rejected"])))


def panel_right(pairs, people, *, skip=0):
    """(N,) how so many people of the other half order the pairs, by the mean of their ratings.

    Args:
        pairs: from `data.preference.human_pairs`; the ratings are in random order, so the first k are any k.
        people: 1, 3, 7, …
        skip: so many people are left out first; for a panel that shares nobody with another.

    Raises:
        ValueError: a text has fewer ratings in that half.
    """
    sides = [pairs[side][:] for side in ("chosen_others", "rejected_others")]
    fewest = min(len(given) for side in sides for given in side) - skip
    if not 1 <= people <= fewest:
        raise ValueError(f"Expected a panel of 1 to {fewest} people, the fewest that a text has left, got {people}.")
    return ordered_right(*[[sum(given[skip : skip + people]) / people for given in side] for side in sides])


def agreement(one, two):
    """(N,) the chance that two judges choose the same text of a pair, a tie being a coin's throw.

    Args:
        one, two: (N,) of 1, ½ and 0 from `ordered_right`, of the same pairs.
    """
    check_same_shape(one=one, two=two)
    return one * two + (1 - one) * (1 - two)


# What a policy has won


def best_of_kl(n):
    """KL of the best of n samples to the policy they come from, in nats: log n − (n − 1) / n.

    Exact when no two samples score alike, else an upper bound (Beirami et al. 2024).
    """
    if n < 1:
        raise ValueError(f"Expected n of at least 1, got {n}.")
    return math.log(n) - (n - 1) / n


def best_of(proxy, gold, n):
    """What choosing the best of n samples by one judge brings by another's, without drawing the n.

    Every n of the K samples are as likely as any other; so the i-th lowest by the proxy is the best of n with
    probability C(i − 1, n − 1) / C(K, n).

    Args:
        proxy: (P, K) scores by which the sample is chosen.
        gold: (P, K) scores that are reported; the proxy again for its own curve.
        n: 1 … K.

    Returns:
        (P,) expected gold score for each prompt.
    """
    check_same_shape(proxy=proxy, gold=gold)
    samples = proxy.shape[1]
    if not 1 <= n <= samples:
        raise ValueError(f"Expected n from 1 to the {samples} samples of each prompt, got {n}. Sample more.")
    chances = [math.comb(i, n - 1) / math.comb(samples, n) for i in range(samples)]
    return gold.double().gather(1, proxy.argsort(dim=1)) @ torch.tensor(chances, dtype=torch.float64)
