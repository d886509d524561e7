"""Each checker rejects the stub and two plausible wrong answers, names the slip, and accepts the solution."""

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
        (lambda v, w, p: torch.cat([w, v]), "expected"),
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
    assert {name for name in dir(checks) if name.startswith("check_")} == set(ANSWERS)
