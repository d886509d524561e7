"""The checkers accept the solutions that the notebook folds away, in any form, and no plausible slip."""

import numpy as np
import pytest
import torch

from course_utils.checks import pretraining as check


def visible(tokens, boundary):
    numbers = np.cumsum(np.array(tokens) == boundary)
    return np.tril(numbers[:, None] == numbers[None, :])


def by_torch(tokens, boundary):
    numbers = (torch.as_tensor(tokens) == boundary).cumsum(0)
    return (numbers[:, None] == numbers).tril()


def rate(step, steps, warmup, fall, peak):
    return peak * min(step / warmup, 1, (steps + 1 - step) / (fall + 1))


def follower(tokens):
    seen, found = {}, []
    for place, token in enumerate(tokens):
        found.append(seen.get(int(token), -1))
        seen[int(token)] = place + 1
    return found


@pytest.mark.parametrize(
    ("checker", "right"),
    [
        (check.check_visible, visible),
        (check.check_visible, by_torch),
        (check.check_schedule, rate),
        (check.check_follower, follower),
    ],
)
def test_the_solution_is_right_in_any_form(checker, right, capsys):
    assert checker(right) and capsys.readouterr().out.startswith("✓")


def test_lists_of_ones_and_zeros_will_do_as_well():
    assert check.check_visible(lambda tokens, boundary: visible(tokens, boundary).astype(int).tolist())
    assert check.check_schedule(lambda *case: torch.tensor(rate(*map(float, case))))
    assert check.check_follower(lambda tokens: np.array(follower(tokens)))


@pytest.mark.parametrize(
    ("checker", "wrong", "said"),
    [
        (check.check_visible, lambda tokens, boundary: ..., "returns nothing yet"),
        (check.check_visible, lambda tokens, boundary: 1, "expected a table of 5 by 5"),
        (check.check_visible, lambda tokens, boundary: np.tril(np.ones([len(tokens)] * 2)), "of the document before"),
        (check.check_visible, lambda tokens, boundary: visible(tokens, boundary) | True, "which comes after it"),
        (
            check.check_visible,
            lambda tokens, boundary: np.tril(visible(tokens, boundary), -1),
            "each token sees itself",
        ),
        (check.check_schedule, lambda *case: ..., "returns nothing yet"),
        (check.check_schedule, lambda step, steps, warmup, fall, peak: peak, "In the warm-up"),
        (
            check.check_schedule,
            lambda step, steps, warmup, fall, peak: peak * min(1, step / warmup),
            "In the last steps",
        ),
        (
            check.check_schedule,
            lambda step, steps, warmup, fall, peak: (
                peak * (step / warmup if step <= warmup else (steps + 1 - step) / 91)
            ),
            "Between warm-up and fall",
        ),
        (check.check_follower, lambda tokens: ..., "returns nothing yet"),
        (check.check_follower, lambda tokens: [0], "expected 4 places"),
        (
            check.check_follower,
            lambda tokens: [p - 1 if p > 0 else p for p in follower(tokens)],
            "the one that followed",
        ),
        (check.check_follower, lambda tokens: [0] * len(tokens), "has not stood before"),
        (
            check.check_follower,
            lambda tokens: [
                list(tokens).index(t) + 1 if list(tokens).index(t) < n else -1 for n, t in enumerate(tokens)
            ],
            "the latest earlier place",
        ),
    ],
)
def test_a_slip_is_named(checker, wrong, said, capsys):
    assert not checker(wrong)
    found = capsys.readouterr().out
    assert found.startswith("✗") and said in found
