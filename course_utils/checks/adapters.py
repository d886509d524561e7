"""Checkers of notebooks 10 to 14, two each: the learner's function is tried on small tensors.

Each checker knows the right function and the usual slips, so that it can name the slip instead of a number.
"""

import torch

from course_utils.checks import feedback


def check_delta(delta):
    """10: (A (r, I), B (O, r), alpha) → the change ΔW (O, I) that LoRA makes to a matrix."""
    slips = {
        "The scale α / r is missing.": lambda a, b, alpha: b @ a,
        "That is scaled by α alone; divide by the rank.": lambda a, b, alpha: alpha * b @ a,
    }
    cases = [(_drawn(2, 4), _drawn(3, 2), 6.0), (_drawn(4, 5), _drawn(6, 4), 1.0)]
    return _check(delta, lambda a, b, alpha: alpha / len(a) * b @ a, cases, slips, "ΔW = (α / r) B A")


def check_rank(rank):
    """10: (budget, inputs, outputs, matrices) → the largest rank whose LoRA weights fit into the budget."""
    slips = {
        "Each matrix gets a pair of its own: divide by their number.": lambda n, i, o, m: n // (i + o),
        "A pair has r · (I + O) weights, not I · O.": lambda n, i, o, m: n // (i * o * m),
    }
    cases = [(46_080, 640, 640, 18), (10_000, 32, 64, 6), (368_640, 640, 1024, 18)]
    return _check(
        rank,
        lambda n, i, o, m: n // ((i + o) * m),
        cases,
        slips,
        "rank r costs r · (I + O) weights a matrix, and 46,080 weights buy 18 matrices of 640 × 640 rank 2",
    )


def check_prefix_weights(weights):
    """11: (layers, heads, tokens, width) → how many numbers a prefix has."""
    slips = {
        "Keys and values: twice as many.": lambda layers, heads, tokens, width: layers * heads * tokens * width,
        "Every layer has a prefix of its own.": lambda layers, heads, tokens, width: 2 * heads * tokens * width,
    }
    cases = [(18, 1, 20, 256), (2, 3, 5, 7)]
    return _check(
        weights,
        lambda *sizes: 2 * sizes[0] * sizes[1] * sizes[2] * sizes[3],
        cases,
        slips,
        "2 · L · K · k · H, so 20 places of this model are 184,320 numbers",
    )


def check_attention(attend):
    """11: (q (H), keys (T, H), values (T, H), prefix keys (k, H), prefix values (k, H)) → one query's output (H)."""

    def right(q, keys, values, first_keys, first_values):
        weights = (torch.cat([first_keys, keys]) @ q / len(q) ** 0.5).softmax(0)
        return weights @ torch.cat([first_values, values])

    slips = {
        "The prefix is not seen.": lambda q, k, v, pk, pv: right(q, k, v, pk[:0], pv[:0]),
        "Scores are divided by √H before the softmax.": lambda q, k, v, pk, pv: right(q * len(q) ** 0.5, k, v, pk, pv),
        "One softmax runs over both; of two, added, the weights sum to 2.": lambda q, k, v, pk, pv: (
            right(q, k, v, pk[:0], pv[:0]) + right(q, pk, pv, k[:0], v[:0])
        ),
        "One softmax runs over both; two, averaged, give each half the weight.": lambda q, k, v, pk, pv: (
            (right(q, k, v, pk[:0], pv[:0]) + right(q, pk, pv, k[:0], v[:0])) / 2
        ),
    }
    cases = [(_drawn(4), _drawn(3, 4), _drawn(3, 4, seed=2), _drawn(2, 4, seed=3), _drawn(2, 4, seed=4))]
    return _check(attend, right, cases, slips, "a prefix is attended to as if it had been read")


def check_in_front(in_front):
    """12: (prompt (k, D), embeddings (B, T, D)) → (B, k + T, D)."""
    slips = {
        "The prompt stands behind; it comes first.": lambda p, x: torch.cat([x, p.expand(len(x), -1, -1)], 1),
        "The prompt is added to the tokens; it takes places of its own.": lambda p, x: x + p.mean(0),
    }
    cases = [(_drawn(2, 3), _drawn(4, 5, 3)), (_drawn(1, 2), _drawn(1, 1, 2))]
    return _check(in_front, lambda p, x: torch.cat([p.expand(len(x), -1, -1), x], 1), cases, slips, "k places a row")


def check_nearest(nearest):
    """12: (vectors (k, D), table (V, D)) → the row of the table nearest to each vector by cosine, (k)."""
    unit = torch.nn.functional.normalize
    slips = {
        "That is the largest product; long rows win it. Divide by the lengths.": lambda v, t: (v @ t.T).argmax(-1),
        "That is the farthest row.": lambda v, t: (unit(v) @ unit(t).T).argmin(-1),
        "That is the nearest by distance; only the direction counts.": lambda v, t: torch.cdist(v, t).argmin(-1),
        "That is the row; give its number.": lambda v, t: t[(unit(v) @ unit(t).T).argmax(-1)],
    }
    table = torch.tensor([[1.0, 0.0], [5.0, 5.0], [0.0, 1.0]])
    cases = [(torch.tensor([[2.0, 0.5], [0.1, 3.0]]), table), (torch.tensor([[1.0, 0.9]]), table)]
    return _check(nearest, lambda v, t: (unit(v) @ unit(t).T).argmax(-1), cases, slips, "only the direction counts")


def check_anchored(anchored):
    """13: (learned (k, D), words (a, D), places: k + a bools, True where a word stands) → (k + a, D)."""

    def right(learned, words, places):
        made = learned.new_empty(len(places), learned.shape[1])
        made[places], made[~places] = words, learned
        return made

    slips = {
        "The places are turned round: True is where a word stands.": lambda v, w, p: right(v, w, ~p),
        "All learned vectors came first; the template's order counts.": lambda v, w, p: torch.cat([v, w]),
        "All words came first; the template's order counts.": lambda v, w, p: torch.cat([w, v]),
    }
    cases = [
        (_drawn(2, 3), _drawn(2, 3, seed=2), torch.tensor([True, False, False, True])),  # turned round, it still fits
        (_drawn(2, 3), _drawn(1, 3, seed=2), torch.tensor([False, True, False])),
    ]
    return _check(anchored, right, cases, slips, "a template with fixed words among the learned ones")


def check_kept(kept):
    """13: (tokens, width, hidden) → (weights trained by P-tuning's MLP encoder, weights kept after training)."""

    def trained(k, d, h):
        return k * d + (d * h + h) + (h * h + h) + (h * d + d)

    slips = {
        "The network is deleted after training; only its output stays.": lambda k, d, h: (trained(k, d, h),) * 2,
        "The biases are missing.": lambda k, d, h: (k * d + 2 * d * h + h * h, k * d),
        "The e that the network reads is trained, too.": lambda k, d, h: (trained(k, d, h) - k * d, k * d),
    }
    cases = [(20, 640, 640), (3, 4, 5)]
    return _check(
        kept, lambda k, d, h: (trained(k, d, h), k * d), cases, slips, "of 1,243,520 trained weights 12,800 are kept"
    )


def check_folded(folded):
    """14: (weight (O, I), l, on_input) → the matrix that does what IA3's rescaling and the matrix do together."""
    slips = {
        "A vector on the input scales columns, one on the output rows.": lambda w, v, on_input: (
            w * (v[:, None] if on_input else v)
        ),
        "The vector multiplies; it is not added.": lambda w, v, on_input: w + (v if on_input else v[:, None]),
    }
    cases = [(_drawn(3, 3), _drawn(3), on_input) for on_input in (False, True)]
    return _check(folded, lambda w, v, on: w * (v if on else v[:, None]), cases, slips, "nothing is left to compute")


def check_ia3_weights(weights):
    """14: (layers, key width, value width, MLP width) → how many weights IA3 trains."""
    slips = {
        "Each block has its own three vectors.": lambda layers, *widths: sum(widths),
        "A vector a matrix, not a matrix: its length is one side.": lambda n, k, v, h: n * (k * k + v * v + h * h),
    }
    cases = [(18, 256, 256, 2048), (2, 3, 4, 5)]
    return _check(
        weights,
        lambda layers, *widths: layers * sum(widths),
        cases,
        slips,
        "three vectors a block, 46,080 weights in this model",
    )


def _check(function, right, cases, slips, praise):
    """Try the learner's function on every case; what counts as True when all agree."""

    def wrong(came, *case):
        expected = right(*case)
        if _same(came, expected):
            return None
        named = [slip for slip, mistaken in slips.items() if _same(came, feedback.attempt(mistaken, *case)[0])]
        said = f"you gave {feedback.short(came)}, expected {feedback.short(expected)}."
        return " ".join([said, *named[:1]])

    return feedback.verdict(function, cases, wrong, f"right: {praise}.", first="tensor")


def _same(came, expected):
    """Counts agree to the last unit, what was computed from tensors to the rounding of float32."""
    return feedback.close(came, expected, 1e-5 if isinstance(expected, torch.Tensor) else 1e-9)


def _drawn(*shape, seed=1):
    """Small numbers, the same every time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).round(decimals=1)
