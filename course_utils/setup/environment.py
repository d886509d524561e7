"""Where the course runs: decides on an environment, builds it when it is missing or stale, goes on inside it.

A stamp in the environment says what it was built from. It is removed before anything changes and written when all is
done, so an environment without a valid stamp is never trusted: it is built again from nothing. One that was only to be
added to, and could not be, gets its stamp back when all that it had is still there.
Standard library only: this runs in the bare Python that the reader has.
"""

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

from course_utils import files, folders
from course_utils.setup import install, installers, requirements
from course_utils.setup.installers import SetupError, python_of

__all__ = ["SetupError", "ensure", "fetch_missing_assets", "hand_over", "is_this_python", "python_of"]

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("lab", "test")
STAMP = "course-setup.json"
_STARTED = time.monotonic() - float(os.environ.pop("COURSE_ELAPSED", "0"))  # by the command before hand_over
COLAB_WIDGETS = Path("share/from-lm-to-llm/colab-widgets")  # below the environment; see install.colab_widgets


@dataclass(frozen=True)
class Facts:
    """What the choice of an environment depends on.

    clone: the package lies in a clone, not among installed packages.
    own: this Python is that of the clone's .venv.
    conda: this Python is that of an active conda environment other than base.
    hosted: this is Colab or Kaggle.
    complete: this Python is isolated and has the package with all that it needs.
    """

    clone: bool
    own: bool = False
    conda: bool = False
    hosted: bool = False
    complete: bool = False


def choose(facts):
    """Where to run: "here" as it is, "hosted" here with what is missing, "conda" here, or "venv" in .venv of the clone.

    Args:
        facts: Facts.
    """
    if not facts.clone or (facts.complete and not facts.own):
        return "here"
    if facts.hosted:
        return "hosted"
    return "conda" if facts.conda else "venv"


def look(extras=EXTRAS, root=ROOT):
    """The Facts of this process."""
    own, conda = _same(sys.prefix, root / ".venv"), _conda_is_active()
    isolated = sys.prefix != sys.base_prefix or conda
    return Facts(
        clone=(root / "pyproject.toml").is_file(),
        own=own,
        conda=conda,
        hosted=folders.host() != "local",
        complete=isolated and not own and not _begun(Path(sys.prefix)) and requirements.complete(extras, root),
    )


def _same(one, other):
    return os.path.realpath(one) == os.path.realpath(other)


def _conda_is_active():
    prefix = os.environ.get("CONDA_PREFIX", "")
    is_base = os.environ.get("CONDA_DEFAULT_ENV") == "base" or os.path.isdir(os.path.join(prefix, "condabin"))
    return bool(prefix) and not is_base and _same(prefix, sys.prefix)


def _begun(folder):
    """True while a set-up of this environment is under way, or after one that was interrupted."""
    return (folder / STAMP).with_suffix(".begun").exists()


def is_this_python(python):
    """True when this process runs in that environment already."""
    return python is None


def key(root=ROOT):
    """A hash of all that an environment is built from: requirements, pins, Python, and where the clone lies."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    sources = {
        "project": pyproject["project"],
        "build": [pyproject["build-system"], pyproject["tool"].get("setuptools")],
        "constraints": (root / "constraints.txt").read_text(encoding="utf-8"),
        "python": [sys.implementation.name, list(sys.version_info[:3]), os.path.realpath(sys.base_prefix)],
        "machine": platform.machine(),
        "root": os.path.realpath(root),
    }
    return hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()


def stamped(folder, expected):
    """The extras that a finished set-up put into an environment; None when there was none, or another key."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        return tuple(stamp["extras"]) if stamp["key"] == expected else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_stamp(folder, expected, extras):
    """Say that an environment is whole: written aside, synced, renamed."""
    aside = folder / (STAMP + ".tmp")
    aside.write_text(json.dumps({"key": expected, "extras": sorted(extras)}), encoding="utf-8")
    files.sync(aside)
    os.replace(aside, folder / STAMP)
    (folder / STAMP).with_suffix(".begun").unlink(missing_ok=True)


def remove_stamp(folder):
    """Distrust an environment before it is changed."""
    (folder / STAMP).with_suffix(".begun").touch()
    (folder / STAMP).unlink(missing_ok=True)


def ensure(more_extras=(), root=ROOT, report=print):
    """Make sure that there is an environment that has everything.

    Args:
        more_extras: beyond EXTRAS, as ("bench",).

    Returns:
        The Python to go on in; None when it is the one that runs already.

    Raises:
        SetupError: it could not be built; the message says why and what to do.
    """
    extras = (*EXTRAS, *more_extras)
    kind = choose(look(extras, root))
    if kind == "here":
        return None
    if kind == "hosted":
        install.missing(extras, root, report)
        return None
    folder = root / ".venv" if kind == "venv" else Path(sys.prefix)
    expected = key(root)
    if not set(extras) <= set(stamped(folder, expected) or ()):
        with files.locked(root / "build", report):
            if not set(extras) <= set(stamped(folder, expected) or ()):
                _set_up(kind, folder, expected, extras, root, report)
    inside = kind == "conda" or _same(sys.prefix, folder)
    return None if inside else python_of(folder)


def _set_up(kind, folder, expected, extras, root, report):
    """Build or complete the environment in `folder`."""
    started = time.perf_counter()
    before = stamped(folder, expected)
    fresh = kind == "venv" and before is None
    repair = kind == "conda" and _begun(folder)
    report(f"Setting up the course in {folder} (Python {platform.python_version()}). This happens once.")
    install.require_space(root)
    try:
        if fresh:
            _create(folder, report, root)
        remove_stamp(folder)
        python = python_of(folder) if kind == "venv" else Path(sys.executable)
        install.everything(python, sorted(extras), root, report=report, again=repair)
        install.colab_widgets(python, folder / COLAB_WIDGETS, root)
        report("  compiling what the notebooks import …")
        since = time.perf_counter()
        install.compile_used(python)
        report(f"  compiling: {time.perf_counter() - since:.0f} s")
        write_stamp(folder, expected, extras)
    except SetupError:
        if before and requirements.complete_in(python_of(folder), before, root):
            write_stamp(folder, expected, before)
            report("Nothing was added; the environment stays as it was.")
        raise
    except KeyboardInterrupt:
        report("\nThe set-up was interrupted. The next command starts it again; what was downloaded is kept.")
        raise
    report(f"The environment is ready after {time.perf_counter() - started:.0f} s.")


def _create(folder, report, root):
    """Make an empty virtual environment, instead of what is there: by uv, or by Python itself where there is no uv."""
    started = time.perf_counter()
    report("  virtual environment …")
    base, pins = getattr(sys, "_base_executable", None) or sys.executable, root / "constraints.txt"
    _remove(folder)
    folder.mkdir()
    remove_stamp(folder)
    with tempfile.TemporaryDirectory(prefix="course-setup-") as aside:
        uv = installers.find_uv(base, pins, Path(aside))
        if not uv or not installers.create_by_uv(uv, base, folder, pins):
            _create_by_python(base, folder)
    report(f"  virtual environment: {time.perf_counter() - started:.0f} s")


def _create_by_python(base, folder):
    if importlib.util.find_spec("ensurepip") is None:
        raise SetupError(
            f"{sys.executable} cannot make virtual environments: its module ensurepip is missing.\n"
            "On Debian and Ubuntu: sudo apt install python3-venv. Then run the same command again."
        )
    installers.call([base, "-m", "venv", "--clear", str(folder)], "The virtual environment could not be made.")
    remove_stamp(folder)  # cleared with the rest


def _remove(folder):
    """Remove a virtual environment that is not to be trusted. Anything else of that name is left alone."""
    if folder.is_symlink() or (folder.exists() and not ((folder / "pyvenv.cfg").is_file() or _begun(folder))):
        raise SetupError(
            f"{folder} exists and is no virtual environment. Move it away, then run the same command again."
        )
    aside = folder.with_name(folder.name + "-old")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        if folder.exists():
            os.replace(folder, aside)  # at once, so that no half of it can be taken for an environment
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise SetupError(
            f"{folder} has to be built again and cannot be removed ({error}).\n"
            "Close what uses it (JupyterLab, an editor, a shell where it is active), then run the same command again."
        ) from error


def fetch_missing_assets(names=None):
    """Fetch the assets that are not there; quick and silent when all are.

    Args:
        names: of assets, all when None.
    """
    from course_utils import assets
    from course_utils.commands import assets as command
    from course_utils.models import base

    wanted = list(assets.ASSETS) if names is None else names
    here = all(assets.is_present(assets.ASSETS[name]) for name in wanted)
    here = here and all(base.is_prepared(model) for name, model in base.BROUGHT.items() if name in wanted)
    if not here and command.main(["fetch", *wanted]):
        raise SetupError("Without its assets the course cannot run. The lines above say what to do.")


def elapsed():
    """Seconds since the command was started, set-up included, however many processes it took."""
    return time.monotonic() - _STARTED


def hand_over(python, argv):
    """Go on with the same command in another Python; on POSIX this does not return."""
    os.environ["COURSE_ELAPSED"] = str(elapsed())
    command = [str(python), "-m", "course_utils", *argv]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        os.execv(command[0], command)
    try:
        return subprocess.run(command).returncode
    except KeyboardInterrupt:
        return 130
