"""`python -m course_utils bundle`: packs the course into one file, for Colab, a Kaggle dataset or a class.

The zip holds the notebooks and, beside them, the package as a wheel, which the first cell of each notebook finds. It
takes seconds, needs no network and no installed package, and the same sources give the same bytes.
"""

import argparse
import base64
import hashlib
import os
import tomllib
import zipfile
from pathlib import Path

from course_utils.setup.installers import SetupError

ROOT = Path(__file__).resolve().parents[2]


def main(argv=None):
    """Pack, and say what to do with the result.

    Returns:
        The exit status, 0.
    """
    parser = argparse.ArgumentParser(prog="python -m course_utils bundle", description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="a folder; dist/ by default")
    folder = parser.parse_args(argv).output
    wheel = build_wheel(folder)
    bundle = pack(wheel, folder / "from-lm-to-llm.zip")
    print(f"{wheel}\n{bundle}")
    print("A class gets the zip. Kaggle: add it as a dataset. Colab: open a notebook, upload the .whl to its files.")
    return 0


def build_wheel(folder, root=ROOT):
    """Write the package's wheel into `folder`. It is Python alone, so nothing has to be built, by no tool.

    Beside the modules it holds the long experiments' results and the tested versions, for a notebook opened alone.

    Returns:
        The wheel's path.

    Raises:
        SetupError: pyproject.toml cannot be read.
    """
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError) as error:
        raise SetupError(f"{root / 'pyproject.toml'} does not say what the package is ({error!r}).") from error
    stem = f"{project['name'].replace('-', '_')}-{project['version']}"
    files = {path.relative_to(root).as_posix(): path for path in sorted((root / "course_utils").rglob("*.py"))}
    files |= {f"course_utils/reference/{p.name}": p for p in sorted((root / "notebooks/reference").glob("*.json"))}
    files |= {"course_utils/constraints.txt": root / "constraints.txt"}
    files |= {f"{stem}.dist-info/licenses/LICENSE": root / "LICENSE"}
    members = {name: path.read_bytes() for name, path in files.items()}
    members[f"{stem}.dist-info/METADATA"] = metadata(project, root).encode()
    members[f"{stem}.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    members[f"{stem}.dist-info/RECORD"] = record(members, f"{stem}.dist-info/RECORD").encode()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("from_lm_to_llm-*.whl"):
        old.unlink()
    return _zipped(folder / f"{stem}-py3-none-any.whl", members)


def metadata(project, root=ROOT):
    """The METADATA of the wheel, as the core metadata specification 2.4 lays it down, from pyproject's [project]."""
    needs = [*project["dependencies"]]
    for extra, lines in project["optional-dependencies"].items():
        for name, _, marker in (line.partition(";") for line in lines):
            needs.append(f"{name}; {f'({marker.strip()}) and ' if marker else ''}extra == '{extra}'")
    fields = {"Metadata-Version": "2.4", "Name": project["name"], "Version": project["version"]}
    fields |= {"Summary": project["description"], "Requires-Python": project["requires-python"]}
    fields |= {"License-Expression": project["license"], "License-File": "LICENSE"}
    lines = [f"{name}: {value}" for name, value in fields.items()]
    lines += [f"Provides-Extra: {extra}" for extra in project["optional-dependencies"]]
    lines += [f"Requires-Dist: {need}" for need in needs]
    return "\n".join([*lines, "Description-Content-Type: text/markdown", "", (root / "README.md").read_text("utf-8")])


def record(members, own):
    """The RECORD of a wheel: a line with hash and size for each file, and one without for itself, at `own`."""
    lines = []
    for name, content in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    return "\n".join([*lines, f"{own},,", ""])


def _zipped(target, members):
    """A zip of {name: bytes}, the same for the same members; an older file of that name is replaced in one step."""
    half = target.with_suffix(".part")
    with zipfile.ZipFile(half, "w") as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)  # of 1980
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    os.replace(half, target)
    return target


def pack(wheel, target, root=ROOT):
    """Zip the wheel and the notebooks, side by side, without the copies that a run leaves.

    Args:
        wheel: path of the wheel.
        target: path of the zip; an older one is replaced in one step.

    Returns:
        target.
    """
    home = root / "notebooks"
    found = [*home.glob("*.ipynb"), *(path for path in (home / "reference").rglob("*") if path.is_file())]
    entries = {wheel.name: wheel} | {path.relative_to(home).as_posix(): path for path in sorted(found)}
    return _zipped(target, {name: path.read_bytes() for name, path in entries.items()})
