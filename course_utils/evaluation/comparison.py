"""Is a difference real? Bootstrap intervals over what could have come out otherwise: items, draws, or both.

`correct` matrices are (draws, items): row d holds, for one draw of examples (or one seed), whether each item came out
right. Resampling items asks "would other test items say the same?", resampling draws "would other examples?". The two
questions have different answers, so each has its interval; `over="both"` resamples rows and columns together
(the crossed bootstrap of Owen 2007), which is the widest of the three and the one to claim with. Few draws make an
interval over draws alone too narrow (in simulation, six draws hold the truth about 80 times in 100, not 95): it is for
comparing widths, not for claims.
"""

import math
from dataclasses import dataclass

import torch

RESAMPLES = 4000
OVER = ("items", "draws", "both")


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval."""

    mean: float
    low: float
    high: float
    draws: int
    items: int

    @property
    def interval(self):
        return (self.low, self.high)

    def __str__(self):
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_interval(values, *, over="both", level=0.95, seed=0):
    """Mean of a (draws, items) matrix, or of (items,), with its bootstrap percentile interval.

    One draw leaves nothing to resample over draws, as with zero-shot, of which there is only one: then `over="both"`
    is `over="items"`. The estimate's `draws` says so; the interval does not speak for other examples or seeds.

    Raises:
        ValueError: an unknown `over`, too few items or draws to resample, or values that are not finite.
    """
    values = torch.as_tensor(values, dtype=torch.float64)
    values = values[None] if values.ndim == 1 else values
    _check(values, over, level)
    draws, items = values.shape
    if over == "both" and draws == 1:
        over = "items"
    generator = torch.Generator().manual_seed(seed)
    # A resample is a set of weights: how often each row and each column was picked.
    row = resampled_weights(draws, over in ("draws", "both"), generator)
    column = resampled_weights(items, over in ("items", "both"), generator)
    means = ((row @ values) * column).sum(1)
    low, high = torch.quantile(means, torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)).tolist()
    return Estimate(values.mean().item(), low, high, draws, items)


def paired_difference(ours, baseline, *, over="both", level=0.95, seed=0):
    """Mean of ours − baseline on the same items, with its interval.

    Args:
        ours: (draws, items) or (items,).
        baseline: the same shape, or (items,) when the baseline has no draws; then it is paired with every draw.

    Raises:
        ValueError: other items or other draws on the two sides, and what `mean_interval` refuses.
    """
    ours, baseline = torch.as_tensor(ours).double(), torch.as_tensor(baseline).double()
    if ours.shape[-1] != baseline.shape[-1]:
        raise ValueError(
            f"A paired comparison needs the same items on both sides, got {ours.shape[-1]} and {baseline.shape[-1]}."
        )
    if baseline.ndim > 1 and ours.shape != baseline.shape:
        raise ValueError(
            f"Expected a baseline of shape {tuple(ours.shape)}, or one row for all draws, got {tuple(baseline.shape)}."
        )
    return mean_interval(ours - baseline, over=over, level=level, seed=seed)


def resampled_weights(count, resampled, generator):
    """(RESAMPLES, count) weights that sum to 1 a row: multinomial when resampled, all equal when kept."""
    if not resampled:
        return torch.full((RESAMPLES, count), 1 / count, dtype=torch.float64)
    picked = torch.randint(count, (RESAMPLES, count), generator=generator)
    return torch.zeros(RESAMPLES, count, dtype=torch.float64).scatter_add_(
        1, picked, torch.full(picked.shape, 1 / count, dtype=torch.float64)
    )


def _check(values, over, level):
    if over not in OVER:
        raise ValueError(f"Unknown over={over!r}; expected one of {', '.join(OVER)}.")
    if not 0 < level < 1:
        raise ValueError(f"Expected a level between 0 and 1, as 0.95, got {level}. Is it a percentage?")
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(f"Expected values of shape (draws, items) or (items,), got {tuple(values.shape)}.")
    draws, items = values.shape
    if over == "draws" and draws < 2:
        raise ValueError("One draw cannot say how much draws differ; repeat the run with other examples or seeds.")
    if items < 2:
        raise ValueError(f"An interval over items needs at least two of them, got {items}.")
    if not torch.isfinite(values).all():
        raise ValueError("Some values are NaN or infinite; a mean of these would hide a broken run.")


def correlation_difference(ours, baseline, truth, *, over="both", level=0.95, seed=0):
    """Correlation with the truth, ours minus the baseline's, on the same items, with its interval.

    Args:
        ours: (draws, items) or (items,) predictions; the estimate is the mean of the draws' correlations.
        baseline: the same shape, or (items,), then paired with every draw; None for our correlation itself.
        truth: (items,).

    Raises:
        ValueError: as for `paired_difference`.
    """
    ours, truth = torch.as_tensor(ours).double(), torch.as_tensor(truth).double()
    baseline = None if baseline is None else torch.as_tensor(baseline).double()
    ours = ours[None] if ours.ndim == 1 else ours
    if ours.shape[-1] != len(truth) or (baseline is not None and baseline.shape not in (ours.shape, truth.shape)):
        came = None if baseline is None else tuple(baseline.shape)
        raise ValueError(
            f"Expected predictions for the {len(truth)} items of the truth, in as many draws, got {tuple(ours.shape)} "
            f"and {came}."
        )
    for values in (ours, truth[None], *([] if baseline is None else [baseline.reshape(-1, len(truth))])):
        _check(values, "draws" if over == "draws" and len(ours) < 2 else "items", level)
    draws, items = ours.shape
    generator = torch.Generator().manual_seed(seed)
    row = resampled_weights(draws, over in ("draws", "both") and draws > 1, generator)
    column = resampled_weights(items, over in ("items", "both"), generator)

    def gain(weights):
        found = _correlations(ours, truth, weights)
        return found if baseline is None else found - _correlations(baseline.reshape(-1, items), truth, weights)

    resampled = (gain(column) * row).sum(1)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(resampled, ends).tolist()
    even = torch.full((1, items), 1 / items, dtype=torch.float64)
    return Estimate(gain(even).mean().item(), low, high, draws, items)


def _correlations(predicted, truth, weights):
    """(draws, items), (items,), (R, items) weights → (R, draws) weighted correlations."""
    mean, centre = weights @ predicted.T, (weights @ truth)[:, None]
    together = weights @ (predicted * truth).T - mean * centre
    spread = weights @ (predicted**2).T - mean**2
    return together / (spread * ((weights @ truth**2)[:, None] - centre**2)).sqrt()


def prediction_interval(recorded, *, items, recorded_items):
    """Where a correlation on other items of the same kind lies 95 times in 100, given a recorded one.

    tanh(atanh r₀ ± 1.96 √(1 / (n − 3) + 1 / (n₀ − 3))), Fisher's z. It allows for other items alone: another seed or
    another sample to train on may move a correlation farther.

    Args:
        recorded: r₀, inside (−1, 1).
        items, recorded_items: n and n₀, at least four each.

    Returns:
        (low, high).

    Raises:
        ValueError: a correlation of ±1 or beyond, or fewer than four items.
    """
    if abs(recorded) >= 1 or min(items, recorded_items) < 4:
        raise ValueError(
            f"Expected a correlation between -1 and 1 and at least 4 items twice, got {recorded:g} over "
            f"{recorded_items}, and {items}."
        )
    apart = 1.96 * math.sqrt(1 / (items - 3) + 1 / (recorded_items - 3))
    return math.tanh(math.atanh(recorded) - apart), math.tanh(math.atanh(recorded) + apart)
