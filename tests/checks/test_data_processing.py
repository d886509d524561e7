"""The exercises of notebook 02: the solutions pass; the stub and plausible slips do not."""

import pytest
from stdnum import luhn

from course_utils.checks import data_processing as check
from course_utils.text import tokenization


def shouting(text):
    words = text.split()
    loud = [word for word in words if word.isupper() and sum(map(str.isalpha, word)) > 1]
    return len(loud) / len(words) if words else 0


def digit(payload):
    total = 0
    for place, figure in enumerate(reversed(payload.replace(" ", ""))):
        value = int(figure) * (2 - place % 2)
        total += value // 10 + value % 10
    return -total % 10


def jaccard(short, long):
    return len(set(short) & set(long)) / len(set(short) | set(long))


def left_to_right(word, merges):
    tokens = []
    for character in word:
        tokens.append(character)
        while len(tokens) > 1 and (tokens[-2], tokens[-1]) in merges:
            tokens[-2:] = [tokens[-2] + tokens[-1]]
    return tokens


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_shouting, shouting),
        (check.check_digit, digit),
        (check.check_digit, lambda payload: luhn.calc_check_digit(payload.replace(" ", ""))),
        (check.check_containment, lambda short, long: len(set(short) & set(long)) / len(set(short))),
        (check.check_encode, check.merged),
        (check.check_encode, lambda word, merges: tuple(check.merged(word, merges))),
    ],
)
def test_solutions_pass(checker, solution, capsys):
    assert checker(solution)
    assert capsys.readouterr().out.startswith("✓ right")


@pytest.mark.parametrize(
    ("checker", "slip", "named"),
    [
        (check.check_shouting, lambda text: ..., "returns nothing yet"),
        (check.check_shouting, lambda text: sum(word.isupper() for word in text.split()), "expected"),
        (check.check_shouting, lambda text: shouting(text) * len(text.split()), "over that of all words"),
        (
            check.check_shouting,
            lambda text: sum(word.isupper() for word in text.split()) / max(len(text.split()), 1),
            "ask for two letters",
        ),
        (check.check_shouting, lambda text: sum(c.isupper() for c in text) / max(len(text), 1), "not letters"),
        (check.check_digit, lambda payload: ..., "returns nothing yet"),
        (check.check_digit, lambda payload: "x", "expected one digit"),
        (check.check_digit, lambda payload: -check._luhn(payload, doubled=1) % 10, "the wrong half"),
        (check.check_digit, lambda payload: -check._luhn(payload, whole=True) % 10, "both of its digits"),
        (check.check_digit, lambda payload: -digit(payload) % 10, "missing to the next ten"),
        (check.check_digit, lambda payload: 10 - -digit(payload) % 10, "the digit is 0"),
        (check.check_containment, lambda short, long: ..., "returns nothing yet"),
        (check.check_containment, jaccard, "That is the Jaccard index"),
        (check.check_containment, lambda a, b: len(set(a) & set(b)) / len(set(b)), "share of the second"),
        (check.check_containment, lambda a, b: len(set(a) & set(b)) / len(a), "make a set"),
        (check.check_encode, lambda word, merges: ..., "returns nothing yet"),
        (check.check_encode, lambda word, merges: list(word), "Nothing was merged"),
        (check.check_encode, check._greedy, "the longest token"),
        (check.check_encode, left_to_right, "expected"),
        (check.check_encode, lambda word, merges: ["hu"], "must be the word again"),
    ],
)
def test_slips_are_named(checker, slip, named, capsys):
    assert not checker(slip)
    assert named in capsys.readouterr().out


def test_the_stubs_of_the_notebook_are_told_so(capsys):
    assert not check.check_shouting(lambda text: ...)
    assert not check.check_digit(lambda payload: ...)
    assert not check.check_containment(lambda short, long: ...)
    assert capsys.readouterr().out.count("returns nothing yet") == 3


def test_merged_agrees_with_the_tokenizer():
    merges = [tuple(half.encode() for half in pair) for pair in check._MERGES]
    pairs = tokenization.BytePairs(merges)
    for word in check._WORDS:
        tokens = [pairs.decode([token]).decode() for token in pairs.encode(word)]
        assert tokens == check.merged(word, check._MERGES)
