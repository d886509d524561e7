"""Installing the course's packages: what, pinned how, and never replacing what must stay."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from course_utils import files, folders
from course_utils.setup import installers, requirements
from course_utils.setup.installers import SetupError

ROOT = Path(__file__).resolve().parents[2]
KEPT = ("torch", "numpy", "transformers")  # on Colab and Kaggle these stay as they are
SHADOWED = ("transformers",)  # of these, what a newer one can be put beside, since it is Python alone
# what the notebooks import, and JupyterLab and pytest: two halves that share little, one for each of two cores
USED = (
    ("torch.distributed.tensor", "transformers.models.gemma3.modeling_gemma3", "transformers.generation.utils", "peft",
     "peft.tuners.lora", "trl.trainer.sft_trainer", "trl.trainer.reward_trainer", "bitsandbytes", "torchao",
     "course_utils.training.rlhf", "course_utils.reporting.widgets"),
    ("jupyterlab.labapp", "ipywidgets", "ipykernel.kernelapp", "nbval.plugin", "pytest", "matplotlib.pyplot",
     "datasets", "sklearn.metrics"),
)  # fmt: skip
NEEDED = 3 * 10**9  # bytes of disk for an environment without CUDA


def require_space(folder):
    """Raise SetupError before a download that the disk cannot hold."""
    free = shutil.disk_usage(folder).free
    if free < NEEDED:
        raise SetupError(
            f"The set-up needs about {files.human_size(NEEDED)} on the disk of {folder}, and {files.human_size(free)} "
            "is free. Free some space and run the same command again."
        )


def constraints(text, pins):
    """A constraints file with other pins for some packages.

    Args:
        text: its lines, each "name==version".
        pins: {name: version}; these replace what the text says about the same names.
    """
    lines = [line for line in text.splitlines() if line.partition("==")[0].strip().lower() not in pins]
    return "\n".join([*lines, *(f"{name}=={version}" for name, version in pins.items())]) + "\n"


def everything(python, extras, root=ROOT, *, report=print, again=False):
    """Install the package in place with its extras, pinned as constraints.txt says, into the environment of `python`.

    Args:
        python: of the environment.
        extras: names from pyproject.
        root: the clone.
        report: called with each progress line.
        again: install anew even what seems to be there, since an earlier set-up was interrupted.
    """
    pins = (root / "constraints.txt").read_text(encoding="utf-8")
    present = None if again else _fitting_torch(python)
    if present:
        pins = constraints(pins, {"torch": present})  # never swap a torch that somebody chose
    targets = ["--editable", f"{root}[{','.join(extras)}]"]
    _install(python, targets, pins, report, torch=present, again=again)


def colab_widgets(python, folder, root=ROOT):
    """Put the widgets that Colab has into `folder`, outside the import path; the tests open notebooks beside them."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    command = [*installers.pip_command(python), "--quiet", "--no-deps", "--upgrade", "--target", str(folder)]
    installers.call([*command, *pyproject["tool"]["course"]["colab-widgets"]], "Colab's widgets could not be fetched.")


def compile_used(python, groups=USED):
    """Compile what the notebooks import. Where PYTHONDONTWRITEBYTECODE is set, every process would do it anew, 8 s.

    Args:
        python: of the environment.
        groups: names of modules, a process for each group; what is not there, or does not like this machine, is passed
            over.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    at_work = []
    for modules in groups:
        lines = [f"try:\n import {module}\nexcept Exception:\n pass" for module in modules]
        at_work.append(subprocess.Popen([str(python), "-c", "\n".join(lines)], env=environment, **quiet))
    for process in at_work:
        process.wait()


def _fitting_torch(python):
    """The version of torch in another Python when the course can use it, else None."""
    version = installers.installed_in(python, "torch")
    line = next(line for line in requirements.declared() if line.startswith("torch"))
    return version if version and requirements.fits(line, version) else None


def missing(extras=(), root=ROOT, report=print):
    """Install what this Python lacks and nothing else; torch, numpy and transformers stay as they are.

    Where transformers is too old on Colab or Kaggle, a newer one goes beside it, in a folder that is looked into first.

    Raises:
        SetupError: one of those three is there in a version that the course cannot use; or installing failed.
    """
    requirements.use_shadow()
    lacking = requirements.unmet(extras, root)
    beside = [state for state in lacking if state.name in SHADOWED and state.installed and folders.host() != "local"]
    lacking = [state for state in lacking if state not in beside]
    refuse_replacing(lacking)
    if lacking:
        report(f"Installing what this Python lacks: {', '.join(state.requirement for state in lacking)}")
        pins = {name: requirements.installed_version(name) for name in KEPT}
        pins = {name: version for name, version in pins.items() if version}
        targets = [state.requirement for state in lacking if state.name != "torch"]
        _install_tested(targets, root, constraints("", pins), report, torch=pins.get("torch"))
    if beside:
        came = ", ".join(f"{state.requirement} beside {state.installed}" for state in beside)
        report(f"Putting into a folder of its own, so that nothing here is replaced: {came}")
        _shadow(beside, root)


def _install_tested(targets, root, pins, report, *, torch):
    """Install requirements in the tested versions, or in any of their ranges where those do not fit what stays here."""
    python = Path(sys.executable)
    try:
        return _install(python, requirements.tested(targets, root), pins, report, torch=torch)
    except SetupError:
        report("  WARNING: the tested versions do not fit this machine; the newest that do are taken.")
    return _install(python, targets, pins, report, torch=torch)


def _shadow(lacking, root):
    """Put packages into requirements.SHADOW, and with them what they need newer than this Python has it.

    Args:
        lacking: list of requirements.Unmet.
        root: see requirements.tested.
    """
    folder = requirements.SHADOW
    half = folder.with_name(folder.name + "-half")
    shutil.rmtree(half, ignore_errors=True)
    pip = [*installers.pip_command(sys.executable), "--no-deps", "--upgrade", "--target", str(half)]
    while lacking:
        refuse_replacing([state for state in lacking if state.name not in SHADOWED])
        wanted = requirements.tested([state.requirement for state in lacking], root)
        installers.call([*pip, *wanted], f"Newer packages could not be fetched: {', '.join(wanted)}.")
        lacking = requirements.unmet_in(half)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(half, folder)  # at once, so that half of it is never found
    requirements.use_shadow()


def refuse_replacing(lacking):
    """Raise SetupError when a package that must stay is among those whose version does not fit.

    Args:
        lacking: list of requirements.Unmet.
    """
    wrong = [state for state in lacking if state.name in KEPT and state.installed]
    if wrong:
        came = ", ".join(f"{state.name} {state.installed}" for state in wrong)
        raise SetupError(
            f"This machine has {came}; the course needs {', '.join(state.requirement for state in wrong)}.\n"
            "It is not replaced, since what else is installed here may depend on it.\n"
            "On Colab choose the newest runtime version, on Kaggle the newest environment; elsewhere use an "
            "environment of its own (python -m course_utils setup in a clone makes one)."
        )


def _install(python, targets, pins, report, *, torch=None, again=False):
    """Try one way after the other until everything is there.

    Args:
        targets: what to install besides torch, as words of a pip command.
        pins: text of a constraints file.
        torch: the version that is there and stays, None without one.
    """
    with tempfile.TemporaryDirectory(prefix="course-setup-") as folder:
        pinned = Path(folder) / "constraints.txt"
        pinned.write_text(pins, encoding="utf-8")
        backend, version = (None, torch) if torch else _choose_torch(python, pinned, report)
        settings = installers.settings_for_uv(python)
        uv = None if settings is None else installers.find_uv(python, pinned, Path(folder))
        ways = installers.attempts(backend, version, uv is not None)
        for position, (installer, words) in enumerate(ways):
            started = time.perf_counter()
            report(f"  packages, by {installer} …")
            if installer == "uv":
                command = installers.uv_command(uv, python, settings[0]) + ["--reinstall"] * again
                environment = {**os.environ, **settings[1]}
            else:
                command, environment = installers.pip_command(python) + ["--force-reinstall"] * again, None
            command += ["--constraint", str(pinned), *words, *targets]
            if position == len(ways) - 1:
                installers.call(command, "The packages could not be installed.")
            elif subprocess.run(command, env=environment).returncode:
                report(f"  WARNING: {installers.fall_back_in_words(backend, ways[position + 1][0], words)}")
                continue
            report(f"  packages, by {installer}: {time.perf_counter() - started:.0f} s")
            return


def _choose_torch(python, pinned, report):
    """(backend, version): which build of torch to ask for, see installers."""
    requirement = next(line for line in requirements.declared() if line.startswith("torch"))
    version = installers.pip_would_take(python, pinned, requirement)
    backend = installers.torch_backend(platform.system(), installers.has_nvidia(), version)
    build = {"cpu": "a build without CUDA", "auto": "a build that this NVIDIA driver runs"}.get(backend, "pip's choice")
    report(f"  torch {version or '(version unknown)'}: {build}")
    return backend, version
