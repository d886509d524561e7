"""Where the course keeps things, and whether that place outlives the machine. Standard library only, so it is quick.

home       assets and converted models     COURSE_HOME     may be read-only: a folder that a class shares
runs       checkpoints, cached stages      COURSE_RUNS     always the reader's own
results    figures that the course reports COURSE_RESULTS  always the reader's own
"""

import os
import platform
import re
import tempfile
from pathlib import Path

NAME = "from-lm-to-llm"
ROOT = Path("/")  # a test moves it, to stand on another machine
KEEP = {  # how to make runs outlive the machine
    "colab": "mount Google Drive and restart the kernel",
    "kaggle": "leave COURSE_HOME and COURSE_RUNS unset: then /kaggle/working is used, which is kept",
    "local": "set COURSE_RUNS to keep what is there",
}
PACKAGE = Path(__file__).resolve().parent
PLACES = ("COURSE_HOME", "COURSE_RUNS", "COURSE_RESULTS")
SLIPS = {  # what would make a folder of a strange name, wherever the command was started → why
    r"""^["']|["']$""": "the quotation marks are part of it",
    r"^\w\w+://": "an address is no folder; mount it first",
    r"\$\w|\$\{|%\w+%": "a variable in it was not filled in",
}


class PlaceError(OSError, ValueError):
    """A folder of the course cannot be used; the message names the variable to set."""


def host():
    """The machine's kind: colab, kaggle or local."""
    if "COLAB_RELEASE_TAG" in os.environ or "COLAB_GPU" in os.environ:
        return "colab"
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ or (ROOT / "kaggle/working").is_dir():
        return "kaggle"
    return "local"


def default_home():
    """The folder used without COURSE_HOME: on Colab in a mounted Drive, on Kaggle in its output, else in the cache."""
    if host() == "colab":
        drive = ROOT / "content/drive/MyDrive"
        return (drive if drive.is_dir() else ROOT / "content") / NAME
    if host() == "kaggle":
        return ROOT / "kaggle/working" / NAME
    if platform.system() == "Windows":
        return Path(os.environ.get("LOCALAPPDATA") or own() / "AppData/Local") / NAME
    if platform.system() == "Darwin":
        return own() / "Library/Caches" / NAME
    cache = os.environ.get("XDG_CACHE_HOME", "")  # a relative one counts as none, says its standard
    return (Path(cache) if os.path.isabs(cache) else own() / ".cache") / NAME


def own(folder="~", variable="COURSE_HOME"):
    """The path with ~ resolved. Raises PlaceError where the system knows no home folder of this user."""
    first = Path(folder).parts[0]
    try:
        path = Path(folder).expanduser()
        problem = f"HOME is {os.environ.get('HOME')!r}, no full path" if first == "~" and not path.is_absolute() else ""
    except RuntimeError:
        problem = f"there is no user {first[1:]!r}"
        if first == "~":
            problem = "HOME is not set, and the user has no entry among its users"
    if problem:
        raise PlaceError(
            f"This system names no home folder for {'you' if first == '~' else first} ({problem}).\n"
            f"Set {variable} to a folder in which you may write, written in full, for example {variable}=/data/{NAME}"
        )
    return path


def settle():
    """Make the places in the environment absolute, once: a child in another folder then means the same ones.

    Raises:
        PlaceError: one of them begins with ~ and this user has no home folder.
    """
    for variable in PLACES:
        if asked := _asked(variable):
            os.environ[variable] = str(asked)
    for variable in ("COURSE_MODEL", "COURSE_CHAT_MODEL"):
        model = os.environ.get(variable, "").strip()
        if model and os.path.isdir(folder := own(model, variable)):  # else a name on the hub
            os.environ[variable] = str(folder.absolute())


def writable(folder):
    """True when a file can be made in the folder, or, while it is missing, in the nearest one that exists.

    It is tried, not looked up: permission bits say nothing about an administrator or a read-only mount.
    """
    folder = Path(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (FileNotFoundError, NotADirectoryError):
        return folder != folder.parent and not folder.exists() and writable(folder.parent)
    except OSError:
        return False


def _asked(variable):
    """The absolute path in an environment variable, None when it is unset or empty.

    Raises:
        PlaceError: it is no path of this machine's own, but what a shell would have made one of.
    """
    value = os.environ.get(variable, "").strip()
    for pattern, slip in SLIPS.items():
        if re.search(pattern, value):
            raise PlaceError(
                f"{variable} is {value}: {slip}. Set it to a folder, written in full, as {variable}=/data/{NAME}"
            )
    return own(value, variable).absolute() if value else None


def _made(folder, variable):
    """The folder, made when missing.

    Raises:
        PlaceError: the variable names a file or a link to nothing, or the folder cannot be made.
    """
    if os.path.lexists(folder) and not os.path.isdir(folder):
        kind = "a link that leads nowhere" if os.path.islink(folder) and not os.path.exists(folder) else "a file"
        raise PlaceError(f"{variable} leads to {folder}, which is {kind}. Set {variable} to a folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PlaceError(
            f"The folder {folder} does not exist and cannot be made ({error.strerror}).\n"
            f"Set {variable} to a folder in which you may write, for example {variable}=~/{NAME}"
        ) from error
    return folder


def _made_writable(folder, variable):
    """The folder, made when missing. Raises PlaceError when no file can be written in it."""
    if not writable(_made(folder, variable)):
        raise PlaceError(
            f"Nothing can be written in {folder}.\n"
            f"Set {variable} to a folder in which you may write, for example {variable}=~/{NAME}"
        )
    return folder


def home():
    """The folder of assets and models, made when missing. It may be read-only, when it exists already."""
    return _made(_asked("COURSE_HOME") or default_home(), "COURSE_HOME")


def home_is_shared():
    """True when COURSE_HOME can only be read, as a folder is that a class shares."""
    return _asked("COURSE_HOME") is not None and not writable(home())


def runs():
    """The folder of checkpoints and cached stages, made when missing.

    It lies in home; when COURSE_HOME can only be read, in the reader's own default folder instead.
    """
    asked = _asked("COURSE_RUNS")
    if asked:
        return _made_writable(asked, "COURSE_RUNS")
    base = default_home() if home_is_shared() else home()
    return _made_writable(base / "runs", "COURSE_RUNS")


def clone():
    """The root of the clone that this package lies in, None when it was installed without one."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def results():
    """The folder of reported figures, made when missing: results/ of a clone that can be written, else runs/results."""
    asked = _asked("COURSE_RESULTS")
    if asked:
        return _made_writable(asked, "COURSE_RESULTS")
    root = clone()
    if root and writable(root / "results"):
        return _made(root / "results", "COURSE_RESULTS")
    return _made_writable(runs() / "results", "COURSE_RESULTS")


def survival(folder):
    """(survives, why): whether what lies in the folder is still there when this machine is gone, in one sentence."""
    folder = Path(folder).resolve()
    if host() == "colab":
        if folder.is_relative_to((ROOT / "content/drive").resolve()):
            return True, "kept in your Google Drive"
        return False, "lost when Colab ends the session"
    if host() == "kaggle":
        if folder.is_relative_to((ROOT / "kaggle/working").resolve()):
            return True, "Kaggle's output: kept once you press Save Version, or with Persistence set to Files"
        return False, "lost when Kaggle ends the session"
    if folder.is_relative_to(Path(tempfile.gettempdir()).resolve()):
        return False, "a temporary folder, which the system may empty"
    return True, "on this machine's own disk"
