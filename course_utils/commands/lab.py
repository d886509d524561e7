"""`python -m course_utils lab`: opens JupyterLab on the course. It asks no other machine for news or updates."""

import subprocess
import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
QUIET = (
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.news_url=None",
    "--LabApp.extension_manager=readonly",
)


def main(argv=None):
    """Run JupyterLab until it is closed. What stands after `lab` goes to it, as --no-browser or --port=8889.

    Returns:
        Its exit status; 0 after Ctrl-C.
    """
    if not NOTEBOOKS.is_dir():
        print(f"There is no folder {NOTEBOOKS}: run this command in a clone of the course.", file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "jupyterlab", *QUIET, *(argv or []), str(NOTEBOOKS)]
    try:
        return subprocess.run(command).returncode
    except KeyboardInterrupt:
        return 0
