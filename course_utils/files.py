"""Writing files so that a reader never meets half of one: hash, lock, check the space, write beside, sync, rename."""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

CHUNK = 1 << 20  # bytes read or written at a time
MARGIN = 64 << 20  # bytes that must stay free on the disk
DISK_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}
WINDOWS_DISK_FULL = {39, 112}  # ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL


class AssetError(RuntimeError):
    """A file of the course cannot be had. The message says what came, what was expected and the fix."""


def sha256(path):
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def human_size(size):
    """1234567 → "1.2 MB"; decimal units, as shops and package indexes use them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def copy_stream(source, target):
    """Copy a readable binary file into a writable one, chunk by chunk."""
    shutil.copyfileobj(source, target, CHUNK)


def sync(path):
    """Push a file's or, where the system can, a folder's contents down to the disk."""
    if os.name == "nt" and Path(path).is_dir():
        return  # Windows cannot open a folder for this and writes its entries by itself
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network folders cannot sync; nothing to do there
            raise
    finally:
        os.close(handle)


def require_space(folder, needed, purpose):
    """Raise AssetError before work starts when the disk below `folder` has fewer than `needed` bytes to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + MARGIN:
        raise AssetError(
            f"{purpose} needs {human_size(needed + MARGIN)} on the disk of {folder}, and {human_size(free)} is free.\n"
            "Free some space, or set COURSE_HOME to a folder on a larger disk, and run the same command again."
        )


def _is_disk_full(error):
    """True for a full disk, said by Python, or in words by safetensors and tokenizers, which are written in Rust."""
    if isinstance(error, OSError):
        return error.errno in DISK_FULL or getattr(error, "winerror", None) in WINDOWS_DISK_FULL
    return any(f"(os error {number})" in str(error) for number in (DISK_FULL if os.name != "nt" else WINDOWS_DISK_FULL))


@contextlib.contextmanager
def explained(purpose, folder):
    """Turn a full disk or a folder that may not be written, met inside the block, into one AssetError."""
    try:
        yield
    except Exception as error:
        if _is_disk_full(error):
            raise AssetError(
                f"{purpose} stopped: the disk of {folder} is full. What was half written is removed.\n"
                "Free some space, or set COURSE_HOME to a folder on a larger disk, and run the same command again."
            ) from error
        if isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS:
            raise AssetError(
                f"{purpose} stopped: {getattr(error, 'filename', None) or folder} cannot be written.\n"
                "Set COURSE_HOME to a folder of your own; a folder shared read-only must be filled by who shares it "
                "(python -m course_utils assets export FOLDER)."
            ) from error
        raise


def _try_lock(file):
    """Take the lock without waiting. False when another process has it; True also where a file system has no locks."""
    if os.name == "nt":
        import msvcrt

        with contextlib.suppress(OSError):
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            return True
        return False
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS):
            raise
    return True  # where a file system has no locks, the final rename alone keeps files whole


@contextlib.contextmanager
def locked(folder, report=print):
    """Let one process at a time into the block. The system frees the lock when its holder dies, however it dies."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+b") as file:
        if not _try_lock(file):
            report(f"Another process is filling {folder}; waiting for it.")
            while not _try_lock(file):
                time.sleep(0.2)
        yield  # closing the file frees the lock


@contextlib.contextmanager
def temporary_sibling(target):
    """A fresh folder beside `target` to fill; it becomes `target` in one rename, or is removed when the block fails."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".tmp-{target.name}-", dir=target.parent))
    try:
        yield folder
        for path in [*folder.rglob("*"), folder]:
            # temporary folders and what safetensors writes are private, and a class must read them
            with contextlib.suppress(OSError):  # a mounted Drive may know no permissions
                path.chmod(0o755 if path.is_dir() else 0o644)
            sync(path)
        if target.exists():  # only ever a damaged copy: callers skip a good one
            shutil.rmtree(target)
        os.replace(folder, target)
        sync(target.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(folder):
    """Remove what a killed process left half written in `folder`. Call it with the lock held."""
    for path in Path(folder).glob(".tmp-*"):
        shutil.rmtree(path, ignore_errors=True)
