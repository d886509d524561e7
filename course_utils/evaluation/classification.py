"""A two-way decision from a model's label log-probabilities, raw or calibrated.

Shapes: N items; scores are log-odds, log p(positive) − log p(negative).
"""

import torch


def log_odds(logprobs):
    """(N, 2) log-probabilities of (negative, positive) → (N,) log p(positive) − log p(negative), in nats."""
    if logprobs.ndim != 2 or logprobs.shape[1] != 2:
        raise ValueError(f"Expected log-probabilities of two labels, shape (N, 2), got {tuple(logprobs.shape)}.")
    return logprobs[:, 1] - logprobs[:, 0]


def calibrated_threshold(scores):
    """The threshold that calls half of some unlabelled items positive: their median score.

    A prompted model leans to one word before it has read anything. Centring on unlabelled items removes that lean
    without a single label (the idea of Zhao et al. 2021, with real items in place of their content-free input; it
    assumes that the two labels are about equally frequent).

    Args:
        scores: (M,) log-odds of items that are used for nothing else.
    """
    if len(scores) < 10:
        raise ValueError(
            f"Calibration needs at least 10 unlabelled items for a median that means something, got {len(scores)}."
        )
    return scores.median()


def correct(scores, labels, threshold=0.0):
    """(N,) float, 1 where the decision `score > threshold` agrees with the label (1 positive, 0 negative).

    Raises:
        ValueError: not one label for each score, or a score is NaN (which would count as negative).
    """
    labels = torch.as_tensor(labels)
    if scores.shape[-1] != len(labels):
        raise ValueError(f"{scores.shape[-1]} scores for {len(labels)} labels: were the items reordered or filtered?")
    if scores.isnan().any():
        raise ValueError(f"{int(scores.isnan().sum())} of {scores.numel()} scores are NaN: the model's run is broken.")
    return ((scores > threshold).long() == labels).float()


def auc(scores, labels):
    """Share of (positive, negative) pairs in which the positive item scores higher; a tie counts half.

    It asks about the order alone and so needs no threshold: 0.5 is chance, 1 a perfect order, 0 the same upside down.

    Raises:
        ValueError: not one label for each score, or only one of the two labels occurs.
    """
    labels = torch.as_tensor(labels).bool()
    if scores.shape != labels.shape or labels.all() or not labels.any():
        raise ValueError(
            f"Expected a label for each of {len(scores)} scores and both labels among them, got {len(labels)} labels, "
            f"{int(labels.sum())} of them positive. Were the items filtered by label?"
        )
    apart = scores[labels][:, None] - scores[~labels][None]
    return ((apart > 0).double() + (apart == 0).double() / 2).mean().item()
