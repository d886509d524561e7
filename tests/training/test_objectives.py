"""Losses on numbers that a student can redo by hand, and the properties that hold for every input."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from course_utils.training import objectives

ROWS, TOKENS = 3, 4
NUMBERS = st.floats(-4, 4, width=32)
for_every = settings(deadline=None, derandomize=True, max_examples=60)  # a busy machine is no failure


def matrices():
    return arrays.arrays("float32", (ROWS, TOKENS), elements=NUMBERS).map(torch.from_numpy)


def vectors():
    return arrays.arrays("float32", (5,), elements=NUMBERS).map(torch.from_numpy)


def masks():
    return arrays.arrays("bool", (ROWS, TOKENS)).filter(lambda mask: mask.any()).map(torch.from_numpy)


def test_bradley_terry_by_hand():
    assert objectives.bradley_terry_loss(torch.zeros(4), torch.zeros(4)).item() == pytest.approx(math.log(2))
    loss = objectives.bradley_terry_loss(torch.tensor([math.log(3)]), torch.tensor([0.0]))
    assert loss.item() == pytest.approx(-math.log(3 / 4))


@for_every
@given(vectors(), vectors(), st.floats(-3, 3))
def test_bradley_terry_sees_differences_only_and_exchanging_costs_the_margin(chosen, rejected, shift):
    loss = objectives.bradley_terry_loss(chosen, rejected)
    shifted = objectives.bradley_terry_loss(chosen + shift, rejected + shift)
    torch.testing.assert_close(shifted, loss, rtol=1e-4, atol=1e-5)
    exchanged = objectives.bradley_terry_loss(rejected, chosen)
    torch.testing.assert_close(exchanged - loss, (chosen - rejected).mean(), rtol=1e-4, atol=1e-5)


def test_clipped_policy_loss_by_hand():
    ratio = torch.tensor([[1.5, 1.5, 0.5, 1.5, 1.1, 9.0]])
    advantages = torch.tensor([[1.0, -1.0, 1.0, -2.0, 1.0, 9.0]])
    mask = torch.tensor([[True, True, True, True, True, False]])
    loss, clip_fraction = objectives.clipped_policy_loss(ratio.log(), torch.zeros(1, 6), advantages, mask, clip=0.2)
    # min(ρA, clip(ρ)A): min(1.5, 1.2), min(−1.5, −1.2), min(0.5, 0.8), min(−3.0, −2.4), min(1.1, 1.1)
    assert loss.item() == pytest.approx(-(1.2 - 1.5 + 0.5 - 3.0 + 1.1) / 5)
    assert clip_fraction.item() == pytest.approx(1 / 5)


@for_every
@given(matrices(), matrices(), masks())
def test_before_the_first_update_the_policy_gradient_is_the_plain_one(logprobs, advantages, mask):
    leaf = logprobs.clone().requires_grad_()
    loss, clip_fraction = objectives.clipped_policy_loss(leaf, logprobs, advantages, mask)
    (grad,) = torch.autograd.grad(loss, leaf)
    torch.testing.assert_close(loss.detach(), -advantages[mask].mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(grad, -advantages * mask / mask.sum(), rtol=1e-4, atol=1e-6)
    assert clip_fraction == 0


@for_every
@given(matrices(), matrices(), matrices(), masks(), st.floats(0.05, 0.5))
def test_the_clipped_policy_loss_is_never_more_hopeful_than_the_free_one(new, old, advantages, mask, clip):
    loss, clip_fraction = objectives.clipped_policy_loss(new, old, advantages, mask, clip=clip)
    free = -((new - old).exp() * advantages)[mask].mean()
    assert loss >= free - 1e-3 * (1 + free.abs())
    assert 0 <= clip_fraction <= 1


@for_every
@given(matrices(), matrices(), masks())
def test_what_the_mask_excludes_reaches_neither_loss_nor_gradient(values, other, mask):
    poisoned = torch.where(mask, values, torch.inf).requires_grad_()
    clean = torch.where(mask, values, 0.0).requires_grad_()
    results = []
    for leaf in (poisoned, clean):
        policy, _ = objectives.clipped_policy_loss(leaf, other, other, mask)
        value, _ = objectives.clipped_value_loss(leaf, other, other, mask)
        results.append((policy, value, *torch.autograd.grad(policy + value, leaf)))
    for actual, expected in zip(*results, strict=True):
        assert torch.equal(actual, expected)


def test_clipped_value_loss_by_hand():
    values, old, returns = torch.tensor([[1.0, 1.0, 1.0]]), torch.zeros(1, 3), torch.tensor([[2.0, 0.5, 0.4]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    loss, clip_fraction = objectives.clipped_value_loss(values, old, returns, mask, clip=0.2)
    # errors free: 1, 0.25, 0.36; with the value clipped to 0.2: 3.24, 0.09, 0.04
    assert loss.item() == pytest.approx(0.5 * (3.24 + 0.25 + 0.36) / 3)
    assert clip_fraction.item() == pytest.approx(1 / 3)


@for_every
@given(matrices(), matrices(), matrices(), masks())
def test_the_clipped_value_loss_is_at_least_the_free_one(values, old, returns, mask):
    loss, _ = objectives.clipped_value_loss(values, old, returns, mask)
    assert loss >= 0.5 * ((values - returns) ** 2)[mask].mean() * (1 - 1e-5)
    near, _ = objectives.clipped_value_loss(old, old, returns, mask)
    torch.testing.assert_close(near, 0.5 * ((old - returns) ** 2)[mask].mean(), rtol=1e-4, atol=1e-5)


@for_every
@given(matrices(), matrices())
def test_k3_is_never_negative_and_both_estimates_vanish_without_change(logprobs, reference):
    assert (objectives.kl_k3(logprobs, reference) >= 0).all()
    assert (objectives.kl_k1(logprobs, logprobs) == 0).all()
    assert (objectives.kl_k3(logprobs, logprobs) == 0).all()
    assert torch.equal(objectives.kl_k1(logprobs, reference), logprobs - reference)


@for_every
@given(vectors(), vectors())
def test_both_estimates_have_the_exact_divergence_as_their_mean(policy, reference):
    """Summing over all five tokens with their probabilities gives the expectation, with no sampling."""
    log_p, log_q = policy.double().log_softmax(0), reference.double().log_softmax(0)
    exact = torch.nn.functional.kl_div(log_q, log_p, reduction="sum", log_target=True)
    for estimate in (objectives.kl_k1, objectives.kl_k3):
        torch.testing.assert_close((log_p.exp() * estimate(log_p, log_q)).sum(), exact, rtol=1e-9, atol=1e-12)


def test_dpo_by_hand():
    reference_chosen, reference_rejected = torch.tensor([-7.0]), torch.tensor([-9.0])
    chosen, rejected = reference_chosen + 2 * math.log(3), reference_rejected
    loss, accuracy = objectives.dpo_loss(chosen, rejected, reference_chosen, reference_rejected, beta=0.5)
    assert loss.item() == pytest.approx(-math.log(3 / 4))
    assert accuracy.item() == 1.0


@for_every
@given(vectors(), vectors())
def test_dpo_knows_nothing_while_policy_and_reference_agree(chosen, rejected):
    loss, accuracy = objectives.dpo_loss(chosen, rejected, chosen, rejected)
    assert loss.item() == pytest.approx(math.log(2))
    assert accuracy.item() == 0.5


@for_every
@given(vectors(), vectors(), vectors(), vectors(), st.floats(0.01, 2))
def test_dpo_is_bradley_terry_on_implied_rewards(chosen, rejected, reference_chosen, reference_rejected, beta):
    loss, accuracy = objectives.dpo_loss(chosen, rejected, reference_chosen, reference_rejected, beta=beta)
    swapped, reverse = objectives.dpo_loss(rejected, chosen, reference_rejected, reference_chosen, beta=beta)
    margin = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    torch.testing.assert_close(swapped - loss, margin.mean(), rtol=1e-3, atol=1e-4)
    assert accuracy + reverse == pytest.approx(1)


GRID = torch.zeros(2, 3)
MASK = torch.ones(2, 3, dtype=torch.bool)
MISTAKES = {
    "one shape": lambda: objectives.bradley_terry_loss(torch.zeros(2), torch.zeros(3)),
    "at least one pair": lambda: objectives.bradley_terry_loss(torch.zeros(0), torch.zeros(0)),
    "one shape, got logprobs": lambda: objectives.clipped_policy_loss(GRID, GRID, GRID[:, :2], MASK),
    "bool mask": lambda: objectives.clipped_policy_loss(GRID, GRID, GRID, MASK.long()),
    "counts no token": lambda: objectives.clipped_policy_loss(GRID, GRID, GRID, ~MASK),
    "clip > 0, got 0": lambda: objectives.clipped_policy_loss(GRID, GRID, GRID, MASK, clip=0),
    "clip > 0, got -1": lambda: objectives.clipped_value_loss(GRID, GRID, GRID, MASK, clip=-1),
    "shape, got values": lambda: objectives.clipped_value_loss(GRID, GRID, GRID[:1], MASK),
    "reference_logprobs": lambda: objectives.kl_k1(GRID, GRID[0]),
    "shape, got logprobs": lambda: objectives.kl_k3(GRID, GRID[0]),
    "beta > 0, got 0": lambda: objectives.dpo_loss(*[torch.zeros(2)] * 4, beta=0),
    "reference_rejected": lambda: objectives.dpo_loss(*[torch.zeros(2)] * 3, torch.zeros(2, 1)),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_explained(message):
    with pytest.raises(ValueError, match=message):
        MISTAKES[message]()
