"""The bundle holds the whole package and the notebooks, is built without a network, and is the same each time."""

import zipfile
from pathlib import Path

import pytest

from course_utils.commands import bundle

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return bundle.build_wheel(tmp_path_factory.mktemp("dist"))


def test_the_wheel_holds_every_module(wheel):
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "course_utils").rglob("*.py")}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    assert packed == modules


def test_it_is_the_same_each_time(wheel, tmp_path):
    assert bundle.build_wheel(tmp_path).read_bytes() == wheel.read_bytes()


def test_the_zip_has_the_notebooks_beside_the_wheel(wheel, tmp_path):
    home = tmp_path / "notebooks"
    for name in ("00_a.ipynb", "05_b.ipynb", "runs/05_b.ipynb", ".ipynb_checkpoints/00_a.ipynb", "reference/x/y.json"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    target = bundle.pack(wheel, tmp_path / "course.zip", tmp_path)
    packed = zipfile.ZipFile(target)
    assert packed.namelist() == [wheel.name, "00_a.ipynb", "05_b.ipynb", "reference/x/y.json"]
    assert packed.read("05_b.ipynb") == b"05_b.ipynb"
    assert packed.read(wheel.name) == wheel.read_bytes()


def test_a_new_wheel_replaces_an_older_one(tmp_path, monkeypatch, wheel):
    old = tmp_path / "from_lm_to_llm-0.0.1-py3-none-any.whl"
    old.touch()
    bundle.build_wheel(tmp_path)
    assert [path.name for path in tmp_path.glob("*.whl")] == [wheel.name]


def test_a_failed_build_is_one_sentence(tmp_path):
    for name in ("pyproject.toml", "README.md"):
        (tmp_path / name).write_text("broken = [")
    (tmp_path / "course_utils").mkdir()
    with pytest.raises(bundle.SetupError, match="wheel could not be built"):
        bundle.build_wheel(tmp_path / "dist", tmp_path)
