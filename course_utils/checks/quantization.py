"""Checkers of notebook 15: rounding with one scale, the bits that scales cost, and which layers to spare."""

import itertools

from course_utils.checks import feedback


def check_absmax(absmax):
    """Check a function (weights, bits) → (codes, scale) of symmetric rounding with one scale."""
    cases = [([1.0, -0.45, 0.25], 8), ([0.7, -0.31, 0.09, -0.02], 4), ([-2.0, 1.1], 4), ([0.0, 0.0], 8)]
    for weights, bits in cases:
        result, problem = feedback.attempt(absmax, list(weights), bits)
        if problem:
            return feedback.failed(problem)
        if not isinstance(result, tuple | list) or len(result) != 2:
            return feedback.failed(f"expected two values, the codes and the scale; got {feedback.short(result)}.")
        most = 2 ** (bits - 1) - 1
        scale = max(map(abs, weights)) / most or 1.0
        expected = [round(w / scale) for w in weights]
        if not any(weights):  # any scale will do, as long as it is a number to divide by
            if not feedback.close(result[0], expected) or not _divides(result[1]):
                return feedback.failed("all-zero weights need a scale that is not zero, or 0 / 0 gives NaN codes.")
        elif not feedback.close(result[0], expected) or not feedback.close(result[1], scale, 1e-4):
            return feedback.failed(
                f"absmax({weights}, bits={bits}) gave {feedback.short(result)}, expected codes {expected} and scale "
                f"{scale:.4g}. {_absmax_slip(result[1], weights, bits)}"
            )
    return feedback.passed("right: the largest weight gets the largest code, and zero stays zero.")


def _divides(scale):
    """Whether a learner's scale is one finite number other than zero."""
    return feedback.close([scale], [scale]) and 0 < abs(float(scale)) < float("inf")


def _absmax_slip(scale, weights, bits):
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
    for bits, block, scale_bits in ((4, 64, 32), (4, 128, 16), (8, 32, 16), (4, 64, 8)):
        result, problem = feedback.attempt(bits_per_weight, bits, block, scale_bits)
        if problem:
            return feedback.failed(problem)
        expected = bits + scale_bits / block
        if not feedback.close(result, expected):
            slip = "Every block has one scale, which its weights share."
            if feedback.close(result, bits):
                slip = "The scales are stored too: a block of weights shares one."
            elif feedback.close(result, bits + scale_bits):
                slip = "A scale is shared by a whole block: divide its bits by the block."
            return feedback.failed(
                f"{bits} bits, blocks of {block}, scales of {scale_bits} bits: you gave {feedback.short(result)}, "
                f"expected {feedback.short(expected)}. {slip}"
            )
    return feedback.passed("right: two formats may be compared only where this number is the same.")


def check_spared(spared, losses, sizes, budget):
    """Check the choice of layers that stay at 16 bits.

    Args:
        spared: names chosen by the learner.
        losses: {name: loss that rounding this layer alone adds, nats a token}.
        sizes: {name: bytes it costs to keep the layer at 16 bits}.
        budget: bytes that may be spent.
    """
    if spared is None or spared is Ellipsis or isinstance(spared, str) or not list(spared):
        return feedback.failed("expected a list of layer names, as ['lm_head']; got none yet.")
    spared = list(dict.fromkeys(spared))
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
    return feedback.passed(f"{saved:.4f} nats a token won back for {spent / 1e6:.1f} MB.")


def _most(losses, sizes, budget):
    """Nats won back by the best choice that fits, found by trying all: there are few layers to choose from."""
    chosen = (names for count in range(len(losses) + 1) for names in itertools.combinations(losses, count))
    fitting = (names for names in chosen if sum(sizes[name] for name in names) <= budget)
    return max(sum(losses[name] for name in names) for names in fitting)
