"""The one decision about device, number format, sizes, threads and seed, made once and printed with its reasons.

    COURSE_TIER     cpu, gpu-16gb, gpu-24gb, gpu-80gb; default: what the device's memory allows
    COURSE_SEED     a whole number, default 0
    COURSE_MODEL    a hub id or a folder; default: the model that the course brings along
    COURSE_CHAT_MODEL  the same for the instruct model of 06 and 17
    COURSE_HOME     assets and models     COURSE_RUNS  checkpoints     COURSE_RESULTS  reported figures (see folders)
    COURSE_OFFLINE  1 forbids every use of the Hugging Face hub
    COURSE_RECORDED 1 shows what was saved instead of running long cells (setup/recorded)
    OMP_NUM_THREADS is respected

Call start() before transformers or datasets is imported: they read the hub's settings when they are imported.
"""

import logging
import os
import random
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from course_utils import devices, machine
from course_utils.devices import TIERS
from course_utils.folders import KEEP, home, home_is_shared, host, own, results, runs, settle, survival

if TYPE_CHECKING:
    import torch

__all__ = ["TIERS", "Run", "check_settings", "current", "home", "is_hub_id", "results", "runs", "start"]

_SEEDS = 2**32  # numpy takes no larger seed
# Engines of quantized models: transformers and peft import what is installed, and these remark on what they lack
LOUD = ("bitsandbytes", "torchao", "torch.utils._pytree")
OLDEST_TORCHAO = (0, 18)  # that the course is tested beside
_started = None


BUSY = 0.3  # share of the last ten seconds in which something waited for a core


@dataclass(frozen=True)
class Run:
    """Everything that start() decided.

    tier: the sizes, one of TIERS.
    device: "cpu", "cuda" or "mps".
    dtype: torch.dtype of the weights.
    autocast: torch.dtype of the matrix products where it is another, else None.
    grad_scaler: whether gradients must be scaled, as fp16 needs.
    attention: implementation for transformers, "sdpa" or "eager".
    threads: that torch computes with.
    seed: that python, numpy and torch were seeded with.
    home, runs, results: see the module folders.
    persistent: whether runs is still there when this machine is gone.
    reasons: the printed lines.
    """

    tier: str
    device: str
    dtype: "torch.dtype"
    autocast: "torch.dtype | None"
    grad_scaler: bool
    attention: str
    threads: int
    seed: int
    home: Path
    runs: Path
    results: Path
    persistent: bool
    reasons: tuple[str, ...]

    def __post_init__(self):
        if self.tier not in TIERS:
            raise ValueError(f"Run has tier {self.tier!r}; expected one of {', '.join(TIERS)}.")


def _whole_number(name, default, smallest, largest):
    """The environment variable as an int within bounds. Raises ValueError with the fix otherwise."""
    value = os.environ.get(name, "").strip() or str(default)
    if not re.fullmatch("[0-9]{1,10}", value) or not smallest <= int(value) <= largest:
        raise ValueError(
            f"{name} is {value!r}; expected a whole number from {smallest} to {largest}. Unset it for {default}."
        )
    return int(value)


def _seed():
    return _whole_number("COURSE_SEED", 0, 0, _SEEDS - 1)


def _offline():
    value = os.environ.get("COURSE_OFFLINE", "").strip()
    if value not in ("", "0", "1"):
        raise ValueError(f"COURSE_OFFLINE is {value!r}; expected 1 (no use of the hub) or 0. Unset it for 0.")
    return value == "1"


def _threads():
    """(threads, reason). OMP_NUM_THREADS may be a list, one number for each nested level: the first counts."""
    asked = os.environ.get("OMP_NUM_THREADS", "").strip()
    if re.fullmatch(r"[1-9][0-9]{0,2}( *, *[1-9][0-9]{0,2})*", asked):
        return int(asked.split(",")[0]), "asked by OMP_NUM_THREADS"
    if asked:
        raise ValueError(
            f"OMP_NUM_THREADS is {asked!r}; expected a whole number from 1 to 999. Unset it for all physical cores."
        )
    return machine.physical_cores(), "physical cores this process may use"


def is_hub_id(model):
    """True for a name on the Hugging Face hub ("google/gemma-3-270m"), False for a folder, None or ""."""
    if not model or os.path.exists(own(model, "COURSE_MODEL")):
        return False
    return re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", model) is not None


def _set_hub_environment():
    """Set the hub's variables; return the line that says so."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # silences a warning at each fork of a data loader
    asked = {name: os.environ.get(name, "").strip() for name in ("COURSE_MODEL", "COURSE_CHAT_MODEL")}
    there = [f"{name}={model}" for name, model in asked.items() if is_hub_id(model)]
    if _offline():
        os.environ["HF_HUB_OFFLINE"] = "1"
        line = "off – COURSE_OFFLINE=1"
    elif there:
        line = f"on – {' and '.join(there)} live{'s' if len(there) == 1 else ''} there; telemetry is off"
    else:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        on = os.environ["HF_HUB_OFFLINE"].upper() not in ("1", "TRUE", "YES", "ON")
        line = "on – asked by HF_HUB_OFFLINE; telemetry is off" if on else "off – model and data need none"
    constants = sys.modules.get("huggingface_hub.constants")
    if line.startswith("off") and constants is not None and not constants.HF_HUB_OFFLINE:
        line += ", but transformers was imported first and stays online: call start() earlier"
    return line


def leave_out_old_torchao():
    """Make a torchao that is too old count as not installed, and say so; None where there is none such.

    peft stops every LoRA that it meets beside one (Colab brings 0.10), though no layer of ours is a torchao layer.
    """
    try:
        version = metadata.version("torchao")
    except metadata.PackageNotFoundError:
        return None
    if tuple(map(int, re.findall(r"\d+", version)[:2])) >= OLDEST_TORCHAO:
        return None
    sys.modules["torchao"] = None  # Python's own way to say that there is no such module
    return (
        f"{version} is older than {'.'.join(map(str, OLDEST_TORCHAO))} and is left out: peft refuses to work beside it"
    )


def _places():
    """(survives, line)."""
    kept = runs()
    survives, why = survival(kept)
    line = f"{kept} – {why}" + ("" if survives else f"; {KEEP[host()]}")
    if home_is_shared():
        line += f"; COURSE_HOME {home()} can only be read, so it gives model and data alone"
    return survives, line


def _seed_all(torch, seed):
    random.seed(seed)
    torch.manual_seed(seed)
    try:
        import numpy
    except ImportError:  # the doctor says it
        return
    numpy.random.seed(seed)


def check_settings():
    """Read the variables that need no torch, so that a slip is told at once: (tier asked for, seed, threads, why).

    Raises:
        ValueError: one of them holds what it cannot mean.
    """
    asked = os.environ.get("COURSE_TIER", "").strip()
    devices.choose_tier(devices.Device("cpu"), asked)
    _offline()
    return asked, _seed(), *_threads()


def _decide(asked, seed, threads, threads_reason, hub):
    """The Run for this machine. Raises UnsupportedDevice when its GPU cannot run the course."""
    import torch

    device = devices.probe()
    precision = devices.choose_precision(device)
    tier, tier_reason = devices.choose_tier(device, asked)
    attention, attention_reason = devices.choose_attention(device)
    survives, places = _places()
    lines = {
        "tier": f"{tier} – {tier_reason}",
        "device": f"{device.kind}, {threads} threads – {device.name or 'unnamed'}; {threads_reason}",
        "dtype": str(precision),
        "attention": f"{attention} – {attention_reason}",
        "seed": f"{seed} – for python, numpy and torch; COURSE_SEED changes it",
        "hub": hub,
        "runs": places,
        "torchao": leave_out_old_torchao(),
        "note": " ".join(devices.several_gpus(device) or ()),
        "busy": _busy(),
    }
    return Run(
        tier=tier,
        device=device.kind,
        dtype=getattr(torch, precision.dtype),
        autocast=getattr(torch, precision.autocast) if precision.autocast else None,
        grad_scaler=precision.grad_scaler,
        attention=attention,
        threads=threads,
        seed=seed,
        home=home(),
        runs=runs(),
        results=results(),
        persistent=survives,
        reasons=tuple(f"{name:<9} {line}" for name, line in lines.items() if line),
    )


def _busy():
    """What to say where other programs take the cores; None where they do not, or the system cannot tell."""
    share = machine.waiting_share() or 0
    if share < BUSY:
        return None
    return f"in {share:.0%} of the last ten seconds a program waited for a core: close others, or expect longer minutes"


def start(*, quiet=False):
    """Decide, seed, set threads and the hub's variables, print each choice with its reason, and remember the Run.

    Calling it again reads the environment anew and seeds again.

    Args:
        quiet: print nothing.

    Returns:
        The Run.

    Raises:
        ValueError: an environment variable holds what it cannot mean.
        folders.PlaceError: no folder for runs can be written.
        UnsupportedDevice: the GPU cannot run the course.
    """
    global _started
    settle()
    settings = check_settings()
    for library in LOUD:
        logging.getLogger(library).setLevel(logging.ERROR)
    hub = _set_hub_environment()
    run = _decide(*settings, hub)
    import torch

    torch.set_num_threads(run.threads)
    _seed_all(torch, run.seed)
    if not quiet:
        print(*run.reasons, sep="\n")
    _started = run
    return run


def current():
    """The Run that was started; starts one quietly when there is none."""
    return _started or start(quiet=True)
