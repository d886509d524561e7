"""The exercises of notebook 16: the solutions pass; the stub and the usual slips do not, and are named."""

import numpy as np
import pytest
import torch

from course_utils.checks import qlora as check
from course_utils.quantization import loftq
from course_utils.quantization.memory import Setting


def refused(capsys, named):
    said = capsys.readouterr().out
    return said.startswith("✗ ") and named in said and said.count("\n") == 1


def test_frozen_bytes_accepts_the_solution(capsys):
    assert check.check_frozen_bytes(lambda linear, rest, bits: linear * bits / 8 + rest * 2)
    assert capsys.readouterr().out.startswith("✓ right: 7 B take 3.9 GB, 0.5 of them for the 4% of")


@pytest.mark.parametrize(
    ("slip", "named"),
    [
        (lambda linear, rest, bits: ..., "returns nothing yet"),
        (lambda linear, rest, bits: (linear + rest) * bits / 8, "stay at 16 bits"),
        (lambda linear, rest, bits: linear * bits + rest * 16, "divide by 8"),
        (lambda linear, rest, bits: linear * bits / 8, "The rest is missing"),
        (lambda linear, rest, bits: linear * bits // 8 + rest * bits // 8, "stay at 16 bits"),
        (lambda linear, rest, bits: linear * bits / 8 + rest, "takes two bytes"),
    ],
)
def test_frozen_bytes_names_the_slip(slip, named, capsys):
    assert not check.check_frozen_bytes(slip) and refused(capsys, named)


def by_svd(error, rank):
    u, s, v = torch.linalg.svd(error, full_matrices=False)
    return u[:, :rank] * s[:rank], v[:rank]


def by_numpy(error, rank):
    u, s, v = np.linalg.svd(np.array(error), full_matrices=False)
    return (u[:, :rank] * s[:rank]).tolist(), v[:rank]


def in_place(error, rank):
    """Right, and empties the error that it was given."""
    up, down = by_svd(error.clone(), rank)
    error.zero_()
    return [up, down]


@pytest.mark.parametrize("solution", [by_svd, by_numpy, in_place, loftq.low_rank])
def test_repair_accepts_the_solution(solution, capsys):
    assert check.check_repair(solution)
    assert capsys.readouterr().out.startswith("✓ right: 59% of the first error remain at rank 2, and no other pair")


def without_values(error, rank):
    up, down = by_svd(error, rank)
    return torch.nn.functional.normalize(up, dim=0), down


@pytest.mark.parametrize(
    ("slip", "named"),
    [
        (lambda e, r: ..., "returns nothing yet"),
        (lambda e, r: e, "expected two matrices"),
        (lambda e, r: by_svd(e, r)[::-1], "B should be (6, 2)"),
        (lambda e, r: (torch.zeros(len(e), r), torch.randn(r, e.shape[1])), "as in LoRA's own start"),
        (lambda e, r: (by_svd(e, r)[0].T, by_svd(e, r)[1].T), "B should be (6, 2)"),
        (lambda e, r: torch.linalg.qr(e)[0][:, :r] @ torch.eye(r), "expected two matrices"),
        (lambda e, r: (e[:, :r], torch.eye(e.shape[1])[:r]), "of the error remains"),
        (without_values, "the singular values belong in it once"),
        (lambda e, r: (by_svd(e, r)[0] * 2, by_svd(e, r)[1]), "of the error remains"),
    ],
)
def test_repair_names_the_slip(slip, named, capsys):
    assert not check.check_repair(slip) and refused(capsys, named)


SOLVED = Setting("qlora", rows=8, length=512, rank=16, checkpointing=True)


@pytest.mark.parametrize("solution", [SOLVED, Setting("qlora", rows=2, length=2048, rank=8, checkpointing=True)])
def test_7b_fits_into_16_gb(solution, capsys):
    assert check.check_fits(solution)
    assert capsys.readouterr().out.startswith("✓ it fits: ")


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        (..., "expected a memory.Setting"),
        (Setting("qlora", rows=8, length=512, optimizer_bytes=1, checkpointing=True), "AdamW's two"),
        (Setting("qlora", rows=64, length=512, checkpointing=True, device="cuda"), "The largest part"),
        (Setting("full", rows=8, length=512, checkpointing=True), "The largest part: optimizer"),
        (Setting("lora", rows=8, length=512, checkpointing=True), "The largest part: weights"),
        (Setting("qlora", rows=8, length=512), "The largest part: activations"),
        (Setting("qlora", rows=1, length=512, checkpointing=True), "take at least 4,096 tokens"),
        (Setting("qlora", rows=8, length=512, rank=2, checkpointing=True), "rank 8"),
        (Setting("qlora", rows=8, length=512, bits=2), "less than NF4 takes"),
        (Setting("lora", rows=8, length=512, base_bytes=0.5, checkpointing=True), "two bytes at least"),
    ],
)
def test_what_does_not_fit_is_named(setting, named, capsys):
    assert not check.check_fits(setting) and refused(capsys, named)
