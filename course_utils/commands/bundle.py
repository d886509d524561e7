"""`python -m course_utils bundle`: packs the course into one file, for Colab, a Kaggle dataset or a class.

The zip holds the notebooks and, beside them, the package as a wheel, which the first cell of each notebook finds. It is
built without a network, and the same sources give the same bytes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from course_utils import folders
from course_utils.setup.installers import SetupError

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("course_utils", "pyproject.toml", "README.md")
EPOCH = 315532800  # 1980-01-01, the first moment that a zip can hold


def main(argv=None):
    """Pack, and say what to do with the result.

    Returns:
        The exit status, 0.

    Raises:
        SetupError: the folder cannot be written, or the wheel not be built.
    """
    parser = argparse.ArgumentParser(prog="python -m course_utils bundle", description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="a folder; dist/ by default")
    folder = parser.parse_args(argv).output
    if not folders.writable(folder):
        raise SetupError(f"Nothing can be written in {folder}. Pass a folder of your own as --output.")
    wheel = build_wheel(folder)
    bundle = pack(wheel, folder / "from-lm-to-llm.zip")
    print(f"{wheel}\n{bundle}")
    print("A class gets the zip. Kaggle: add it as a dataset. Colab: open a notebook, upload the .whl to its files.")
    return 0


def build_wheel(folder, root=ROOT):
    """Build the package's wheel into `folder`, from a copy, so that no leavings of other builds get into it.

    Returns:
        The wheel's path.

    Raises:
        SetupError: the build failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "course"
        copy.mkdir()
        for name in SOURCES:
            if (root / name).is_dir():
                shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(root / name, copy / name)
        if (root / "notebooks" / "reference").is_dir():  # a notebook opened alone finds the long experiments here
            shutil.copytree(root / "notebooks" / "reference", copy / "course_utils" / "reference")
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-build-isolation", "--no-index", "--wheel-dir", str(Path(place) / "wheel"), str(copy)]
        if subprocess.run(command, env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}).returncode:
            raise SetupError("The wheel could not be built; the lines above say why.")
        (built,) = (Path(place) / "wheel").glob("*.whl")
        for old in folder.glob("from_lm_to_llm-*.whl"):
            old.unlink()
        return Path(shutil.copy(built, folder))


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
    half = target.with_suffix(".part")
    with zipfile.ZipFile(half, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in entries.items():
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    os.replace(half, target)
    return target
