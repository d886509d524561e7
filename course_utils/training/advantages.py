"""How much better each token was than expected: generalised advantage estimation (Schulman et al. 2016).

    δ_t = r_t + γ V_{t+1} − V_t                   the surprise at token t; V is 0 after the last token
    A_t = δ_t + γλ δ_{t+1} + (γλ)² δ_{t+2} + …     computed backwards as A_t = δ_t + γλ A_{t+1}
    G_t = A_t + V_t                                what the value head should have said

λ = 0 believes the value head (A_t = δ_t), λ = 1 only what happened (A_t = Σ γ^l r_{t+l} − V_t).

Shapes: B batch, R response tokens. Deviation from common code: a token that does not count does not exist; the token
before it is followed by the next one that counts, wherever the padding stands.
"""

import torch

from course_utils.tensors import check_same_shape


def gae(rewards, values, mask, *, gamma=1.0, lam=0.95):
    """Advantages and returns of sampled tokens.

    Args:
        rewards: (B, R) reward of each token; KL penalties, with the score of the text at its last token.
        values: (B, R) value before each token, as predicted when it was sampled.
        mask: (B, R) bool, True where a sampled token counts.
        gamma: discount a token, in [0, 1]; 1 for texts, whose end is near.
        lam: λ in [0, 1].

    Returns:
        (advantages, returns): (B, R), zero where mask is False; without gradients.

    Raises:
        ValueError: shapes differ, mask is not bool, or gamma or lam lies outside [0, 1].
    """
    check_same_shape(rewards=rewards, values=values, mask=mask)
    if mask.dtype != torch.bool:
        raise ValueError(f"Expected a bool mask (True where a token counts), got {mask.dtype}. Write `mask.bool()`.")
    if not (0 <= gamma <= 1 and 0 <= lam <= 1):
        raise ValueError(f"Expected gamma and lam in [0, 1], got {gamma} and {lam}.")
    rewards, values = rewards.detach(), values.detach()
    advantages = torch.zeros_like(values)
    next_value, next_advantage = torch.zeros_like(values[:, 0]), torch.zeros_like(values[:, 0])
    for t in reversed(range(mask.shape[1])):
        counts = mask[:, t]
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = torch.where(counts, delta + gamma * lam * next_advantage, next_advantage)
        next_value = torch.where(counts, values[:, t], next_value)
        advantages[:, t] = torch.where(counts, next_advantage, 0.0)
    return advantages, torch.where(mask, advantages + values, 0.0)
