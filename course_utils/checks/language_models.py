"""Checkers of notebook 01: bits a byte, one step of Kneser and Ney, a causal mask, the bytes of a cache."""

import math

from course_utils.checks import feedback

_TEXTS = [([math.log(0.5)] * 4, "abcd"), ([math.log(0.5), math.log(0.125)], "물"), ([0.0], "x")]
_COUNTS = [(3, 10, 4, 0.75, 0.2), (0, 10, 4, 0.75, 0.2), (0, 0, 0, 0.75, 0.2)]
_CACHES = [(18, 1, 256, 100), (96, 96, 128, 2048), (2, 4, 8, 1)]


def check_bits_per_byte(bits_per_byte):
    """Check a function (log-probabilities in nats, text) → bits a byte."""
    return feedback.verdict(
        bits_per_byte,
        _TEXTS,
        _bits_problem,
        "right: also for a Korean syllable, which is one character and three bytes.",
    )


def check_kneser_ney(probability):
    """Check a function (count, total, followers, discount, shorter) → p(w | h), one order of interpolation."""
    return feedback.verdict(
        probability,
        _COUNTS,
        _counts_problem,
        "right: what was never met gets its share, and a new context hands on all.",
    )


def check_cache_bytes(cache_bytes):
    """Check a function (layers, key_value_heads, head_width, tokens) → bytes at two bytes a number."""
    return feedback.verdict(
        cache_bytes, _CACHES, _cache_problem, "right: GPT-3 kept ≈9.7 GB for each user of 2,048 tokens."
    )


def _bits_problem(result, logprobs, text):
    nats, size = -sum(logprobs), len(text.encode("utf-8"))
    if feedback.close(result, nats / math.log(2) / size, 1e-6):
        return None
    slips = {
        nats / size: "Those are nats: divide by ln 2 for bits.",
        nats / math.log(2) / len(text): "You count characters; count bytes, text.encode('utf-8').",
        nats / math.log(2) / len(logprobs): "You divide by the number of tokens; divide by bytes.",
        -nats / math.log(2) / size: "The sign is wrong: a probability below 1 costs bits, it brings none.",
    }
    slip = next(
        (said for value, said in slips.items() if feedback.close(result, value, 1e-6)), "−Σ log p / ln 2 / bytes."
    )
    return (
        f"for {text!r} you gave {feedback.short(result)}, expected {feedback.short(nats / math.log(2) / size)}. {slip}"
    )


def _interpolated(count, total, followers, discount, shorter):
    return max(count - discount, 0) / total + discount * followers / total * shorter if total else shorter


def _counts_problem(result, *given):
    count, total, followers, discount, shorter = given
    expected = _interpolated(*given)
    if feedback.close(result, expected, 1e-6):
        return None
    slip = "max(count − D, 0) / total + D · followers / total · shorter."
    if not total:
        slip = "A context never met has no counts of its own: the shorter one decides alone."
    elif feedback.close(result, max(count - discount, 0) / total, 1e-6):
        slip = "What the discounts took is lost: D · followers / total goes to the shorter context."
    elif feedback.close(result, count / total + discount * followers / total * shorter, 1e-6):
        slip = "You give what you did not take: discount the count first, so that all sums to 1."
    return f"p{given} gave {feedback.short(result)}, expected {feedback.short(expected)}. {slip}"


def _cache_problem(result, layers, heads, width, tokens):
    expected = 2 * layers * heads * width * tokens * 2
    if feedback.close(result, expected, 1e-6):
        return None
    slip = "2 (keys and values) · layers · heads · width · tokens · 2 bytes."
    if feedback.close(result, expected / 2, 1e-6):
        slip = "Half of it: either keys and values, or the two bytes of a number are missing."
    elif feedback.close(result, expected / tokens, 1e-6):
        slip = "That is one token's; a cache holds those of all tokens."
    return f"for {layers} layers, {heads} heads of {width}, {tokens} tokens you gave {feedback.short(result)}, expected {expected:,}. {slip}"  # noqa: E501
