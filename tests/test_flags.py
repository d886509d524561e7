"""Numbers on the command line."""

import argparse

import pytest

from course_utils import flags


@pytest.mark.parametrize(("text", "least"), [("0", 1), ("-3", 0), ("1.5", 1), ("x", 1), ("", 0), ("٣", 0), ("1e3", 1)])
def test_what_is_no_count_is_refused(text, least):
    with pytest.raises(argparse.ArgumentTypeError, match=f"no whole number of at least {least}"):
        flags.whole(least)(text)


@pytest.mark.parametrize("text", ["0", "-5", "nan", "inf", "x", ""])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="no number of seconds above 0"):
        flags.seconds(text)


def test_good_numbers_are_taken():
    assert (flags.whole(0)("0"), flags.whole(1)("60"), flags.seconds("0.5")) == (0, 60, 0.5)
