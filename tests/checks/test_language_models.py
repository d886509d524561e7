"""The exercises of notebook 01: the folded solutions pass; the stub and the usual slips do not, and are named."""

import math

import numpy as np
import pytest

from course_utils.checks import language_models as checks


def bits(logprobs, text):
    return -sum(logprobs) / math.log(2) / len(text.encode("utf-8"))


def kneser_ney(count, total, followers, discount, shorter):
    if total == 0:
        return shorter
    return max(count - discount, 0) / total + discount * followers / total * shorter


def cache(layers, heads, width, tokens):
    return 2 * layers * heads * width * tokens * 2


@pytest.mark.parametrize(
    ("check", "solution"),
    [(checks.check_bits_per_byte, bits), (checks.check_kneser_ney, kneser_ney), (checks.check_cache_bytes, cache)],
)
def test_solutions_pass_and_stubs_do_not(check, solution, capsys):
    assert check(solution)
    assert capsys.readouterr().out.startswith("✓ right")
    assert not check(lambda *given: ...)
    assert "returns nothing yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("check", "slip", "named"),
    [
        (checks.check_bits_per_byte, lambda p, t: -sum(p) / len(t.encode()), "Those are nats"),
        (checks.check_bits_per_byte, lambda p, t: -sum(p) / math.log(2) / len(t), "You count characters"),
        (checks.check_bits_per_byte, lambda p, t: -bits(p, t), "The sign is wrong"),
        (
            checks.check_kneser_ney,
            lambda c, n, f, d, s: max(c - d, 0) / n if n else s,
            "What the discounts took is lost",
        ),
        (checks.check_kneser_ney, lambda c, n, f, d, s: c / n + d * f / n * s if n else s, "discount the count first"),
        (checks.check_kneser_ney, lambda c, n, f, d, s: kneser_ney(c, n, f, d, s) if n else 0.0, "decides alone"),
        (checks.check_cache_bytes, lambda a, b, c, t: cache(a, b, c, t) / 2, "Half of it"),
        (checks.check_cache_bytes, lambda a, b, c, t: cache(a, b, c, 1), "one token's"),
    ],
)
def test_slips_are_named(check, slip, named, capsys):
    assert not check(slip)
    assert named in capsys.readouterr().out


def test_an_array_or_a_whole_number_is_an_answer(capsys):
    assert checks.check_bits_per_byte(lambda p, t: -np.sum(p) / np.log(2) / len(t.encode()))
    assert checks.check_kneser_ney(lambda c, n, f, d, s: np.float64(kneser_ney(c, n, f, d, s)))
    assert checks.check_cache_bytes(lambda a, b, c, t: 4 * a * b * c * t)
    assert capsys.readouterr().out.count("✓") == 3
