"""Writing files so that a reader never meets half of one: hash, lock, check the space, write beside, sync, rename."""

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

CHUNK = 1 << 20  # bytes read or written at a time
LEFT_OVER = 600  # seconds after which an unfinished small file belongs to nobody
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


def is_read_only(error):
    """True when an error says that something may be read but not written."""
    return isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS


@contextlib.contextmanager
def explained(purpose, folder, variable="COURSE_HOME", kind=AssetError):
    """Turn a full disk or a folder that may not be written, met inside the block, into one error.

    Args:
        purpose: what was being done, as the sentence begins.
        folder: where.
        variable: the one that puts it elsewhere.
        kind: the class of the error.
    """
    try:
        yield
    except Exception as error:
        if _is_disk_full(error):
            raise kind(
                f"{purpose} stopped: the disk of {folder} is full. What was half written is removed.\n"
                f"Free some space, or set {variable} to a folder on a larger disk, and run the same again."
            ) from error
        if is_read_only(error):
            shared = "; a folder shared read-only must be filled by who shares it "
            shared += "(python -m course_utils assets export FOLDER)"
            raise kind(
                f"{purpose} stopped: {getattr(error, 'filename', None) or folder} cannot be written.\n"
                f"Set {variable} to a folder of your own{shared if variable == 'COURSE_HOME' else ''}."
            ) from error
        raise


def replace_text(path, text):
    """`replace_bytes` with a text's UTF-8."""
    replace_bytes(path, text.encode("utf-8"))


def replace_bytes(path, content):
    """Put bytes into a file by one rename: a reader meets the old ones or the new, a failure leaves the old ones."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        sync(beside)
        os.replace(beside, path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    for left in path.parent.glob(f".{path.name}.*"):  # of a process that was killed meanwhile, or soon to be renamed
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFT_OVER:
                left.unlink()


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
    """Let one process at a time into the block. The system frees the lock when its holder dies, however it dies.

    A folder that can only be read needs no lock, and has none.
    """
    with _lock_file(Path(folder)) as file:
        if file and not _try_lock(file):
            report(f"Another process is filling {folder}; waiting for it.")
            if sys.stdout:
                sys.stdout.flush()  # what is redirected would hold the line back until the wait is over
            while not _try_lock(file):
                time.sleep(0.2)
        yield  # closing the file frees the lock


def _lock_file(folder):
    """The folder's lock, open; an empty context where the folder is there and can only be read."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return open(folder / ".lock", "a+b")
    except OSError as error:
        if is_read_only(error) and folder.is_dir():
            return contextlib.nullcontext()
        raise


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
