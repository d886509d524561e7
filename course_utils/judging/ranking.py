"""From votes on pairs to a ranking, with intervals; and two ways in which votes mislead.

Shapes: N items, M contestants, R resamples; outcomes are (N, M, M): [n, i, j] is 1 where i beat j on item n, ½ for a
tie, 0 for a loss, and the diagonal is 0.
"""

from dataclasses import dataclass

import torch

from course_utils.evaluation.comparison import resampled_weights

ROUNDS, RESAMPLES = 300, 400


@dataclass(frozen=True)
class Ranking:
    """Strengths in logits: i beats j with probability σ(s_i − s_j).

    names: M contestants. strengths: (M,), mean zero. resampled: (R, M) of the same, over resamples of the items.
    """

    names: tuple[str, ...]
    strengths: torch.Tensor
    resampled: torch.Tensor

    def table(self):
        """{name: [strength, low, high]}, the strongest first."""
        low, high = self.resampled.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64), dim=0)
        order = self.strengths.argsort(descending=True).tolist()
        return {self.names[k]: [v[k].item() for v in (self.strengths, low, high)] for k in order}

    def apart(self):
        """[(stronger, weaker)] of all pairs whose difference has 0 outside of its 95 % interval."""
        order, found = self.strengths.argsort(descending=True).tolist(), []
        for place, one in enumerate(order):
            for two in order[place + 1 :]:
                if (self.resampled[:, one] - self.resampled[:, two]).quantile(0.025) > 0:
                    found.append((self.names[one], self.names[two]))
        return found


def outcomes(scores):
    """(N, M) scores, higher is better → outcomes: who wins each pair on each item."""
    scores = torch.as_tensor(scores).double()
    found = 0.5 + 0.5 * torch.sign(scores[:, :, None] - scores[:, None, :])
    return found * (1 - torch.eye(scores.shape[1], dtype=torch.float64))


def one_person(scores, seed):
    """Outcomes if one person voted on each pair, who prefers i with probability σ(s_i − s_j): simulated by coins.

    Args:
        scores: (N, M) in logits of preference, as a reward model gives them. seed: of the coins.
    """
    scores = torch.as_tensor(scores).double()
    sure = torch.sigmoid(scores[:, :, None] - scores[:, None, :])
    coins = torch.rand(sure.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    wins = (coins < sure).double().triu(1)
    return wins + (1 - wins).transpose(1, 2).tril(-1)


def bradley_terry(wins):
    """Strengths that make these wins most likely (Bradley and Terry 1952), by Hunter's (2004) iteration.

    p_i ← W_i / Σ_j N_ij / (p_i + p_j). Half a win is added to each pair that met, both ways: who never lost stays
    finite.

    Args:
        wins: (..., M, M), [i, j] how often i beat j.

    Returns:
        (..., M) log strengths, mean zero.
    """
    wins = torch.as_tensor(wins).double()
    wins = wins + 0.5 * ((wins + wins.transpose(-1, -2)) > 0)
    games, won = wins + wins.transpose(-1, -2), wins.sum(-1)
    strength = torch.ones_like(won)
    for _ in range(ROUNDS):
        strength = won / (games / (strength[..., :, None] + strength[..., None, :])).sum(-1)
        strength = strength / strength.log().mean(-1, keepdim=True).exp()
    return strength.log()


def rank(names, votes, *, seed=0):
    """A Ranking of contestants, with resamples over items.

    Args:
        names: M. votes: outcomes (N, M, M). seed: of the resamples.

    Raises:
        ValueError: shapes do not fit, or fewer than two items.
    """
    votes = torch.as_tensor(votes).double()
    if votes.ndim != 3 or votes.shape[1:] != (len(names), len(names)) or len(votes) < 2:
        raise ValueError(
            f"Expected votes (items, {len(names)}, {len(names)}) on at least 2 items, got {tuple(votes.shape)}."
        )
    weights = resampled_weights(len(votes), True, torch.Generator().manual_seed(seed))[:RESAMPLES] * len(votes)
    drawn = torch.einsum("rn,nij->rij", weights, votes)
    return Ranking(tuple(names), bradley_terry(votes.sum(0)), bradley_terry(drawn))


def elo(games, count, *, step=32.0):
    """Ratings after a row of games, one after another; their order matters, which it should not.

    r_w += K (1 − 1 / (1 + 10^((r_l − r_w) / 400))), the same taken from the loser.

    Args:
        games: [(winner, loser)], as places below count. count: M contestants, each begins at 1000. step: K.
    """
    ratings = [1000.0] * count
    for winner, loser in games:
        won = step * (1 - 1 / (1 + 10 ** ((ratings[loser] - ratings[winner]) / 400)))
        ratings[winner] += won
        ratings[loser] -= won
    return ratings


def kendall(one, two):
    """Kendall's τ-b of two lists of scores: 1 the same order, −1 the reverse, 0.0 where one of them is all ties."""
    one, two = (torch.as_tensor(values).double() for values in (one, two))
    signs = [torch.sign(values[:, None] - values[None, :]) for values in (one, two)]
    spread = (signs[0].abs().sum() * signs[1].abs().sum()).sqrt()
    return ((signs[0] * signs[1]).sum() / spread).item() if spread else 0.0
