"""Checkpoints that survive: a process may be killed at any moment, a file damaged, a disk full, and training goes on.

A checkpoint is a folder `step-00000040-1f0c…`. Saving writes a folder with another name, syncs every file, adds
`manifest.json` with the SHA-256 of each file, and renames the folder last: a checkpoint is there whole or not at all.
The folder's name ends in the manifest's own hash, so that a bit flipped anywhere is noticed, in the manifest too.

Loading verifies every byte first, and the name's step against the one inside. A damaged checkpoint is set aside with
one line and the one before it is used; one that was renamed gets its own name back, a copy is put aside.
Tensors are safetensors and the rest is JSON: nothing is unpickled, so a checkpoint cannot run code.
"""

import contextlib
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from course_utils import files

KEEP = 2
MANIFEST, PROGRESS = "manifest.json", "progress.json"
_SAVING, _DAMAGED, _STEP, _COPY, _MOVED = ".saving-", "damaged-", "step-", "copy-", "moved-"


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or used; the message says what remains and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """One verified checkpoint on disk."""

    step: int
    path: Path

    def tensors(self, name):
        """The tensors of `name`.safetensors by name, on the CPU, independent of the file."""
        return {key: value.clone() for key, value in load_file(self.path / f"{name}.safetensors").items()}

    def document(self, name):
        """The content of `name`.json."""
        return json.loads((self.path / f"{name}.json").read_text(encoding="utf-8"))

    def text(self, name):
        """The content of the text file `name`."""
        return (self.path / name).read_text(encoding="utf-8")


def save(folder, step, *, tensors, documents, texts=None, keep=KEEP):
    """Write the checkpoint of one step, whole or not at all, and drop the oldest ones.

    Args:
        folder: where the checkpoints of one run live.
        step: optimizer steps done.
        tensors: {file stem: {name: tensor}}, each written as safetensors.
        documents: {file stem: value}, each written as JSON; {"progress": {"step": …}} must be among them.
        texts: {file name: str}, written as they are.
        keep: how many of the newest checkpoints remain.

    Returns:
        The Checkpoint.

    Raises:
        CheckpointError: the disk is full; the checkpoints before this one are untouched.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    clear_unfinished(folder)
    unfinished = folder / f"{_SAVING}{step:08d}"
    try:
        unfinished.mkdir()
        digest = _write_files(unfinished, tensors, documents, texts or {})
        target = folder / f"{_STEP}{step:08d}-{digest[:16]}"
        if target.exists():  # the same step again, after a damaged copy was found or a kill came before the pruning
            shutil.rmtree(target)
        unfinished.rename(target)
        files.sync(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise _write_error(error, folder, step, tensors) from error
    _prune(folder, keep)
    return Checkpoint(step, target)


def newest(folder, *, say=print):
    """The newest checkpoint whose every byte is as it was written, or None.

    Each damaged one on the way is renamed to `damaged-…` and reported in one line; the next save removes it.
    """
    _put_names_right(Path(folder), say)
    candidates = _listed(folder)
    for position, (step, path) in enumerate(candidates):
        fault = find_fault(path)
        if fault is None:
            return Checkpoint(step, path)
        older = [other for other, _ in candidates[position + 1 :]]
        onward = f"trying the one of step {older[0]}" if older else "no older one is left, starting from step 0"
        say(f"The checkpoint of step {step} is damaged ({fault}); {onward}.")
        _set_aside(path)
    return None


def find_fault(path):
    """What is wrong with a checkpoint folder, in a few words, or None when name and every byte are as written."""
    path = Path(path)
    fault = _content_fault(path)
    manifest = path / MANIFEST
    if manifest.is_file() and _digest(path) != path.name.rpartition("-")[2]:
        return f"{MANIFEST} is not what was written"
    if fault is None and _true_name(path) != path.name:
        return f"it holds step {_step_inside(path)}"
    return fault


def _content_fault(path):
    """What is wrong with the files of a checkpoint, whatever its folder is called."""
    try:
        written = json.loads((path / MANIFEST).read_bytes())
        entries = [(name, entry["bytes"], entry["sha256"]) for name, entry in written.items()]
    except OSError:
        return f"{MANIFEST} is missing"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is not what was written"
    for name, bytes_written, hash_written in entries:
        try:
            size = (path / name).stat().st_size
            digest = files.sha256(path / name)
        except OSError:
            return f"{name} is missing"
        if size != bytes_written:
            return f"{name} has {size:,} of {bytes_written:,} bytes"
        if digest != hash_written:
            return f"{name} is not what was written"
    return None


def _put_names_right(folder, say):
    """Give whole checkpoints that were renamed their own names back; put copies aside. One line each."""
    found = [path for path in sorted(folder.glob("*-*")) if path.name.startswith((_STEP, _MOVED)) and path.is_dir()]
    # reading two small files tells; every byte of the others is read only by who uses them
    wrong = [(path, name) for path in found if (name := _true_name(path)) and name != path.name]
    moved = []
    with contextlib.suppress(OSError):  # a share that is read-only: `newest` passes over them
        for path, name in [pair for pair in wrong if _content_fault(pair[0]) is None]:
            aside = path.with_name(f"{_MOVED}{path.name.removeprefix(_MOVED)}")  # two may have each other's name
            path.rename(aside)
            moved.append((path.name, aside, path.with_name(name), _step_inside(aside)))
        for old, aside, target, step in moved:
            there = target.exists() and find_fault(target) is None
            if target.exists() and not there:
                _set_aside(target)
            shutil.rmtree(target.with_name(_COPY + old), ignore_errors=True)  # of an earlier time
            aside.rename(target.with_name(_COPY + old) if there else target)
            fate = f"a copy, now called {_COPY + old}, which no run needs" if there else "it has its own name back"
            say(f"The checkpoint folder {old} holds step {step}: {fate}.")


def _true_name(path):
    """The name that a checkpoint was given when it was written, by its manifest and its progress; None without them."""
    try:
        return f"{_STEP}{_step_inside(path):08d}-{_digest(path)}"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _step_inside(path):
    return json.loads((path / PROGRESS).read_bytes())["step"]


def _digest(path):
    return hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()[:16]


def steps(folder):
    """The steps of the checkpoints in a folder, newest first, unverified."""
    return [step for step, _ in _listed(folder)]


def clear_unfinished(folder):
    """Remove what a killed save left behind."""
    for path in Path(folder).glob(f"{_SAVING}*"):
        shutil.rmtree(path, ignore_errors=True)


def _write_files(folder, tensors, documents, texts):
    """Write and sync all files; returns the manifest's SHA-256."""
    for name, named in tensors.items():
        contiguous = {key: value.detach().cpu().contiguous() for key, value in named.items()}
        save_file(contiguous, folder / f"{name}.safetensors")
    contents = {f"{name}.json": to_json(value) for name, value in documents.items()} | texts
    for name, content in contents.items():
        (folder / name).write_bytes(content.encode("utf-8"))
    manifest = {}
    for path in sorted(folder.iterdir()):
        files.sync(path)
        manifest[path.name] = {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
    written = to_json(manifest).encode("utf-8")
    (folder / MANIFEST).write_bytes(written)
    files.sync(folder / MANIFEST)
    files.sync(folder)
    return hashlib.sha256(written).hexdigest()


def to_json(value):
    """JSON with sorted keys: equal values give equal bytes. Floats keep every digit."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)


def _listed(folder):
    """(step, path) of the checkpoints in a folder, newest first."""
    found = []
    for path in Path(folder).glob(f"{_STEP}*-*"):
        number = path.name.split("-")[1]
        if path.is_dir() and number.isdigit():
            found.append((int(number), path.stat().st_mtime_ns, path))
    return [(step, path) for step, _, path in sorted(found, reverse=True)]


def _set_aside(path):
    target = path.with_name(_DAMAGED + path.name)
    shutil.rmtree(target, ignore_errors=True)
    try:
        path.rename(target)
    except OSError:
        return  # a share that is read-only: the next run will notice the same damage


def _prune(folder, keep):
    for path in [path for _, path in _listed(folder)[keep:]] + list(folder.glob(f"{_DAMAGED}*")):
        shutil.rmtree(path, ignore_errors=True)


def _write_error(error, folder, step, tensors):
    """The error for a failed write: what was needed, what is there, what is kept, what to do."""
    full = getattr(error, "errno", None) in files.DISK_FULL or "os error 28" in str(error)
    needed = sum(value.numel() * value.element_size() for named in tensors.values() for value in named.values())
    kept = steps(folder)
    remains = f"The checkpoint of step {kept[0]} is whole and kept." if kept else "There is no earlier checkpoint."
    if not full:
        return CheckpointError(f"The checkpoint of step {step} could not be written to {folder}: {error}. {remains}")
    free = shutil.disk_usage(folder).free
    return CheckpointError(
        f"The disk is full: the checkpoint of step {step} needs {files.human_size(needed)}, "
        f"{files.human_size(free)} is free in {folder}. {remains}\n"
        "Free some space, then run the same again: it goes on from there. COURSE_RUNS names a folder on another disk."
    )


def fingerprint(*values):
    """SHA-256, 16 hex digits, of tensors, arrays, bytes or anything that JSON can hold."""
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
            digest.update(memoryview(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()))
        else:
            digest.update(value if isinstance(value, bytes) else to_json(value).encode("utf-8"))
    return digest.hexdigest()[:16]
