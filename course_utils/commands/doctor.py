"""`python -m course_utils doctor`: can this machine run the course? One line for each question, the remedy beside it.

It works when torch or another package is missing, since that is when it is needed. It changes nothing,
except that it makes the folder of runs when that is missing.
"""

import argparse
import contextlib
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata

import course_utils
from course_utils import devices, folders, machine, runtime
from course_utils.setup import requirements

STATES = ("OK", "WARN", "FAIL")
FREE_MEMORY = (2.5, 6)  # GiB: the base model trains in about 4, the largest notebooks in about 6
FREE_DISK = (2, 5)  # GiB: assets and the converted model need 1; the rest is for checkpoints
SETUP = "python -m course_utils setup"
FETCH = "python -m course_utils assets fetch"
IMAGE_PACKAGES = ("torch", "transformers", "numpy")  # a hosted machine brings them; replacing them there breaks it


@dataclass(frozen=True)
class Row:
    """One answer.

    check: what was looked at.
    state: one of STATES.
    found: what was found.
    remedy: what to do, "" when there is nothing to do.
    """

    check: str
    state: str
    found: str
    remedy: str = ""

    def __post_init__(self):
        if self.state not in STATES:
            raise ValueError(f"Row {self.check} has state {self.state!r}; expected one of {', '.join(STATES)}.")
        if self.state != "OK" and not self.remedy:
            raise ValueError(f"Row {self.check} is {self.state} without a remedy; say what to do.")

    def __str__(self):
        return f"{self.state:<4}  {self.check:<12}  {self.found}" + (f" → {self.remedy}" if self.remedy else "")


def _from_error(check, error, state="FAIL"):
    """A Row from an exception whose last sentence is the remedy, as this package's own are."""
    message = " ".join(str(error).split()) or type(error).__name__
    found, _, remedy = message.rpartition(". ")
    return Row(check, state, found or message, remedy if found else "Report this message with your machine's name")


def _level(value, bounds):
    """ "FAIL", "WARN" or "OK" as value lies below both, one or none of the two bounds; not a number is OK."""
    return "FAIL" if value < bounds[0] else "WARN" if value < bounds[1] else "OK"


def _install(package, bounds=""):
    """How to get a package within its range on this machine."""
    if folders.host() != "local" and package in IMAGE_PACKAGES:
        return {
            "colab": "Runtime → Disconnect and delete runtime, then connect again for the current image",
            "kaggle": "Settings → Environment → Always use latest environment, then restart",
        }[folders.host()]
    if folders.clone() and folders.host() == "local":
        return SETUP
    if package == "torch":
        return f'uv pip install --torch-backend=auto --reinstall "torch{bounds}"'
    return f'python -m pip install "{package}{bounds}"'


def _version_row(requirement):
    """The Row for a package, from packaging's Requirement. Newer than tested is a warning: most often it works."""
    name, wanted = requirement.name, requirement.specifier
    bounds = ",".join(sorted(map(str, wanted), reverse=True))  # ">=2.10,<3"
    remedy, version = _install(name, bounds), requirements.installed_version(name)
    if version is None:
        return Row(name, "FAIL", f"missing, needs {bounds}", remedy)
    if wanted.contains(version, prereleases=True):
        return Row(name, "OK", f"{version}, needs {bounds}")
    if all(bound.contains(version, prereleases=True) for bound in wanted if not bound.operator.startswith("<")):
        remedy = f'if it fails: python -m pip install "{name}{bounds}"'
        return Row(name, "WARN", f"{version}, newer than any that was tested; needs {bounds}", remedy)
    return Row(name, "FAIL", f"{version}, needs {bounds}", remedy)


def package_rows():
    """Rows for Python and each package that the course needs."""
    oldest, newest = course_utils.__pythons__
    bounds = ".".join(map(str, oldest)), ".".join(map(str, newest))
    found = f"{platform.python_version()}, needs {bounds[0]} to {bounds[1]}"
    fits = oldest <= sys.version_info[:2] <= newest
    remedy = "" if fits else f"make course PYTHON=python{bounds[1]}"
    rows = [Row("python", "OK" if fits else "FAIL", found, remedy)]
    try:
        return rows + [_version_row(requirements._parser()(line)) for line in requirements.declared()]
    except (metadata.PackageNotFoundError, ImportError) as error:
        unknown = f"ranges unknown: {type(error).__name__}: {error}"
        return [*rows, Row("packages", "WARN", unknown, "python -m pip install packaging, and the course itself")]


def _unused_gpu_rows():
    """A Row when the machine has an NVIDIA GPU that torch does not see, and nobody hid it."""
    driver = (folders.ROOT / "proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi")
    if not driver or "CUDA_VISIBLE_DEVICES" in os.environ:
        return []
    import torch

    build = torch.__version__
    why = "its driver does not answer or is too old" if torch.version.cuda else f"torch {build} is a CPU build"
    remedy = "uv pip install --torch-backend=auto --reinstall torch; if it stays, update the driver"
    return [Row("gpu", "WARN", f"an NVIDIA GPU is here but unused: {why}", remedy)]


def _gpu_memory_row():
    """How much of the GPU's memory is free: another notebook's kernel may hold it."""
    import torch

    free, total = (size / machine.GIB for size in torch.cuda.mem_get_info(0))
    found = f"{free:.1f} of {total:.1f} GiB free"
    if free < 0.8 * total:
        return Row("gpu memory", "WARN", found, "shut down other kernels; nvidia-smi shows who holds it")
    return Row("gpu memory", "OK", found)


def device_rows():
    """Rows for the device, whether this torch supports it, the number format and the tier."""
    try:
        device = devices.probe()
    except Exception as error:  # a broken install fails in any way; the doctor must say it, not fall over
        return [
            Row("device", "FAIL", f"unknown: torch does not start ({type(error).__name__}: {error})", _install("torch"))
        ]
    rows = [Row("device", "OK", f"{device.kind}: {device.name or 'unnamed'}")]
    refused = devices.refusal(device)
    if refused:
        return [*rows, Row("architecture", "FAIL", *refused)]
    shown = "{}.{}".format(*device.capability) if device.capability else device.kind
    rows.append(Row("architecture", "OK", f"{shown}, which this torch has code for"))
    rows.append(Row("dtype", "OK", str(devices.choose_precision(device))))
    with contextlib.suppress(ValueError):  # the row "settings" says it
        asked = os.environ.get("COURSE_TIER", "").strip()
        rows.append(Row("tier", "OK", " – ".join(devices.choose_tier(device, asked))))
    if devices.several_gpus(device):
        rows.append(Row("gpus", "WARN", *devices.several_gpus(device)))
    return rows + (_unused_gpu_rows() if device.kind == "cpu" else [_gpu_memory_row()] if device.kind == "cuda" else [])


def settings_rows():
    """A Row for the environment variables of the course."""
    try:
        runtime.check_settings()
    except ValueError as error:
        return [_from_error("settings", error)]
    names = [name for name in sorted(os.environ) if name.startswith("COURSE_") and os.environ[name]]
    return [Row("settings", "OK", ", ".join(f"{name}={os.environ[name]}" for name in names) or "all by default")]


def space_rows():
    """Rows for free memory, free disk and whether runs outlive this machine."""
    total, free = machine.memory_gib()
    state = _level(free, FREE_MEMORY)
    remedy = "" if state == "OK" else "close other programs and shut down other notebooks' kernels"
    rows = [Row("memory", state, f"{free:.1f} of {total:.1f} GiB free", remedy)]
    try:
        folder = folders.runs()
        free = shutil.disk_usage(folder).free / machine.GIB
    except (OSError, ValueError) as error:
        return [*rows, _from_error("runs", error)]
    state = _level(free, FREE_DISK)
    remedy = "" if state == "OK" else "free some space, or set COURSE_HOME to a folder on a larger disk"
    rows.append(Row("disk", state, f"{free:.1f} GiB free for {folder}", remedy))
    survives, why = folders.survival(folder)
    remedy = "" if survives else folders.KEEP[folders.host()]
    return [*rows, Row("runs", "OK" if survives else "WARN", f"{folder}: {why}", remedy)]


def asset_rows():
    """Rows for the pinned files and for the model that load_base() would take."""
    model = os.environ.get("COURSE_MODEL", "").strip()
    try:
        from course_utils import assets

        return [_asset_row(asset, model) for asset in assets.states()] + [_model_row(model)]
    except (OSError, ValueError) as error:  # no folder for them; the message has its own remedy
        return [_from_error("assets", error)]
    except Exception as error:  # whatever else is wrong there belongs into the table
        return [Row("assets", "FAIL", f"unknown ({type(error).__name__}: {error})", FETCH)]


def _asset_row(asset, model):
    found = f"{asset['megabytes']} MB, {asset['licence']}"
    if asset["present"]:
        return Row(asset["name"], "OK", found)
    if asset["name"] == "base-model" and model:
        return Row(asset["name"], "OK", "not fetched, and not needed while COURSE_MODEL names another")
    if asset["fetched_when_needed"]:
        return Row(asset["name"], "WARN", f"not fetched yet, its first use does it: {found}", asset["remedy"])
    return Row(asset["name"], "FAIL", f"not fetched: {found}", asset["remedy"])


def _model_row(model):
    if not model:
        from course_utils.models import base

        if base.is_prepared():
            return Row("model", "OK", "the course's own, converted")
        return Row("model", "WARN", "the course's own, not converted yet: its first use does it", FETCH)
    if not runtime.is_hub_id(model):
        if os.path.exists(os.path.expanduser(model)):
            return Row("model", "OK", f"COURSE_MODEL={model}, a folder here")
        remedy = "unset COURSE_MODEL for the course's own model, or correct the path"
        return Row("model", "FAIL", f"COURSE_MODEL={model} is neither a folder here nor a name on the hub", remedy)
    if os.environ.get("COURSE_OFFLINE", "").strip() == "1":
        remedy = "load it once without COURSE_OFFLINE, if that has not been done"
        return Row("model", "WARN", f"COURSE_MODEL={model} is on the hub, and COURSE_OFFLINE=1 forbids it", remedy)
    return Row("model", "OK", f"COURSE_MODEL={model}, from the hub; a gated one needs your token")


def rows():
    """All Rows, in the order in which they are printed."""
    return [*package_rows(), *settings_rows(), *device_rows(), *space_rows(), *asset_rows()]


def main(argv=None):
    """Print one line for each check. Returns the exit status: 1 when one is FAIL, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m course_utils doctor", description="Can this machine run the course?"
    )
    parser.parse_args(argv)
    found = rows()
    print(*found, sep="\n")
    counts = {state: sum(row.state == state for row in found) for state in STATES}
    print(f"\n{counts['FAIL']} FAIL, {counts['WARN']} WARN, {counts['OK']} OK. What stands after → is the remedy.")
    return 1 if counts["FAIL"] else 0
