"""The programs that install packages, and which build of torch they are asked for.

uv does in seconds what takes pip a minute, and it knows the builds of torch without CUDA. It gets pip's own settings,
so that a mirror or a proxy holds for both. Whatever uv cannot do, pip does.
"""

import ast
import json
import os
import shutil
import subprocess
from pathlib import Path

from course_utils import streams

# settings of pip that uv takes under the same name: one for each word, one for each name in a list, one without a value
REPEATED = {name: f"--{name}" for name in ("extra-index-url", "find-links", "constraint")}
REPEATED["trusted-host"] = "--allow-insecure-host"
LISTS, SWITCHES = ("only-binary", "no-binary"), ("no-index", "require-hashes")
VARIABLES = {"cert": "SSL_CERT_FILE", "client-cert": "SSL_CLIENT_CERT", "proxy": "ALL_PROXY"}
TRUE = ("1", "true", "t", "yes", "y", "on")  # in pip's eyes
INDEXES = {"--index-url", "--extra-index-url", "--find-links"}


class SetupError(RuntimeError):
    """The environment cannot be built. The message says what came and what to do."""

    def _render_traceback_(self):
        """What a notebook shows: the message alone, since nothing in the learner's code is to blame."""
        return [f"{type(self).__name__}: {self}"]


def call(command, problem, environment=None):
    """Run a program with its output shown.

    Raises:
        SetupError: `problem`, when it fails.
    """
    if subprocess.run(command, env=environment).returncode:
        raise SetupError(
            f"{problem} What went wrong stands above.\n"
            "Usual causes: no network, a proxy or mirror that pip does not know yet, a full disk. "
            "When it is mended, run the same command again."
        )


def has_nvidia(root=Path("/")):
    """True where an NVIDIA driver is loaded, asked without torch: Linux, Windows' Linux, Windows."""
    places = ("proc/driver/nvidia/version", "usr/lib/wsl/lib/libcuda.so.1", "dev/nvidiactl")
    return any((root / place).exists() for place in places) or shutil.which("nvidia-smi") is not None


def torch_backend(system, nvidia, version):
    """Which build of torch uv should look for.

    Args:
        system: as platform.system() says it.
        nvidia: whether an NVIDIA driver is loaded.
        version: what pip would install, as "2.13.0" or "2.13.0+cpu"; None when unknown.

    Returns:
        "cpu", "auto" (what the driver can run), or None: what pip would install is right.
    """
    if system == "Darwin":
        return None
    if nvidia:
        return None if "+cu" in (version or "") else "auto"
    # elsewhere than on Linux the plain build has no CUDA in it; on Linux it has gigabytes of it
    return "cpu" if system == "Linux" and "+cpu" not in (version or "") else None


def uv_settings(pip_settings):
    """pip's settings, as `pip config list` prints them, for uv.

    Args:
        pip_settings: lines such as "global.index-url='…'".

    Returns:
        (options, variables). What is not named above, such as prefer-binary, is uv's way anyway or no matter here.
    """
    options, variables, found = [], {}, {}
    for line in pip_settings.splitlines():
        name, _, value = line.partition("=")
        section, _, name = name.rpartition(".")
        rank = {"global": 0, "site": 0, "user": 0, "install": 1, ":env:": 2}.get(section, -1)
        if rank >= found.get(name, (0, ""))[0]:
            found[name] = (rank, str(ast.literal_eval(value)) if value[:1] in "'\"" else value)
    for name, (_, value) in found.items():
        if name in REPEATED:
            options += [part for word in value.split() for part in (REPEATED[name], word)]
        elif name in LISTS:
            options += [part for word in value.replace(",", " ").split() for part in (f"--{name}", word)]
        elif name in SWITCHES:
            options += [f"--{name}"] * (value.strip().lower() in TRUE)
        elif name == "index-url":
            options += ["--index-url", value]
        elif name in VARIABLES:
            variables[VARIABLES[name]] = value
    # pip takes the best version of all indexes; uv would stop at the first index that has the package
    return [*options, *["--index-strategy", "unsafe-best-match"] * (not INDEXES.isdisjoint(options))], variables


def attempts(backend, version, uv_ready):
    """How to install, best first: pairs of an installer and its words about torch.

    Args:
        backend: see torch_backend.
        version: the torch that pip would take, None when unknown.
        uv_ready: whether uv can be used.
    """
    plain = "torch" if version is None else f"torch=={version}"
    ways = [("uv", (f"--torch-backend={backend}", "torch"))] if backend else []
    ways.append(("uv", (plain,)))
    return [way for way in ways if uv_ready] + [("pip", (plain,))]


def fall_back_in_words(backend, following, words):
    """What is said when a way of installing failed and the next is tried.

    Args:
        backend: see torch_backend.
        following: the next installer.
        words: what the failed one was asked for.
    """
    if backend == "cpu" and words[0].startswith("--torch-backend"):
        return f"the build without CUDA cannot be reached; {following} takes the usual one, with gigabytes of CUDA."
    if backend == "auto" and words[0].startswith("--torch-backend"):
        return (
            f"the build for this driver cannot be reached; {following} takes the usual one. Ask the doctor afterwards."
        )
    return f"uv could not do it (see above); {following} does it, more slowly."


def find_uv(python, pinned, folder):
    """The path of the environment's own uv, else of one fetched into `folder`, else of the reader's; None without any.

    Args:
        python: whose pip fetches it.
        pinned: a constraints file.
        folder: a temporary folder.
    """
    own = Path(python).parent / ("uv.exe" if os.name == "nt" else "uv")
    if own.is_file() and (own.parent.parent / "pyvenv.cfg").is_file():
        return str(own)
    fetch = [*pip_command(python), "--quiet", "--no-deps", "--constraint", str(pinned), "--target", str(folder), "uv"]
    if subprocess.run(fetch, stderr=subprocess.DEVNULL).returncode:
        return shutil.which("uv")
    return str(folder / "bin" / ("uv.exe" if os.name == "nt" else "uv"))


def pip_command(python):
    """`pip install` without compiling: a module that is imported is compiled then, most never are."""
    return [str(python), "-m", "pip", "install", "--no-compile", "--disable-pip-version-check", *_quiet()]


def create_by_uv(uv, python, folder, pinned):
    """Make a virtual environment with uv and pip in it; pip fetches the assets. Needs no ensurepip of that Python.

    Returns:
        True when it worked.
    """
    settings = settings_for_uv(python)
    if settings is None:
        return False
    pip = [*uv_command(uv, python_of(folder), settings[0]), "--constraint", str(pinned), "pip", "uv"]
    make = [uv, "venv", "--quiet", "--allow-existing", "--no-python-downloads", "--python", str(python), str(folder)]
    return all(not subprocess.run(step, env={**os.environ, **settings[1]}).returncode for step in (make, pip))


def python_of(folder):
    """The Python of a virtual environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def uv_command(uv, python, settings):
    """The same by uv, see uv_settings."""
    return [uv, "pip", "install", "--python", str(python), *_quiet(), *settings]


def _quiet():
    """Progress is for people who watch; a log gets errors alone."""
    return [] if os.isatty(1) else ["--quiet"]


def settings_for_uv(python):
    """uv_settings of the pip that this Python has."""
    asked = streams.heard([str(python), "-m", "pip", "config", "list"], stderr=subprocess.DEVNULL)
    return uv_settings(asked.stdout) if asked.returncode == 0 else None


def pip_would_take(python, pinned, requirement):
    """The version, local part included, that pip would install; only metadata is downloaded. None when unknown."""
    ask = [*pip_command(python), "--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-"]
    answer = streams.heard([*ask, "--constraint", str(pinned), requirement])
    try:
        return json.loads(answer.stdout)["install"][0]["metadata"]["version"]
    except (ValueError, LookupError):
        return None


def installed_in(python, name):
    """The version of a distribution in another Python, None without one."""
    ask = f"from importlib.metadata import version; print(version({name!r}))"
    answer = streams.heard([str(python), "-I", "-c", ask], stderr=subprocess.DEVNULL)
    return answer.stdout.strip() if answer.returncode == 0 else None
