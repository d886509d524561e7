"""Checkers of notebook 16: bytes of the frozen weights, a start from the rounding error, 7 B into 16 GB."""

import torch

from course_utils.checks import feedback
from course_utils.quantization import loftq, memory

ROOM = 16 * 10**9  # what "16 GB" on a card is
RESERVED = 10**9  # of it for the driver, kernels and fragments
LEAST_TOKENS, LEAST_RANK = 4096, 8
_BASES = [(100, 200, 4), (6_476_005_376, 262_410_240, 4.127), (100, 0, 16)]


def check_frozen_bytes(frozen_bytes):
    """Check a function (linear, rest, bits) → bytes of a base whose linear weights have `bits` and the rest 16 bits."""
    linear, rest, bits = _BASES[1]
    return feedback.verdict(
        frozen_bytes,
        _BASES,
        _bytes_problem,
        f"right: 7 B take {(linear * bits / 8 + 2 * rest) / 1e9:.1f} GB, {2 * rest / 1e9:.1f} of them for the "
        f"{rest / (linear + rest):.0%} of the weights that are not rounded.",
    )


def _bytes_problem(result, linear, rest, bits):
    expected = linear * bits / 8 + 2 * rest
    if feedback.close(result, expected, 1e-4):
        return None
    slip = "A byte has 8 bits; a number of 16 bits takes two bytes."
    if feedback.close(result, (linear + rest) * bits / 8, 1e-4):
        slip = "Embedding, head and norms stay at 16 bits: they take two bytes each."
    elif feedback.close(result, linear * bits + 16 * rest, 1e-4):
        slip = "Those are bits: divide by 8."
    elif feedback.close(result, linear * bits / 8, 1e-4):
        slip = "The rest is missing: it is not rounded, but it is there."
    return (
        f"for {linear:,} weights at {bits} bits and {rest:,} at 16 you gave {feedback.short(result)}, "
        f"expected {expected:,.0f}. {slip}"
    )


def check_repair(repair):
    """Check a function (error (O, I), rank) → (B (O, rank), A (rank, I)) with B A as close to the error as can be."""
    generator = torch.Generator().manual_seed(0)
    cases = [(torch.randn(shape, generator=generator), rank) for shape, rank in (((6, 9), 2), ((8, 5), 1), ((5, 5), 3))]
    error, rank = cases[0]
    return feedback.verdict(
        repair,
        cases,
        _repair_problem,
        f"right: {_left(error, *loftq.low_rank(error, rank)):.0%} of the first error remain at rank {rank}, and no "
        "other pair of this rank comes closer (Eckart and Young, 1936).",
        first="tensor",
    )


def _left(error, up, down):
    """The share of the error that the pair leaves."""
    return ((error - up @ down).norm() / error.norm()).item()


def _repair_problem(result, error, rank):
    if not isinstance(result, tuple | list) or len(result) != 2 or any(feedback.numbers(f) is None for f in result):
        return f"expected two matrices, B and A; got {feedback.short(result)}."
    up, down = (torch.tensor(feedback.numbers(factor), dtype=error.dtype) for factor in result)
    if tuple(up.shape) != (error.shape[0], rank) or tuple(down.shape) != (rank, error.shape[1]):
        return (
            f"for an error {tuple(error.shape)} and rank {rank}, B should be {(error.shape[0], rank)} and A "
            f"{(rank, error.shape[1])}; got {tuple(up.shape)} and {tuple(down.shape)}."
        )
    best, left = _left(error, *loftq.low_rank(error, rank)), _left(error, up, down)
    if not left <= 1.001 * best:
        why = (
            "B A is zero, as in LoRA's own start" if not (up @ down).any() else "the singular values belong in it once"
        )
        return f"{left:.0%} of the error remains, {best:.0%} would be possible; {why}."
    return None


def check_fits(setting, shape=None):
    """Check a memory.Setting that fine-tunes 7 B in 16 GB.

    At least 4,096 tokens a step in memory, LoRA of rank 8 or more on all linear layers, on one card of 16 GB of which
    1 GB is not ours.
    """
    if not isinstance(setting, memory.Setting):
        return feedback.failed("expected a memory.Setting(…); change its fields until the step fits.")
    if setting.rows * setting.length < LEAST_TOKENS or setting.rank < LEAST_RANK:
        return feedback.failed(
            f"{setting.rows} rows of {setting.length} tokens at rank {setting.rank} fit more easily, but they teach "
            f"less: take at least {LEAST_TOKENS:,} tokens in memory and rank {LEAST_RANK}."
        )
    needed, problem = feedback.attempt(memory.step, shape or memory.SHAPES["7 B"], setting)
    problem = _impossible(setting) or problem
    if problem:
        return feedback.failed(problem)
    if needed.peak > ROOM - RESERVED:
        largest = max(needed.parts, key=needed.parts.get)
        return feedback.failed(
            f"the step needs {needed.peak / 1e9:.1f} GB, there are {(ROOM - RESERVED) / 1e9:.0f}. "
            f"The largest part: {largest}, {needed.parts[largest] / 1e9:.1f} GB."
        )
    return feedback.passed(f"it fits: {needed.peak / 1e9:.1f} GB of {(ROOM - RESERVED) / 1e9:.0f}.")


def _impossible(setting):
    """What nobody can run, in a sentence, or None."""
    if setting.bits < 4 and setting.method == "qlora":
        return f"{setting.bits} bits a weight is less than NF4 takes; with double quantization it is 4.127."
    if setting.base_bytes < 2 or setting.activation_bytes < 2 or setting.optimizer_bytes < 2:
        return "numbers that are computed with need two bytes at least, and AdamW's two moments one byte each."
    return None
