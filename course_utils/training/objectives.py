"""The losses of the course as pure functions, each with its formula above the line that computes it.

Shapes: B batch, R response tokens. Masks are bool, True where a token counts. Nothing here knows a model.
"""

import torch
from torch.nn.functional import logsigmoid

from course_utils.tensors import check_rows, check_same_shape, masked_mean


def bradley_terry_loss(chosen, rejected):
    """Negative log-likelihood of people's choices under Bradley and Terry (1952; InstructGPT 2022, eq. 1).

    Args:
        chosen: (B,) scores of the texts that people preferred.
        rejected: (B,) scores of the other text of each pair.

    Returns:
        A scalar in nats; ln 2 when the scores say nothing. Only differences matter, so a common shift changes nothing.

    Raises:
        ValueError: shapes differ, or there is no pair.
    """
    check_same_shape(chosen=chosen, rejected=rejected)
    check_rows(chosen.numel(), "pair", ", so there is no mean")
    # L = −E[log σ(r_chosen − r_rejected)]
    return -logsigmoid(chosen - rejected).mean()


def clipped_policy_loss(logprobs, old_logprobs, advantages, mask, *, clip=0.2):
    """PPO's clipped surrogate (Schulman et al. 2017, eq. 7), as a loss to minimise.

    Args:
        logprobs, old_logprobs: (B, R) log π(token), now and when sampled, in nats.
        advantages: (B, R), already whitened.
        mask: (B, R) bool, True where a sampled token counts.
        clip: ε, the ratio may move within 1 ± ε before its gradient stops.

    Returns:
        (loss, clip_fraction): scalars; clip_fraction is the share of counted tokens at the clip.

    Raises:
        ValueError: shapes differ, no token counts, or clip is not positive.
    """
    check_same_shape(logprobs=logprobs, old_logprobs=old_logprobs, advantages=advantages, mask=mask)
    _check_clip(clip)
    logprobs, old_logprobs, advantages = _cleared(mask, logprobs, old_logprobs, advantages)
    # ρ = π(token) / π_old(token)
    ratio = torch.exp(logprobs - old_logprobs)
    # L = −E[min(ρ·A, clip(ρ, 1−ε, 1+ε)·A)]
    unclipped, clipped = ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages
    loss = -masked_mean(torch.minimum(unclipped, clipped), mask)
    return loss, masked_mean((clipped < unclipped).float(), mask)


def clipped_value_loss(values, old_values, returns, mask, *, clip=0.2):
    """PPO's clipped value loss (Engstrom et al. 2020, and OpenAI's code): the worse of the free and the clipped error.

    Args:
        values, old_values: (B, R) value predictions, now and when sampled.
        returns: (B, R) targets.
        mask: (B, R) bool, True where a sampled token counts.
        clip: a value may move this far from its old one before its gradient stops.

    Returns:
        (loss, clip_fraction): scalars; clip_fraction is the share of counted tokens whose error is the clipped one.

    Raises:
        ValueError: shapes differ, no token counts, or clip is not positive.
    """
    check_same_shape(values=values, old_values=old_values, returns=returns, mask=mask)
    _check_clip(clip)
    values, old_values, returns = _cleared(mask, values, old_values, returns)
    near = old_values + (values - old_values).clamp(-clip, clip)
    # L = ½ E[max((V − G)², (V_old + clip(V − V_old, ±ε) − G)²)]
    free_error, near_error = (values - returns) ** 2, (near - returns) ** 2
    loss = 0.5 * masked_mean(torch.maximum(free_error, near_error), mask)
    return loss, masked_mean((near_error > free_error).float(), mask)


def kl_k1(logprobs, reference_logprobs):
    """Unbiased estimate of KL(π ‖ reference) per sampled token; single tokens may be negative (Schulman 2020, k1).

    Args:
        logprobs, reference_logprobs: one shape, log π(token) and log π_reference(token) of tokens sampled from π.
    """
    check_same_shape(logprobs=logprobs, reference_logprobs=reference_logprobs)
    # k1 = log π − log π_reference
    return logprobs - reference_logprobs


def kl_k3(logprobs, reference_logprobs):
    """Unbiased estimate of KL(π ‖ reference) that is never negative and varies less near 0 (Schulman 2020, k3).

    Args:
        logprobs, reference_logprobs: one shape, log π(token) and log π_reference(token) of tokens sampled from π.
    """
    check_same_shape(logprobs=logprobs, reference_logprobs=reference_logprobs)
    log_ratio = reference_logprobs - logprobs
    # k3 = (e^δ − 1) − δ with δ = log π_reference − log π; expm1 keeps it exact, and ≥ 0, when δ is small
    return torch.expm1(log_ratio) - log_ratio


def dpo_loss(chosen, rejected, reference_chosen, reference_rejected, *, beta=0.1):
    """Direct preference optimisation (Rafailov et al. 2023, eq. 7): Bradley-Terry on β · log(π / π_reference).

    Args:
        chosen, rejected: (B,) log π(answer | prompt), summed over the answer's tokens, of each text of a pair.
        reference_chosen, reference_rejected: (B,) the same under the frozen reference.
        beta: how strongly the policy is held to the reference.

    Returns:
        (loss, accuracy): scalars; accuracy is the share of pairs that the implied reward orders as people did, ties ½.

    Raises:
        ValueError: shapes differ, there is no pair, or beta is not positive.
    """
    check_same_shape(
        chosen=chosen,
        rejected=rejected,
        reference_chosen=reference_chosen,
        reference_rejected=reference_rejected,
    )
    if not beta > 0:
        raise ValueError(f"Expected beta > 0, got {beta}. At 0 the loss is ln 2 whatever the policy does.")
    # r = β (log π − log π_reference);  L = −E[log σ(r_chosen − r_rejected)]
    chosen_reward, rejected_reward = beta * (chosen - reference_chosen), beta * (rejected - reference_rejected)
    accuracy = (0.5 + 0.5 * torch.sign(chosen_reward - rejected_reward)).mean()
    return bradley_terry_loss(chosen_reward, rejected_reward), accuracy.detach()


def _cleared(mask, *tensors):
    """The tensors with 0 where mask is False, so that what lies there, NaN and inf included, reaches no gradient."""
    return [torch.where(mask.bool(), tensor, 0.0) for tensor in tensors]


def _check_clip(clip):
    if not clip > 0:
        raise ValueError(f"Expected clip > 0, got {clip}. At 0 or below no token may move, and nothing is learned.")
