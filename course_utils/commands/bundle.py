"""`python -m course_utils bundle`: packs the course into one file, for Colab, a Kaggle dataset or a class.

The zip holds the notebooks and, beside them, the package as a wheel, which the first cell of each notebook finds. It
takes seconds, needs no network and no installed package, and the same sources give the same bytes.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import tomllib
import zipfile
from pathlib import Path

from course_utils import files, folders
from course_utils.setup.first_cell import first_cell
from course_utils.setup.installers import SetupError

ROOT = Path(__file__).resolve().parents[2]
LINKS = re.compile(r"(?<=<!-- links -->\n).*(?=<!-- end of links -->)", re.DOTALL)  # in README
UNPUBLISHED = (
    "The course has no address yet: `make bundle` makes the zip in three seconds, a lecturer hands it round.\n"
)
BADGES = {
    "Colab": "https://colab.research.google.com/assets/colab-badge.svg",
    "Kaggle": "https://kaggle.com/static/images/open-in-kaggle.svg",
}


def main(argv=None):
    """Pack, and say what to do with the result.

    Returns:
        The exit status, 0.

    Raises:
        SetupError: the folder cannot be written, or the wheel not be built.
    """
    parser = argparse.ArgumentParser(prog="python -m course_utils bundle", description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="a folder; dist/ by default")
    parser.add_argument(
        "--stamp", action="store_true", help="only write the course's address into README and notebooks"
    )
    options = parser.parse_args(argv)
    folder = options.output
    if options.stamp:
        return stamp()
    if not folders.writable(folder):
        raise SetupError(f"Nothing can be written in {folder}. Pass a folder of your own as --output.")
    wheel = build_wheel(folder)
    bundle = pack(wheel, folder / "from-lm-to-llm.zip")
    print(f"{wheel}\n{bundle}")
    print("A class gets the zip. The steps on Colab and on Kaggle stand in README, under Going on.")
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
    paths = {path.relative_to(root).as_posix(): path for path in sorted((root / "course_utils").rglob("*.py"))}
    paths |= {f"course_utils/reference/{p.name}": p for p in sorted((root / "notebooks/reference").glob("*.json"))}
    paths |= {"course_utils/constraints.txt": root / "constraints.txt"}
    paths |= {f"{stem}.dist-info/licenses/LICENSE": root / "LICENSE"}
    members = {name: path.read_bytes() for name, path in paths.items()}
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


def links(source, names):
    """What README says about where the course is to be had: the bundle's address, and badges that open a notebook.

    Args:
        source: [tool.course] source of pyproject, as "git+https://github.com/owner/name"; without one there are none.
        names: of the notebooks, without ".ipynb".
    """
    found = re.fullmatch(r"git\+https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?(@[\w./-]+)?", source)
    if not found:
        return UNPUBLISHED
    home, kept = f"https://github.com/{found[1]}", (found[3] or "@main")[1:]
    zip_file = f"{home}/releases/latest/download/from-lm-to-llm.zip"
    file = f"The zip: [from-lm-to-llm.zip]({zip_file}). Or open a notebook alone:\n\n"
    rows = []
    for name in names:
        places = {
            "Colab": f"https://colab.research.google.com/github/{found[1]}/blob/{kept}/notebooks/{name}.ipynb",
            "Kaggle": f"https://kaggle.com/kernels/welcome?src={home}/blob/{kept}/notebooks/{name}.ipynb",
        }
        badges = " ".join(f"[![{place}]({BADGES[place]})]({target})" for place, target in places.items())
        rows.append(f"- `{name}` {badges}\n")
    return file + "".join(rows)


def stamp(root=ROOT):
    """Write what follows from [tool.course] source into README and into the first cell of every notebook."""
    source = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["course"]["source"]
    notebooks, readme = sorted((root / "notebooks").glob("*.ipynb")), root / "README.md"
    text, block = readme.read_text(encoding="utf-8"), links(source, [path.stem for path in notebooks])
    files.replace_text(readme, LINKS.sub(lambda _: block, text))
    for path in notebooks:
        content = json.loads(path.read_text(encoding="utf-8"))
        first = next(cell for cell in content["cells"] if cell["cell_type"] == "code")
        first["source"] = first_cell(source).splitlines(keepends=True)
        files.replace_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return 0
