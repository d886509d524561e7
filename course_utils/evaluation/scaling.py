"""Scaling laws: how the loss falls with weights and tokens, fitted, with intervals, and what a budget buys by them.

    L(N, D) = E + A / N^α + B / D^β        N weights, D tokens, L nats a token (Hoffmann et al. 2022, 2203.15556)
    C = 6 N D                              FLOPs of a training run

`fit` is Hoffmann's third approach: the least sum over runs of Huber(log L̂ − log L), δ = 0.001, with
log L̂ = LSE(log A − α log N, log B − β log D, log E), from a grid of starts. It is lowered by damped Gauss–Newton steps
with Huber weights, all starts and all resamples at once. Hoffmann took L-BFGS and the mean instead of the sum, which
stopped it too early (Besiroglu et al. 2024, 2404.10102); a test sees that L-BFGS finds no lower sum. Intervals come
from bootstrap over runs, the seeds of one run drawn together. With few sizes α and β stand in for each other: read them
together, and the exponent β / (α + β) of the best size.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

DELTA, RESAMPLES, STEPS = 1e-3, 500, 60
KEPT = 8  # starts that are followed to the end
GRID = {"E": (0.5, 1.0, 2.0, 3.0), "share": (0.2, 0.5, 0.8), "alpha": (0.2, 0.5, 1.0), "beta": (0.2, 0.5, 1.0)}
# Of the logarithms of the three terms at the centre of the runs, and of α and β: a term never vanishes for good
LEAST, MOST = np.array([-30, -30, -30, 1e-3, 1e-3]), np.array([30, 30, 30, 3.0, 3.0])
REPEATS = (
    15.39  # R*_D of Muennighoff et al. 2023 (2305.16264): repeats after which a token has lost 1 − 1/e of its worth
)


@dataclass(frozen=True)
class Law:
    """L(N, D) = E + A / N^α + B / D^β, in nats a token."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def __post_init__(self):
        if not all(math.isfinite(value) and value >= 0 for value in vars(self).values()):
            raise ValueError(f"Expected five finite numbers from 0 on, got {self}.")

    def loss(self, weights, tokens):
        """L(N, D); numbers or arrays."""
        return self.E + sum(self.reducible(weights, tokens))

    def reducible(self, weights, tokens):
        """(A / N^α, B / D^β): what is lost by a finite size and by finite data."""
        return self.A * np.power(weights, -self.alpha, dtype=float), self.B * np.power(tokens, -self.beta, dtype=float)

    @property
    def exponent(self):
        """a in N ∝ C^a of the best size: β / (α + β)."""
        return self.beta / (self.alpha + self.beta)

    def optimum(self, flops):
        """(weights, tokens) with the least loss of all with 6 N D = flops."""
        if not flops > 0:
            raise ValueError(f"Expected a budget in FLOPs above 0, got {flops}.")
        if not (self.A and self.B and self.alpha and self.beta):
            raise ValueError(f"Without both a price of size and one of data no size is best: {self}.")
        # dL/dN = 0 on the line: α A / N^α = β B / D^β
        level = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        weights = level * (flops / 6) ** self.exponent
        return weights, flops / 6 / weights


# Published, for tokens and models of another kind than ours: exponents may be compared, levels may not
CHINCHILLA = Law(1.69, 406.4, 410.7, 0.34, 0.28)  # Hoffmann et al. 2022
CORRECTED = Law(1.8172, 482.01, 2085.43, 0.3478, 0.3658)  # Besiroglu et al. 2024, the same runs fitted to the end


@dataclass(frozen=True)
class Fit:
    """A Law, those of the resamples, and what is left.

    law: a Law. resampled: list of Laws. residuals: (runs,) log L − log L̂.
    """

    law: Law
    resampled: list
    residuals: np.ndarray

    def interval(self, value, level=0.95):
        """(low, high) of value(law) over the resamples, such as `lambda law: law.alpha`."""
        return percentiles([value(law) for law in self.resampled], level)

    def predict(self, weights, tokens, *, level=0.95, seed=0):
        """(loss, low, high) of a new run, in nats a token: the law is unsure, and a run does not lie on it.

        Each resample's law is moved by one of the residuals, which are widened by √(runs / (runs − 5)).
        """
        drawn = np.random.default_rng(seed).choice(self.residuals, len(self.resampled))
        wide = math.sqrt(len(self.residuals) / (len(self.residuals) - 5))
        found = [law.loss(weights, tokens) for law in self.resampled] * np.exp(wide * drawn)
        return float(self.law.loss(weights, tokens)), *percentiles(found, level)


def percentiles(values, level=0.95):
    """(low, high) between which a share `level` of the values lies."""
    return tuple(float(end) for end in np.quantile(values, [(1 - level) / 2, (1 + level) / 2]))


def fit(weights, tokens, losses, *, resamples=RESAMPLES, delta=DELTA, seed=0):
    """The Fit of runs.

    Args:
        weights, tokens, losses: (runs,) N, D, and L in nats a token.
        resamples: of the runs, drawn with replacement; those that differ in their seed alone are drawn together, as
            what the law's form misses is the same for all of them.
        delta: δ, from which on a residual counts by its size and not by its square.

    Raises:
        ValueError: unequal lengths, fewer than 8 runs, fewer than 3 sizes or budgets, or no positive finite numbers.
    """
    weights, tokens, losses = (np.asarray(values, float) for values in (weights, tokens, losses))
    _check(weights, tokens, losses)
    centre = np.log(weights).mean(), np.log(tokens).mean()
    data = np.log(weights) - centre[0], np.log(tokens) - centre[1], np.log(losses)
    starts = _starts(losses)
    once = np.ones((len(starts), len(losses)))
    found, values = _descend(starts, *data, once, delta, STEPS // 2)
    kept = np.argsort(values)[:KEPT]
    found, values = _descend(found[kept], *data, once[kept], delta, 5 * STEPS)
    best = found[np.argmin(values)]
    drawn = _drawn(weights, tokens, resamples, seed)
    again, _ = _descend(np.repeat(best[None], resamples, 0), *data, drawn.astype(float), delta, STEPS)
    left = data[2] - _log_loss(best[None], *data[:2])[0][0]
    return Fit(_law(best, centre), [_law(one, centre) for one in again], left)


def _drawn(weights, tokens, resamples, seed):
    """(resamples, runs) how often each run is in a resample; runs of one size and budget are drawn together."""
    _, alike = np.unique(np.stack([weights, tokens]), axis=1, return_inverse=True)
    generator, count = np.random.default_rng(seed), alike.max() + 1
    places = generator.integers(count, size=(resamples, count))
    return np.stack([np.bincount(row, minlength=count)[alike] for row in places])


def _check(weights, tokens, losses):
    if not len(weights) == len(tokens) == len(losses):
        got = f"{len(weights)}, {len(tokens)}, {len(losses)}"
        raise ValueError(f"Expected as many weights as tokens as losses, got {got}.")
    every = np.concatenate([weights, tokens, losses])
    if not (np.isfinite(every).all() and (every > 0).all()):
        raise ValueError("Weights, tokens and losses must be finite and above 0. Did a run diverge? Then leave it out.")
    sizes, budgets = len(np.unique(weights)), len(np.unique(tokens))
    if len(losses) < 8 or sizes < 3 or budgets < 3:
        raise ValueError(
            f"Five numbers need at least 8 runs with 3 sizes and 3 budgets of tokens, got {len(losses)} runs with "
            f"{sizes} and {budgets}: a smaller set fits many laws equally well."
        )


def _starts(losses):
    """(S, 5) first guesses (log A', log B', log E, α, β) at the centre of the runs."""
    low, middle, found = losses.min(), float(np.median(losses)), []
    for part, share, alpha, beta in itertools.product(*GRID.values()):
        floor = low * part / (1 + part)
        found.append([math.log((middle - floor) * share), math.log((middle - floor) * (1 - share)), math.log(floor)])
        found[-1] += [alpha, beta]
    return np.array(found)


def _log_loss(theta, size, data):
    """(log L̂ (S, R), its derivatives by θ (S, R, 5)) for θ (S, 5) and R runs."""
    a, b, e, alpha, beta = theta.T[:, :, None]
    terms = np.stack([a - alpha * size, b - beta * data, e + 0 * size])
    top = terms.max(0)
    parts = np.exp(terms - top)
    total = parts.sum(0)
    parts /= total
    return top + np.log(total), np.stack([*parts, -parts[0] * size, -parts[1] * data], axis=-1)


def _huber(left, delta):
    far = np.abs(left)
    return np.where(far <= delta, left**2 / 2, delta * (far - delta / 2))


def _descend(theta, size, data, logs, counts, delta, steps):
    """(θ (S, 5), sums (S,)) after damped Gauss–Newton steps from each start on Σ counts · Huber."""
    damping = np.full(len(theta), 1e-2)
    predicted, slopes = _log_loss(theta, size, data)
    value = (counts * _huber(predicted - logs, delta)).sum(1)
    for _ in range(steps):
        left = predicted - logs
        weight = counts * np.minimum(1, delta / np.maximum(np.abs(left), 1e-12))
        weighted = weight[..., None] * slopes
        bend, pull = np.einsum("sri,srj->sij", weighted, slopes), np.einsum("sri,sr->si", weighted, left)
        scale = bend[:, range(5), range(5)] * damping[:, None] + 1e-9 * np.maximum(1e-9, counts.max())
        step = np.linalg.solve(bend + scale[:, None] * np.eye(5), pull[..., None])[..., 0]
        tried = (theta - step).clip(LEAST, MOST)
        there, steep = _log_loss(tried, size, data)
        lower = (counts * _huber(there - logs, delta)).sum(1)
        better = lower < value
        theta, value = np.where(better[:, None], tried, theta), np.where(better, lower, value)
        predicted, slopes = np.where(better[:, None], there, predicted), np.where(better[:, None, None], steep, slopes)
        damping = np.clip(np.where(better, damping / 3, damping * 4), 1e-9, 1e9)
    return theta, value


def _law(theta, centre):
    a, b, e, alpha, beta = (float(value) for value in theta)
    return Law(math.exp(e), math.exp(a + alpha * centre[0]), math.exp(b + beta * centre[1]), alpha, beta)


def recovered(law, weights, tokens, noise, *, draws=100, resamples=200, seed=0):
    """How often the intervals of `fit` hold a law that is known, on runs drawn from it with noise.

    Args:
        law: a Law, taken for true. weights, tokens: (runs,) of the runs.
        noise: standard deviation of log L. draws: sets of runs.

    Returns:
        {name: {"true", "inside": share of the draws whose 95 % interval holds the true value, "width": its median}} of
        "E", "alpha", "beta" and "exponent".
    """
    weights, tokens, names = np.asarray(weights, float), np.asarray(tokens, float), ("E", "alpha", "beta", "exponent")
    generator, ends = np.random.default_rng([seed, 6]), {name: [] for name in names}
    for number in range(draws):
        made = law.loss(weights, tokens) * np.exp(noise * generator.normal(size=len(weights)))
        fitted = fit(weights, tokens, made, resamples=resamples, seed=number)
        for name in names:
            ends[name].append(fitted.interval(lambda one, name=name: getattr(one, name)))
    found = {}
    for name, (low, high) in ((name, np.array(pairs).T) for name, pairs in ends.items()):
        true = getattr(law, name)
        inside = float(np.mean((low <= true) & (true <= high)))
        found[name] = {"true": true, "inside": inside, "width": float(np.median(high - low))}
    return found


@dataclass(frozen=True)
class Minimum:
    """The best size of one compute budget, by a parabola; `inside` says whether it lies between the sizes tried."""

    weights: float
    loss: float
    inside: bool


def iso_flop_minimum(weights, losses):
    """The Minimum of a parabola through the losses of one budget over log N (Hoffmann's second approach).

    Raises:
        ValueError: fewer than three sizes, or losses that do not bend upwards, which have no minimum.
    """
    place, losses = np.log(np.asarray(weights, float)), np.asarray(losses, float)
    if len(np.unique(place)) < 3 or len(place) != len(losses):
        raise ValueError(f"A parabola needs at least three sizes with a loss each, got {len(place)} and {len(losses)}.")
    middle = place.mean()
    bend, slope, level = np.polyfit(place - middle, losses, 2)
    if bend <= 0:
        raise ValueError("The losses of this budget bend downwards over size: there is no best one among these runs.")
    best = -slope / (2 * bend)
    inside = place.min() <= best + middle <= place.max()
    return Minimum(math.exp(best + middle), float(level - slope**2 / (4 * bend)), bool(inside))


def power(x, y):
    """(exponent, factor) of y = factor · x^exponent by least squares on logarithms, from two points on."""
    exponent, level = np.polyfit(np.log(x), np.log(y), 1)
    return float(exponent), math.exp(level)


def effective_tokens(unique, read, repeats=REPEATS):
    """How many new tokens are worth as much as `read` tokens of which only `unique` are different.

    D' = U + U · R* (1 − exp(−R / R*)), R = read / unique − 1 (Muennighoff et al. 2023): four passes are nearly as
    good as new text, forty are worth about fifteen, and no number of passes more than 1 + R*.

    Raises:
        ValueError: more unique tokens than were read, or none.
    """
    if not 0 < unique <= read:
        raise ValueError(f"Expected from 1 to all {read:,} tokens to be unique, got {unique:,}.")
    return unique + unique * repeats * (1 - math.exp(-(read / unique - 1) / repeats))
