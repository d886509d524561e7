"""Advantages against the double sum that defines them, their closed forms, and numbers by hand."""

import pytest
import torch

from course_utils.tensors import whiten
from course_utils.training.advantages import gae


def drawn(rows=4, tokens=7, seed=0):
    """Rewards, values and a mask with answers of several lengths; NaN where nothing counts."""
    generator = torch.Generator().manual_seed(seed)
    rewards, values = torch.randn(2, rows, tokens, generator=generator, dtype=torch.float64)
    lengths = torch.randint(1, tokens + 1, (rows,), generator=generator)
    mask = torch.arange(tokens) < lengths[:, None]
    return rewards.where(mask, torch.nan), values.where(mask, torch.nan), mask


def double_sum(rewards, values, gamma, lam):
    """A_t = Σ_l (γλ)^l δ_{t+l} of one row, term by term."""
    tokens = len(rewards)
    following = [*values[1:].tolist(), 0.0]
    deltas = [rewards[t].item() + gamma * following[t] - values[t].item() for t in range(tokens)]
    return torch.tensor([sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, tokens)) for t in range(tokens)])


def test_by_hand():
    rewards, values = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.5, 0.25, 0.5]])
    advantages, returns = gae(rewards, values, torch.ones(1, 3, dtype=torch.bool), gamma=1.0, lam=0.5)
    # δ = (0 + .25 − .5, 0 + .5 − .25, 1 − .5) = (−.25, .25, .5); A = (−.25 + .5 · .5, .25 + .5 · .5, .5)
    assert torch.equal(advantages, torch.tensor([[0.0, 0.5, 0.5]]))
    assert torch.equal(returns, torch.tensor([[0.5, 0.75, 1.0]]))


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.8), (0.0, 0.5), (1.0, 1.0)])
def test_it_is_the_double_sum(gamma, lam):
    rewards, values, mask = drawn()
    advantages, returns = gae(rewards, values, mask, gamma=gamma, lam=lam)
    for row, counts in enumerate(mask):
        expected = double_sum(rewards[row, counts], values[row, counts], gamma, lam).double()
        torch.testing.assert_close(advantages[row, counts], expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(returns[row, counts], expected + values[row, counts], rtol=1e-6, atol=1e-6)


def test_lambda_zero_is_the_surprise_and_lambda_one_what_happened():
    rewards, values, mask = drawn()
    believing, _ = gae(rewards, values, mask, gamma=0.9, lam=0.0)
    happened, returns = gae(rewards, values, mask, gamma=0.9, lam=1.0)
    for row, counts in enumerate(mask):
        r, v = rewards[row, counts], values[row, counts]
        following = torch.cat([v[1:], torch.zeros(1, dtype=v.dtype)])
        torch.testing.assert_close(believing[row, counts], r + 0.9 * following - v)
        discounted = torch.stack([sum(0.9 ** (k - t) * r[k] for k in range(t, len(r))) for t in range(len(r))])
        torch.testing.assert_close(happened[row, counts], discounted - v)
        torch.testing.assert_close(returns[row, counts], discounted)


def test_what_does_not_count_is_zero_and_changes_nothing():
    rewards, values, mask = drawn()
    advantages, returns = gae(rewards, values, mask)
    assert (advantages[~mask] == 0).all() and (returns[~mask] == 0).all()
    assert torch.isfinite(advantages).all() and torch.isfinite(returns).all()
    padded = [torch.nn.functional.pad(t, (2, 3), value=v) for t, v in ((rewards, 9.0), (values, 9.0), (mask, False))]
    for wide, narrow in zip(gae(*padded), (advantages, returns), strict=True):
        assert torch.equal(wide[:, 2:-3], narrow) and (wide[:, :2] == 0).all()


def test_it_carries_no_gradient_into_the_values():
    values = torch.zeros(1, 2, requires_grad=True)
    advantages, returns = gae(torch.ones(1, 2), values, torch.ones(1, 2, dtype=torch.bool))
    assert not advantages.requires_grad and not returns.requires_grad


def test_whitened_advantages_have_mean_0_and_variance_1_on_the_mask_alone():
    rewards, values, mask = drawn(rows=40)
    advantages, _ = gae(rewards + 3.0, values, mask)
    white = whiten(advantages, mask)
    assert advantages[mask].mean() > 1, "the test needs something to centre"
    assert abs(white[mask].mean()) < 1e-9 and white[mask].var(correction=0) == pytest.approx(1)
    assert (white[~mask] == 0).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"values": torch.zeros(2, 4)}, r"rewards \(2, 3\), values \(2, 4\)"),
        ({"mask": torch.ones(2, 3)}, "bool mask .* got torch.float32"),
        ({"gamma": 1.5}, r"gamma and lam in \[0, 1\], got 1.5"),
    ],
)
def test_what_does_not_fit_is_refused(change, says):
    given = {"rewards": torch.zeros(2, 3), "values": torch.zeros(2, 3), "mask": torch.ones(2, 3).bool()} | change
    with pytest.raises(ValueError, match=says):
        gae(**given)
