"""`python -m course_utils lint`: ruff on code and notebooks; with --fix it repairs what it can."""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(argv=None):
    """Check, or repair.

    Returns:
        The exit status: 0 when nothing is left to mend.
    """
    parser = argparse.ArgumentParser(prog="python -m course_utils lint", description=__doc__)
    parser.add_argument("--fix", action="store_true", help="repair what can be repaired")
    fix = parser.parse_args(argv).fix
    parts = (["check", *["--fix"] * fix], ["format", *["--check"] * (not fix)])
    return max(subprocess.run([sys.executable, "-m", "ruff", *part, "."], cwd=ROOT).returncode for part in parts)
