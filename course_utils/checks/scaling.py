"""Checkers of notebook 04: the loss by a law, a budget of compute split, what repeated tokens are worth."""

import math

from course_utils.checks import feedback
from course_utils.evaluation import scaling

_LAWS = [
    (1e6, 2e7, 1.7, 400.0, 410.0, 0.34, 0.28),
    (5e4, 1e5, 1.0, 60.0, 900.0, 0.3, 0.4),
    (1e9, 1e9, 2.0, 9.0, 9.0, 0.5, 0.5),
]
_BUDGETS = [(6e12, 20.0), (1.2e21, 20.0), (6e12, 5.0)]
_REPEATS = [(100.0, 100.0), (100.0, 400.0), (1000.0, 40_000.0)]


def check_loss(loss):
    """Check a function (weights, tokens, E, A, B, alpha, beta) → nats a token."""
    return feedback.verdict(
        loss, _LAWS, _loss_problem, "right: what no model takes away, what a larger one, what more text."
    )


def check_split(split):
    """Check a function (flops, tokens a weight) → (weights, tokens) that spend the budget."""
    return feedback.verdict(split, _BUDGETS, _split_problem, "right: ten times the budget is √10 times both.")


def check_effective(effective):
    """Check a function (unique tokens, tokens read) → how many new tokens are worth as much, R* = 15.39."""
    return feedback.verdict(
        effective, _REPEATS, _effective_problem, "right: the first repeats are almost new text, later ones not."
    )


def _loss_problem(result, weights, tokens, *law):
    law = scaling.Law(*law)
    expected = law.loss(weights, tokens)
    if feedback.close(result, expected, 1e-6):
        return None
    of_size, of_data = law.reducible(weights, tokens)
    slips = {
        of_size + of_data: "E is missing: what stays however large the model and the text.",
        law.E + law.A / tokens**law.alpha + law.B / weights**law.beta: "A and α belong to the weights.",
        law.E + law.A * weights**law.alpha + law.B * tokens**law.beta: "The loss falls: divide by the powers.",
        law.E * of_size * of_data: "The three are added.",
    }  # fmt: skip
    return _said(f"{weights:.0e} weights and {tokens:.0e} tokens", result, expected, slips, "E + A / N^α + B / D^β.")


def _split_problem(result, flops, ratio):
    weights = math.sqrt(flops / 6 / ratio)
    given = feedback.numbers(result)
    if given is None or given.shape != (2,):
        return f"for {flops:.1e} FLOPs expected two numbers, weights and tokens; got {feedback.short(result)}."
    if feedback.close(given[0], weights, 1e-6) and feedback.close(given[1], ratio * weights, 1e-6):
        return None
    slip = "D = ratio · N, so C = 6 · ratio · N²."
    if feedback.close(given[0], ratio * weights, 1e-6):
        slip = "You give the tokens first; weights come first."
    elif feedback.close(given[0], math.sqrt(flops / ratio), 1e-6):
        slip = "The six is missing: 2 FLOPs a weight and token forward, 4 backward."
    elif not feedback.close(6 * given[0] * given[1], flops, 1e-6):
        slip = f"Together they cost {6 * given[0] * given[1]:.2e} FLOPs. {slip}"
    shown = f"{weights:.3g} weights and {ratio * weights:.3g} tokens"
    return f"for {flops:.1e} FLOPs at {ratio:g} tokens a weight expected {shown}; got {feedback.short(result)}. {slip}"


def _effective_problem(result, unique, read):
    expected, star = scaling.effective_tokens(unique, read), scaling.REPEATS
    if feedback.close(result, expected, 1e-6):
        return None
    slips = {
        read: "That counts a repeat as new text.",
        expected - unique: "The first reading is missing: U + U · R* (1 − exp(−R / R*)).",
        unique
        + unique * star * (1 - math.exp(-read / unique / star)): "R is read / unique − 1: the first is no repeat.",
    }
    return _said(f"{read:g} read of {unique:g}", result, expected, slips, "U + U · R* (1 − exp(−R / R*)).")


def _said(case, result, expected, slips, formula):
    slip = next((said for value, said in slips.items() if feedback.close(result, value, 1e-6)), formula)
    return f"for {case} you gave {feedback.short(result)}, expected {feedback.short(expected)}. {slip}"
