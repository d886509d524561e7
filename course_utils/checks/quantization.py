"""Checkers of notebook 15: rounding with one scale, the bits that scales cost, and which layers to spare."""

import itertools
from collections.abc import Iterable

from course_utils.checks import feedback

_WEIGHTS = [
    ([1.0, -0.45, 0.25], 8),
    ([0.7, -0.31, 0.09, -0.02], 4),
    ([-2.0, 1.1], 4),
    ([0.0, 0.0], 8),
    ([0.9, 0.62, -0.47], 3),
]
_FORMATS = [(4, 64, 32), (4, 128, 16), (8, 32, 16), (4, 64, 8)]


def check_absmax(absmax):
    """Check a function (weights, bits) → (codes, scale) of symmetric rounding with one scale."""
    return feedback.verdict(
        absmax,
        _WEIGHTS,
        _absmax_problem,
        "right: the largest weight gets the largest code, 127 of 8 bits and 7 of 4, and zero stays zero.",
    )


def _absmax_problem(result, weights, bits):
    if not isinstance(result, tuple | list) or len(result) != 2:
        return f"expected two values, the codes and the scale; got {feedback.short(result)}."
    most = 2 ** (bits - 1) - 1
    scale = max(map(abs, weights)) / most or 1.0
    expected = [round(w / scale) for w in weights]
    right = feedback.close(result[0], expected)
    if not any(weights):  # any scale will do, as long as it is a number to divide by
        if right and _divides(result[1]):
            return None
        return "all-zero weights need a scale that is not zero, or 0 / 0 gives NaN codes."
    if right and feedback.close(result[1], scale, 1e-4):
        return None
    return (
        f"absmax({weights}, bits={bits}) gave {feedback.short(result)}, expected codes {expected} and scale "
        f"{scale:.4g}. {_absmax_slip(result, weights, bits)}"
    )


def _divides(scale):
    """Whether a learner's scale is one finite number other than zero."""
    number = feedback.numbers(scale)
    return number is not None and number.size == 1 and 0 < abs(number.item()) < float("inf")


def _absmax_slip(result, weights, bits):
    codes, scale = result
    largest, most = max(map(abs, weights)), 2 ** (bits - 1) - 1
    if feedback.close(scale, largest / most, 1e-4):
        if feedback.close(codes, [w * most / largest for w in weights], 1e-4):
            return "The codes are not rounded yet."
        if feedback.close(codes, [int(w * most / largest) for w in weights]):
            return "Cutting the decimals off is not rounding: the error doubles, and always towards zero."
    for wrong, slip in (
        (
            max(map(abs, weights)) / 2 ** (bits - 1),
            f"{bits} bits reach from −{2 ** (bits - 1) - 1} upwards: subtract 1.",
        ),
        (max(weights) / (2 ** (bits - 1) - 1), "A negative weight can be the largest: take absolute values first."),
        (
            (2 ** (bits - 1) - 1) / max(map(abs, weights)),
            "That is the scale upside down: codes times scale are weights.",
        ),
    ):
        if feedback.close(scale, wrong, 1e-4):
            return slip
    return "The scale is max |w| / (2^(bits − 1) − 1); a code is w / scale, rounded to the nearest whole number."


def check_bits_per_weight(bits_per_weight):
    """Check a function (bits, block, scale_bits) → bits a weight, scales included."""
    return feedback.verdict(
        bits_per_weight,
        _FORMATS,
        _bits_problem,
        "right: 4 bits in blocks of 64 with scales of 32 are 4.5; two formats may be compared only where this number "
        "is the same.",
    )


def _bits_problem(result, bits, block, scale_bits):
    expected = bits + scale_bits / block
    if feedback.close(result, expected):
        return None
    slip = "Every block has one scale, which its weights share."
    if feedback.close(result, bits):
        slip = "The scales are stored too: a block of weights shares one."
    elif feedback.close(result, bits + scale_bits):
        slip = "A scale is shared by a whole block: divide its bits by the block."
    elif feedback.close(result, bits * block + scale_bits):
        slip = "Those are the bits of a whole block: divide by its weights."
    return (
        f"{bits} bits, blocks of {block}, scales of {scale_bits} bits: you gave {feedback.short(result)}, "
        f"expected {feedback.short(expected)}. {slip}"
    )


def check_spared(spared, losses, sizes, budget):
    """Check the choice of layers that stay at 16 bits.

    Args:
        spared: names chosen by the learner.
        losses: {name: loss that rounding this layer alone adds, nats a token}.
        sizes: {name: bytes it costs to keep the layer at 16 bits}.
        budget: bytes that may be spent.
    """
    spared, problem = _names(spared)
    if problem:
        return feedback.failed(problem)
    unknown = [name for name in spared if name not in sizes]
    if unknown:
        return feedback.failed(f"there is no layer {unknown[0]!r}; the names are the keys of `losses`.")
    spent, saved = sum(sizes[name] for name in spared), sum(losses[name] for name in spared)
    if spent > budget:
        return feedback.failed(f"these layers cost {spent / 1e6:.1f} MB, the budget is {budget / 1e6:.1f} MB.")
    best = _most(losses, sizes, budget)
    if saved < 0.9 * best:
        return feedback.failed(
            f"your layers win back {saved:.4f} nats a token, {best:.4f} are possible for the same bytes. "
            "Which of them fit together, and what do they win back?"
        )
    return feedback.passed(f"{saved:.4f} of at most {best:.4f} nats a token won back for {spent / 1e6:.1f} MB.")


def _names(spared):
    """(the names, each once, None), or (None, what is wrong with them)."""
    spared = feedback.plain(spared)
    if spared is None or spared is Ellipsis:
        return None, "expected a list of layer names, as ['lm_head']; got none yet."
    names = [] if isinstance(spared, str) or not isinstance(spared, Iterable) else list(spared)
    if not names or not all(isinstance(name, str) for name in names):
        return None, f"expected a list of layer names, as ['lm_head'], each a text; got {feedback.short(spared)}."
    return list(dict.fromkeys(names)), None


def _most(losses, sizes, budget):
    """Nats won back by the best choice that fits, found by trying all: there are few layers to choose from."""
    chosen = (names for count in range(len(losses) + 1) for names in itertools.combinations(losses, count))
    fitting = (names for names in chosen if sum(sizes[name] for name in names) <= budget)
    return max(sum(losses[name] for name in names) for names in fitting)
