"""`python -m course_utils clean`: removes the environment and what was built. Results, runs and assets stay."""

import argparse
import shutil
import sys
from pathlib import Path

from course_utils import files

ROOT = Path(__file__).resolve().parents[2]
BUILT = (".venv", ".venv-*", "build", "dist", "*.egg-info", ".pytest_cache", ".ruff_cache", ".hypothesis")
SCATTERED = ("__pycache__", ".ipynb_checkpoints")
SOURCES = ("course_utils", "tests", "notebooks")


def main(argv=None):
    """Remove everything that another command makes again by itself.

    Returns:
        The exit status: 0, or 1 when something could not be removed.
    """
    argparse.ArgumentParser(prog="python -m course_utils clean", description=__doc__).parse_args(argv)
    failed = False
    with files.locked(ROOT / "build"):
        for path in leavings(ROOT):
            shutil.rmtree(path, ignore_errors=True)
            failed |= path.exists()
            print(f"{'could not remove' if path.exists() else 'removed'} {path.relative_to(ROOT)}")
    if failed:
        print("Close what uses it (JupyterLab, an editor, an active environment) and try again.", file=sys.stderr)
    return int(failed)


def leavings(root):
    """The folders below `root` that can be made again, as a list of paths."""
    found = [path for pattern in BUILT for path in sorted(root.glob(pattern)) if path.is_dir()]
    return found + [path for source in SOURCES for name in SCATTERED for path in sorted((root / source).rglob(name))]
