"""Each checker rejects the stub and two plausible wrong answers, names the slip, and accepts the solution."""

import math

import numpy as np
import pytest
import torch

from course_utils.checks import adapters as checks

unit = torch.nn.functional.normalize


def attend(q, keys, values, pk, pv, scale=True):
    scores = torch.cat([pk, keys]) @ q / (len(q) ** 0.5 if scale else 1)
    return scores.softmax(0) @ torch.cat([pv, values])


def stack(learned, words, places):
    learned, words = iter(learned), iter(words)
    return torch.stack([next(words) if place else next(learned) for place in places])


def mlp(k, d, h):
    return k * d + 2 * d * h + h * h + 2 * h + d


# checker → (its call, solution, wrong, what is named, wrong, what is named)
ANSWERS = {
    "check_delta": (
        lambda mine: checks.check_delta(mine),
        lambda A, B, alpha: B @ A * alpha / A.shape[0],
        (lambda A, B, alpha: B @ A, "The scale"),
        (lambda A, B, alpha: (A.T @ B.T) * alpha / A.shape[0], "expected"),
    ),
    "check_rank": (
        lambda mine: checks.check_rank(mine),
        lambda n, i, o, m: int(n / (m * (i + o))),
        (lambda n, i, o, m: n // (i + o), "divide by their number"),
        (lambda n, i, o, m: n // (i * o * m), "not I · O"),
    ),
    "check_prefix_weights": (
        lambda mine: checks.check_prefix_weights(mine),
        lambda L, K, k, H: L * K * k * H * 2,
        (lambda L, K, k, H: L * K * k * H, "twice"),
        (lambda L, K, k, H: 2 * K * k * H, "Every layer"),
    ),
    "check_attention": (
        lambda mine: checks.check_attention(mine),
        attend,
        (lambda q, k, v, pk, pv: attend(q, k, v, pk[:0], pv[:0]), "not seen"),
        (lambda *given: attend(*given, scale=False), "√H"),
    ),
    "check_in_front": (
        lambda mine: checks.check_in_front(mine),
        lambda p, x: torch.cat([p[None].repeat(x.shape[0], 1, 1), x], dim=1),
        (lambda p, x: torch.cat([x, p[None].repeat(x.shape[0], 1, 1)], dim=1), "behind"),
        (lambda p, x: torch.cat([p, x[0]]), "expected"),
    ),
    "check_nearest": (
        lambda mine: checks.check_nearest(mine),
        lambda v, t: torch.cosine_similarity(v[:, None], t[None], dim=-1).argmax(1),
        (lambda v, t: (v @ t.T).argmax(1), "long rows win"),
        (lambda v, t: torch.cdist(v, t).argmax(1), "expected"),
    ),
    "check_anchored": (
        lambda mine: checks.check_anchored(mine),
        stack,
        (lambda v, w, p: torch.cat([v, w]), "order counts"),
        (lambda v, w, p: torch.cat([w, v]), "All words came first"),
    ),
    "check_kept": (
        lambda mine: checks.check_kept(mine),
        lambda k, d, h: (mlp(k, d, h), k * d),
        (lambda k, d, h: (mlp(k, d, h), mlp(k, d, h)), "deleted"),
        (lambda k, d, h: (k * d + 2 * d * h + h * h, k * d), "biases"),
    ),
    "check_folded": (
        lambda mine: checks.check_folded(mine),
        lambda w, v, on_input: w @ torch.diag(v) if on_input else torch.diag(v) @ w,
        (lambda w, v, on_input: w * v, "scales columns"),
        (lambda w, v, on_input: w + (v if on_input else v[:, None]), "multiplies"),
    ),
    "check_ia3_weights": (
        lambda mine: checks.check_ia3_weights(mine),
        lambda n, k, v, h: n * (k + v + h),
        (lambda n, k, v, h: k + v + h, "its own three"),
        (lambda n, k, v, h: n * (k * k + v * v + h * h), "one side"),
    ),
}

# checker → more wrong answers, each with what is named
MORE = {
    "check_delta": [
        (lambda A, B, alpha: alpha * B @ A, "divide by the rank"),
        (lambda A, B, alpha: alpha / A.shape[1] * B @ A, "expected"),
    ],
    "check_rank": [
        (lambda n, i, o, m: n / ((i + o) * m), "expected"),
        (lambda n, i, o, m: -(-n // ((i + o) * m)), "expected"),
    ],
    "check_prefix_weights": [
        (lambda L, K, k, H: 2 * L * k * H * K + 1, "expected"),
        (lambda L, K, k, H: 2 * L * k * H, "expected"),
    ],
    "check_attention": [
        (lambda q, k, v, pk, pv: attend(q, k, v, pk[:0], pv[:0]) + attend(q, pk, pv, k[:0], v[:0]), "sum to 2"),
        (lambda q, k, v, pk, pv: (attend(q, k, v, pk[:0], pv[:0]) + attend(q, pk, pv, k[:0], v[:0])) / 2, "each half"),
        (lambda q, k, v, pk, pv: attend(q, k, v, pk, pv[[1, 0]]), "expected"),
    ],
    "check_in_front": [
        (lambda p, x: x + p.mean(0), "places of its own"),
        (lambda p, x: torch.cat([p.flip(0).expand(len(x), -1, -1), x], 1), "expected"),
    ],
    "check_nearest": [
        (lambda v, t: (unit(v) @ unit(t).T).argmin(-1), "the farthest"),
        (lambda v, t: torch.cdist(v, t).argmin(-1), "by distance"),
        (lambda v, t: t[(unit(v) @ unit(t).T).argmax(-1)], "give its number"),
    ],
    "check_anchored": [
        (lambda v, w, p: stack(v, w, ~p), "turned round"),
        (lambda v, w, p: stack(v.flip(0), w, p), "expected"),
    ],
    "check_kept": [
        (lambda k, d, h: (mlp(k, d, h) - k * d, k * d), "is trained, too"),
        (lambda k, d, h: (k * d, mlp(k, d, h)), "expected"),
    ],
    "check_folded": [
        (lambda w, v, on_input: w * (v[:, None] if on_input else v), "scales columns"),
        (lambda w, v, on_input: w @ v if on_input else v @ w, "expected"),
    ],
    "check_ia3_weights": [
        (lambda n, k, v, h: n * (2 * k + h) + (v - k), "expected"),
        (lambda n, k, v, h: 3 * n * h, "expected"),
    ],
}


# checker → the solution as somebody writes it who thinks in numpy or in lists, or who works in place
OTHERS = {
    "check_delta": lambda A, B, alpha: np.matmul(B, A) * alpha / np.shape(A)[0],
    "check_attention": lambda q, keys, values, pk, pv: attend_by_hand(q, [*pk, *keys], [*pv, *values]),
    "check_in_front": lambda p, x: [[*p, *row] for row in x],
    "check_nearest": lambda v, t: [int(np.argmax(t @ row / np.linalg.norm(t, axis=1))) for row in v],
    "check_anchored": lambda v, w, p: [w.pop(0) if place else v.pop(0) for place in p],
    "check_folded": lambda w, v, on: w.mul_(v if on else v[:, None]),
    "check_kept": lambda k, d, h: np.array([mlp(k, d, h), k * d]),
}


def attend_by_hand(q, keys, values):
    exps = [math.exp(sum(a * b for a, b in zip(q, key, strict=True)) / len(q) ** 0.5) for key in keys]
    return [sum(e * value[i] for e, value in zip(exps, values, strict=True)) / sum(exps) for i in range(len(q))]


@pytest.mark.parametrize("name", OTHERS)
def test_the_solution_is_accepted_in_any_form(name, capsys):
    assert ANSWERS[name][0](OTHERS[name])
    assert capsys.readouterr().out.startswith("✓ right: ")


@pytest.mark.parametrize(("name", "wrong", "named"), [(name, *more) for name in MORE for more in MORE[name]])
def test_more_wrong_answers_are_rejected(name, wrong, named, capsys):
    assert not ANSWERS[name][0](wrong)
    said = capsys.readouterr().out
    assert said.startswith("✗ ") and named in said and said.count("\n") == 1 and "raised" not in said


@pytest.mark.parametrize("name", ANSWERS)
def test_the_solution_is_accepted(name, capsys):
    assert ANSWERS[name][0](ANSWERS[name][1])
    assert capsys.readouterr().out.startswith("✓ right: ")


@pytest.mark.parametrize("which", [2, 3])
@pytest.mark.parametrize("name", ANSWERS)
def test_wrong_answers_are_rejected_and_named(name, which, capsys):
    wrong, named = ANSWERS[name][which]
    assert not ANSWERS[name][0](wrong)
    said = capsys.readouterr().out
    assert said.startswith("✗ ") and named in said and said.count("\n") == 1


@pytest.mark.parametrize("stub", [lambda *given: ..., lambda *given: None])
@pytest.mark.parametrize("name", ANSWERS)
def test_the_stub_is_rejected(name, stub, capsys):
    assert not ANSWERS[name][0](stub)
    assert "returns nothing yet" in capsys.readouterr().out


def test_a_function_that_raises_is_told_so(capsys):
    assert not checks.check_delta(lambda a: a)
    assert "raised TypeError" in capsys.readouterr().out
    assert not checks.check_delta(lambda *given: "text")


def test_every_checker_is_tried():
    assert {name for name in dir(checks) if name.startswith("check_")} == set(ANSWERS) == set(MORE)
