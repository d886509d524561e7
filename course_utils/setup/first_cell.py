"""The first code cell of every notebook, kept here once, and what it calls.

A notebook is opened in three ways: in a clone, whose package lies one folder up; alone, with the wheel that `make
bundle` packs beside it (on Colab among the uploaded files) or in a Kaggle dataset; in a kernel that has the package.
The cell puts these places at the end of the import path, so that what is installed comes first; `ready` does the rest.
"""

import importlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from course_utils import folders, streams
from course_utils.setup import recorded, requirements
from course_utils.setup.installers import SetupError

WHEEL_STARTS = "from_lm_to_llm-"
BUNDLED = """\
import sys
from glob import glob

sys.path += ["..", *glob("from_lm*.whl"), *glob("/kaggle/input/**/from_lm*.whl", recursive=True)]
from course_utils.setup.first_cell import ready  # not found? Put the .whl of the bundle beside this notebook

runtime = ready()
run = runtime.start()
"""
PUBLISHED = """\
import sys
from importlib.util import find_spec

sys.path.append("..")
find_spec("course_utils") or get_ipython().run_line_magic("pip", "install -q --no-deps {source}")
from course_utils.setup.first_cell import ready

run = (runtime := ready()).start()
"""


def first_cell(source=""):
    """The text of the first code cell.

    Args:
        source: what pip installs, from pyproject's [tool.course]; while it is empty the bundle alone is used.
    """
    return (PUBLISHED.format(source=source) if source else BUNDLED).rstrip("\n")


def ready():
    """Give this kernel the package and what it needs; it says nothing when both are there.

    Returns:
        The module course_utils.runtime.

    Raises:
        SetupError: the kernel cannot run the course; the message says which one can. Or it must be restarted first.
        ValueError: COURSE_RECORDED is neither 1 nor 0.
    """
    sys.path[:] = dict.fromkeys(os.path.abspath(entry) if _is_ours(entry) else entry for entry in sys.path)
    requirements.use_shadow()
    lacking = requirements.unmet()
    if lacking and folders.clone() and folders.host() == "local":
        raise SetupError(wrong_kernel(lacking))
    wheel = wheel_of(__file__)
    if wheel:
        _install(wheel)
    if lacking:
        print("Installing what this kernel lacks; this happens once and takes a minute or two.", flush=True)
        _say_and_check([sys.executable, "-m", "course_utils", "setup", "--missing"])
        requirements.use_shadow()
    importlib.invalidate_caches()
    if exchanged := requirements.loaded_otherwise():
        raise SetupError(restart(exchanged))
    if recorded.asked():
        from IPython import get_ipython

        print(recorded.begin(get_ipython()))
    return importlib.import_module("course_utils.runtime")


def _is_ours(entry):
    return entry == ".." or os.path.basename(entry).startswith("from_lm")


def wrong_kernel(lacking):
    """The message for a kernel that sees the clone but not what the course needs.

    Args:
        lacking: list of requirements.Unmet.
    """
    names = ", ".join(state.requirement for state in lacking)
    return (
        f"This kernel ({sys.executable}) lacks {names}.\n"
        f"Choose the one of the course, {folders.clone() / '.venv'}: run `python -m course_utils lab` in "
        f"{folders.clone()}, or pick it in your editor's list of kernels (after `python -m course_utils setup`)."
    )


def restart(exchanged):
    """The message after an install that exchanged what this kernel had loaded; parts of both would not fit together.

    Args:
        exchanged: list of (name, loaded version, installed version).
    """
    names = ", ".join(f"{name} {loaded} (now {installed})" for name, loaded, installed in exchanged)
    how = {"colab": "Runtime > Restart session", "kaggle": "Run > Restart & clear cell outputs"}
    return (
        f"Restart the session, run this cell again ({how.get(folders.host(), 'restart the kernel')}): "
        f"what was installed replaces what this session had loaded already, {names}."
    )


def wheel_of(file):
    """The wheel that a module was imported from, None when it was not."""
    return next((parent for parent in Path(file).parents if parent.suffix == ".whl" and parent.is_file()), None)


def _install(wheel):
    """Install the wheel for the processes that the course starts, and forget the modules that came out of it."""
    with tempfile.TemporaryDirectory() as folder:
        # an upload that is repeated becomes "…-any (1).whl", which pip refuses: it reads the name
        with zipfile.ZipFile(wheel) as archive:
            info = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        proper = Path(folder) / (info.partition(".dist-info")[0] + "-py3-none-any.whl")
        proper.write_bytes(wheel.read_bytes())
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        _say_and_check([*pip, "--force-reinstall", str(proper)])
    sys.path[:] = [entry for entry in sys.path if not os.path.basename(entry).startswith(WHEEL_STARTS)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "course_utils"]:
        del sys.modules[name]
    importlib.invalidate_caches()


def _say_and_check(command):
    """Run a program, show in the notebook what it says, and stop when it fails."""
    done = streams.heard(command, stderr=subprocess.STDOUT)
    if done.stdout.strip():
        print(done.stdout.strip(), flush=True)
    if done.returncode:
        raise SetupError("This kernel could not be made ready; the lines above say why. Then run this cell again.")
