"""Small lists of results kept as JSON: read, or changed under a lock and put in place by one rename."""

import json
from pathlib import Path

from course_utils import files


class RecordError(files.AssetError, ValueError):
    """A file of results cannot be read, or what is to be written is no result. The message says which."""


def read(path, fields=()):
    """The records of a file, a list of dicts; no file means no records.

    Args:
        path: the file.
        fields: keys that each record must have.

    Raises:
        RecordError: the file is not a JSON list of such records. Says which, and that deleting it starts a new one.
    """
    path = Path(path)
    if not path.exists():
        return []
    records = None
    try:
        records, problem = json.loads(path.read_text(encoding="utf-8")), "it holds something else"
    except RecursionError:
        problem = "it is nested too deeply"
    except (ValueError, IsADirectoryError, PermissionError) as error:  # no JSON, no text, or no file
        problem = "it is a folder" if path.is_dir() else str(error)
    if isinstance(records, list):
        odd = [
            n for n, record in enumerate(records) if not isinstance(record, dict) or not set(fields) <= record.keys()
        ]
        if not odd:
            return records
        problem = f"record {odd[0]} is no dictionary with {', '.join(fields) or 'named values'}"
    raise RecordError(
        f"Expected a JSON list in {path}: {problem}.\n"
        "Was it edited by hand, or copied only in part? Delete the file and run again; a new one is written."
    )


def write(path, records):
    """Put the records into the file. A reader, or a process killed meanwhile, meets the old list or the new one."""
    path = Path(path)
    try:  # NaN is no JSON: a measurement must be a number or null, so that any reader of the file can parse it
        text = json.dumps(records, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise RecordError(
            f"What goes into {path.name} is no JSON: {error}. Expected texts, and finite numbers of Python's own "
            "(write tensor.item()); nothing was written."
        ) from error
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace_text(path, text)


def update(path, change):
    """Replace the file's records by change(records); two processes at once lose nothing of each other's.

    Returns:
        The new records.
    """
    path = Path(path)
    with _explained(path), files.locked(path.parent, report=lambda line: None):
        records = change(read(path))
        write(path, records)
    return records


def _explained(path):
    """A full disk, or one that can only be read, in one message that names the variable to set."""
    return files.explained(f"Writing {path.name}", path.parent, "COURSE_RUNS or COURSE_RESULTS")


def replace(path, record, *, keys=("notebook", "id")):
    """Store a record in the place of the one with the same keys, or at the end."""

    def change(records):
        same = [all(old.get(key) == record[key] for key in keys) for old in records]
        if not any(same):
            return [*records, record]
        return [record if hit else old for old, hit in zip(records, same, strict=True)]

    return update(path, change)
