"""Kinds of numbers on the command line: what cannot be meant ends in argparse's one line, before any work."""

import argparse
import math


def whole(least):
    """A type for argparse: a whole number of at least `least`."""

    def convert(text):
        if not (text.isascii() and text.removeprefix("-").isdigit() and int(text) >= least):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
        return int(text)

    return convert


def seconds(text):
    """A type for argparse: a time above zero, in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0; leave it out for no limit")
    return value
