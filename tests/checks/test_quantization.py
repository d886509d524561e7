"""The exercises of notebook 15: the solutions pass; the stub and the usual slips do not, and are named."""

import numpy as np
import pytest
import torch

from course_utils.checks import quantization as check


def solved_absmax(weights, bits):
    scale = max(abs(w) for w in weights) / (2 ** (bits - 1) - 1) or 1.0
    return [round(w / scale) for w in weights], scale


def full_range(weights, bits):
    scale = max(abs(w) for w in weights) / 2 ** (bits - 1)
    return [round(w / scale) for w in weights], scale


def without_abs(weights, bits):
    scale = max(weights) / (2 ** (bits - 1) - 1)
    return [round(w / scale) for w in weights], scale


def upside_down(weights, bits):
    scale = (2 ** (bits - 1) - 1) / max(abs(w) for w in weights)
    return [round(w * scale) for w in weights], scale


def without_zero(weights, bits):
    scale = max(abs(w) for w in weights) / (2 ** (bits - 1) - 1)
    return [round(w / scale) if scale else float("nan") for w in weights], scale


def zero_scale(weights, bits):
    scale = max(abs(w) for w in weights) / (2 ** (bits - 1) - 1)
    return [round(w / scale) if scale else 0 for w in weights], scale


def endless_scale(weights, bits):
    codes, scale = zero_scale(weights, bits)
    return codes, scale or float("inf")


def with_tensors(weights, bits):
    weights = torch.tensor(weights)
    scale = weights.abs().max() / (2 ** (bits - 1) - 1)
    scale = torch.where(scale == 0, 1.0, scale)
    return (weights / scale).round(), scale


def with_numpy(weights, bits):
    scale = np.abs(weights).max() / (2 ** (bits - 1) - 1) or 1.0
    weights /= scale
    return np.round(weights).astype(int), scale


def of_a_tensor(weights, bits):
    scale = weights.abs().max() / (2 ** (bits - 1) - 1)
    return torch.nan_to_num(weights / scale).round().to(torch.int8), scale.clamp(min=1e-9)


def not_rounded(weights, bits):
    scale = solved_absmax(weights, bits)[1]
    return [w / scale for w in weights], scale


def cut_off(weights, bits):
    codes, scale = not_rounded(weights, bits)
    return list(map(int, codes)), scale


@pytest.mark.parametrize("solution", [solved_absmax, with_tensors, with_numpy, of_a_tensor])
def test_absmax_accepts_the_solution(solution, capsys):
    assert check.check_absmax(solution)
    assert capsys.readouterr().out.startswith("✓ right: the largest weight")


@pytest.mark.parametrize(
    ("slip", "named"),
    [
        (lambda w, b: ..., "returns nothing yet"),
        (full_range, "subtract 1"),
        (without_abs, "absolute values first"),
        (upside_down, "upside down"),
        (not_rounded, "The codes are not rounded yet"),
        (cut_off, "Cutting the decimals off"),
        (lambda w, b: torch.tensor(w), "expected two values"),
        (without_zero, "NaN codes"),
        (zero_scale, "a scale that is not zero"),
        (endless_scale, "a scale that is not zero"),
        (lambda w, b: [int(x * 10) for x in w], "expected two values"),
        (lambda w, b: ([0] * len(w), 1.0), "rounded to the nearest whole number"),
        (lambda w, b: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_absmax_names_the_slip(slip, named, capsys):
    assert not check.check_absmax(slip)
    said = capsys.readouterr().out
    assert said.startswith("✗ ") and named in said and said.count("\n") == 1


def test_bits_per_weight_accepts_the_solution(capsys):
    assert check.check_bits_per_weight(lambda bits, block, scale: bits + scale / block)
    assert capsys.readouterr().out.startswith("✓ right: 4 bits in blocks of 64 with scales of 32 are 4.5; two formats")


@pytest.mark.parametrize(
    ("slip", "named"),
    [
        (lambda bits, block, scale: ..., "returns nothing yet"),
        (lambda bits, block, scale: bits, "The scales are stored too"),
        (lambda bits, block, scale: bits + scale, "divide its bits by the block"),
        (lambda bits, block, scale: bits * block + scale, "the bits of a whole block"),
        (lambda bits, block, scale: bits + scale / block / 8, "Every block has one scale"),
        (lambda bits, block, scale: bits + block / scale, "Every block has one scale"),
        (lambda bits, block, scale: (bits + scale) / block, "Every block has one scale"),
    ],
)
def test_bits_per_weight_names_the_slip(slip, named, capsys):
    assert not check.check_bits_per_weight(slip)
    said = capsys.readouterr().out
    assert said.startswith("✗ ") and named in said and said.count("\n") == 1


LOSSES = {"head": 0.05, "down": 0.04, "up": 0.001, "query": 0.01}
SIZES = {"head": 300e6, "down": 20e6, "up": 20e6, "query": 5e6}


@pytest.mark.parametrize(
    "chosen", [["down", "query"], ("query", "down", "down"), {"down": 1, "query": 1}, np.array(["down", "query"])]
)
def test_spared_accepts_what_buys_most(chosen, capsys):
    assert check.check_spared(chosen, LOSSES, SIZES, 40e6)
    assert "0.0500 of at most 0.0500 nats a token won back for 25.0 MB" in capsys.readouterr().out


def test_the_whole_budget_may_be_spent(capsys):
    assert check.check_spared(["down", "query"], LOSSES, SIZES, 25e6)
    assert not check.check_spared(["down", "query"], LOSSES, SIZES, 25e6 - 1)


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        (..., "expected a list of layer names"),
        ([], "expected a list of layer names"),
        ("head", "expected a list of layer names"),
        (list, "expected a list of layer names"),
        (3, "expected a list of layer names"),
        ([["down"], ["query"]], "each a text; got [['down'], ['query']]"),
        (np.array([1.0, 2.0]), "each a text; got [1, 2]"),
        (["heads"], "there is no layer 'heads'"),
        (["head"], "cost 300.0 MB, the budget is 40.0 MB"),
        (["up", "query"], "Which of them fit together"),
        (["query"], "Which of them fit together"),
        (["down"], "Which of them fit together"),  # eight tenths of what can be had
    ],
)
def test_spared_names_the_slip(chosen, named, capsys):
    assert not check.check_spared(chosen, LOSSES, SIZES, 40e6)
    said = capsys.readouterr().out
    assert said.startswith("✗ ") and named in said and said.count("\n") == 1
