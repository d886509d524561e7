"""`python -m course_utils setup`: builds the environment and fetches the assets, once; quick when all is there."""

import argparse

from course_utils.setup import environment, install


def main(argv=None):
    """Set up.

    Returns:
        The exit status, 0.

    Raises:
        SetupError, AssetError: something cannot be had.
    """
    parser = argparse.ArgumentParser(prog="python -m course_utils setup", description=__doc__)
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--bench", action="store_true", help="with what the benchmarks need")
    only = "for Colab and Kaggle: install into this Python what it lacks; torch, numpy and transformers stay"
    either.add_argument("--missing", action="store_true", help=only)
    options = parser.parse_args(argv)
    if options.missing:
        install.missing()
        return 0
    python = environment.ensure(("bench",) if options.bench else ())
    if not environment.is_this_python(python):
        return environment.hand_over(python, ["setup"] + ["--bench"] * options.bench)
    environment.fetch_missing_assets()
    print("Everything is set up.")
    return 0
