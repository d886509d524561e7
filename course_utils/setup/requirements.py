"""What the course needs against what a Python has. Standard library and pip's own copy of `packaging` only."""

import os
import re
import subprocess
import sys
import tomllib
import warnings
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTION = "from-lm-to-llm"
PINS = Path(__file__).resolve().parents[1] / "constraints.txt"  # put there when the wheel is built
# Packages that the import path finds before the machine's own, which stay as they are: see install.missing
SHADOW = Path(sys.prefix) / "share" / DISTRIBUTION / "packages"


class Unmet(NamedTuple):
    """A requirement that this Python does not meet; `installed` is the version it has, None when it has none."""

    name: str
    requirement: str
    installed: str | None


def _parser():
    """`packaging`'s Requirement class, from wherever it is; every pip brings a copy along."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        from pip._vendor.packaging.requirements import Requirement
    return Requirement


def declared(extras=(), root=ROOT):
    """The requirements of the package, as strings.

    Args:
        extras: names from pyproject's optional-dependencies.
        root: a clone; without its pyproject.toml the installed package's own metadata is asked.
    """
    pyproject = root / "pyproject.toml"
    if pyproject.is_file():
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        chosen = [project["optional-dependencies"][extra] for extra in extras]
        lines = [requirement for group in (project["dependencies"], *chosen) for requirement in group]
    else:
        lines = metadata.requires(DISTRIBUTION) or []
    return _here(lines, extras)


def _here(lines, extras=()):
    """The requirements without their markers, less those that are not for this machine."""
    return [line.partition(";")[0].strip() for line in lines if _applies(line, extras)]


def _applies(line, extras):
    """Whether a requirement's marker, if it has one, fits this machine and one of the extras."""
    marker = _parser()(line).marker if ";" in line else None
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def tested(lines, root=ROOT):
    """Requirements with each range narrowed to the one version in it that the course was tested with, where known.

    Args:
        lines: requirements.
        root: a clone with its constraints.txt; the bundle's wheel has that file inside the package.
    """
    files = [file for file in (root / "constraints.txt", PINS) if file.is_file()]
    text = files[0].read_text(encoding="utf-8") if files else ""
    lines_of_pins = [line for line in text.splitlines() if not line.startswith("#")]
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines_of_pins)
    names = {line: _parser()(line).name.lower().replace("_", "-") for line in lines}
    return [f"{n}=={pins[n]}" if n in pins and fits(line, pins[n]) else line for line, n in names.items()]


def installed_version(name, first=()):
    """The version of an installed distribution, None without one. A clone's own build leavings do not count.

    Args:
        name: of the distribution.
        first: folders that count as though they stood in front of the import path.
    """
    clone = str(ROOT) if (ROOT / "pyproject.toml").is_file() else None
    folders = [*first, *(folder for folder in sys.path if folder and os.path.realpath(folder) != clone)]
    for found in metadata.distributions(name=name, path=folders):
        return found.version
    return None


def use_shadow():
    """Put SHADOW, once there is one, in front of the import path, here and for the processes that this one starts."""
    folder = str(SHADOW)
    if SHADOW.is_dir() and folder not in sys.path:
        sys.path.insert(0, folder)
        inherited = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = folder + (os.pathsep + inherited if inherited else "")


def fits(requirement, version):
    """True when a version lies in a requirement's range; pre-releases and local parts, as +cu128, may."""
    return _parser()(requirement).specifier.contains(version, prereleases=True)


def unmet(extras=(), root=ROOT):
    """The requirements that this Python does not meet, as a list of Unmet.

    Raises:
        ImportError: neither packaging nor pip is there to read version ranges with.
    """
    return _unmet(declared(extras, root))


def unmet_in(folder):
    """The requirements of the packages in a folder, as a list of Unmet, that neither it nor this Python meets."""
    lines = [line for found in metadata.distributions(path=[str(folder)]) for line in found.requires or []]
    return _unmet(_here(lines), [str(folder)])


def _unmet(lines, first=()):
    names = {line: _parser()(line).name for line in lines}
    states = [Unmet(name, line, installed_version(name, first)) for line, name in names.items()]
    return [one for one in states if one.installed is None or not fits(one.requirement, one.installed)]


def loaded_otherwise(root=ROOT):
    """What is loaded in another version than the one that is installed: an install exchanged it, too late for this run.

    Args:
        root: see declared.

    Returns:
        [(name, version that is loaded, version that is installed)] of what the course needs, directly or through
        another package. A build's local part, as +cu128, does not count, nor which post-release it is: a module
        need not know of its own, and would ask for a restart after each restart.
    """
    found = []
    for name in sorted(name for name in sys.modules if "." not in name and name not in sys.stdlib_module_names):
        with warnings.catch_warnings(action="ignore"):  # some remark on whoever asks a module for its version
            loaded = _release(getattr(sys.modules[name], "__version__", ""))
        installed = loaded and _release(installed_version(name) or "")
        if installed and loaded != installed:
            found.append((name, loaded, installed))
    needed = _all_needed(root) if found else set()  # it takes a while, and nearly always nothing is found
    return [entry for entry in found if entry[0] in needed]


def _release(version):
    """A version without its local part and the number of its post-release."""
    return re.sub(r"\.post\d+$", "", str(version).partition("+")[0])


def _all_needed(root):
    """The names, as modules have them, of all distributions that the course needs, directly or through another one."""
    names, lines = set(), declared((), root)
    while lines:
        name = re.match(r"[\w.-]+", lines.pop())[0].replace("-", "_").lower()
        if name not in names:
            names.add(name)
            found = next(iter(metadata.distributions(name=name)), None)
            lines += [line for line in (found and found.requires) or [] if "extra ==" not in line]
    return names


def complete(extras=(), root=ROOT):
    """True when this Python has the package itself and everything that it needs."""
    try:
        return installed_version(DISTRIBUTION) is not None and not unmet(extras, root)
    except ImportError:
        return False


def complete_in(python, extras, root=ROOT):
    """`complete`, asked of another Python."""
    ask = f"import sys; from course_utils.setup import requirements; sys.exit(not requirements.complete({extras!r}))"
    return subprocess.run([str(python), "-c", ask], cwd=root, stderr=subprocess.DEVNULL).returncode == 0
