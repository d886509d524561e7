"""Sums of single digits: a question that a rule checks, answered at once or by steps.

at once    4+7+2=13
by steps   4+7+2=11,13          the running sums, the last of which is the answer
"""

import random
import re
from itertools import accumulate

NEVER = -1  # what is read where no number stands


def draw(count, numbers, *, seed, without=()):
    """Different sums, each a tuple of digits from 1 to 9.

    Args:
        count: how many. numbers: digits in each, at least two.
        seed: the draw's number or name; equal on every machine.
        without: sums that may not come, as those that are asked later.

    Raises:
        ValueError: fewer than two digits, or not so many different sums.
    """
    if numbers < 2:
        raise ValueError(f"Expected at least two numbers to add, got {numbers}.")
    known = {row for row in without if len(row) == numbers}
    if count > 9**numbers - len(known):
        raise ValueError(f"There are {9**numbers - len(known):,} such sums of {numbers} digits, not {count:,}.")
    rng, drawn = random.Random(f"sums-{seed}-{numbers}"), {}
    while len(drawn) < count:
        row = tuple(rng.randint(1, 9) for _ in range(numbers))
        if row not in known:
            drawn[row] = None
    return list(drawn)


def question(row):
    """ "4+7+2=" """
    return "+".join(map(str, row)) + "="


def at_once(row):
    """ "13", the answer alone."""
    return str(sum(row))


def by_steps(row):
    """ "11,13", the running sums, the answer last."""
    return ",".join(map(str, list(accumulate(row))[1:]))


def read(text):
    """The last whole number of an answer's text, NEVER where there is none.

    The end counts, not the beginning: steps come first. A number cut off by the token limit is read as it stands.
    """
    found = re.findall(r"\d+", text)
    return int(found[-1]) if found else NEVER


def stated(text):
    """The number that a text states behind "the answer is": the first one, behind the last "=" where one stands there.

    So "13, since 4+7" and "4 + 7 + 2 = 13" both state 13; NEVER where no number stands.
    """
    found = re.findall(r"\d+", text.rpartition("=")[2])
    return int(found[0]) if found else NEVER


def right(texts, rows, by=read):
    """A list of 0 and 1: whether each text ends in the sum of its row.

    Args:
        by: how a number is read from a text: `read` or `stated`.
    """
    return [int(by(text) == sum(row)) for text, row in zip(texts, rows, strict=True)]


def voted(texts):
    """The answer that most of several texts end in; of equally frequent ones the first that came; NEVER never wins
    against a number.

    Args:
        texts: samples of one question.
    """
    answers = [answer for answer in map(read, texts) if answer != NEVER]
    return max(answers, key=answers.count) if answers else NEVER
