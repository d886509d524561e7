"""The bundle holds the whole package and the notebooks, is made in seconds by any Python, and is the same each time."""

import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import nbformat
import pytest
from helpers import sample_notebooks as made
from packaging.requirements import Requirement

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


def test_it_says_what_pyproject_says(wheel):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packed = zipfile.ZipFile(wheel)
    (name,) = [name for name in packed.namelist() if name.endswith("METADATA")]
    said = message_from_bytes(packed.read(name))
    assert (said["Name"], said["Version"]) == (project["name"], project["version"])
    needs = [Requirement(line) for line in said.get_all("Requires-Dist")]
    plain = [need for need in needs if need.marker is None]
    assert plain == [Requirement(line) for line in project["dependencies"]]
    assert len(needs) == sum(map(len, [project["dependencies"], *project["optional-dependencies"].values()]))
    (engine,) = [need for need in needs if need.name == "xllamacpp"]
    assert engine.marker.evaluate({"extra": "test", "platform_machine": "x86_64"})
    assert not engine.marker.evaluate({"extra": "lab", "platform_machine": "x86_64"})


def test_pip_installs_it_and_finds_nothing_missing_or_altered(wheel, tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(tmp_path)]
    subprocess.run([*pip, str(wheel)], check=True)
    (info,) = tmp_path.glob("*.dist-info")
    listed = {line.split(",")[0] for line in (info / "RECORD").read_text().splitlines()}
    assert set(zipfile.ZipFile(wheel).namelist()) <= listed
    assert (tmp_path / "course_utils/constraints.txt").read_bytes() == (ROOT / "constraints.txt").read_bytes()
    assert (info / "licenses" / "LICENSE").is_file()


def test_a_python_without_any_package_makes_it(tmp_path):
    code = "import sys; from course_utils.commands import bundle; bundle.main(sys.argv[1:])"
    command = [sys.executable, "-S", "-I", "-c", f"import sys; sys.path.append({str(ROOT)!r}); {code}"]
    done = subprocess.run([*command, "--output", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "from-lm-to-llm.zip").is_file()


def test_an_unreadable_project_is_one_sentence(tmp_path):
    (tmp_path / "pyproject.toml").write_text("broken = [")
    with pytest.raises(bundle.SetupError, match="does not say what the package is"):
        bundle.build_wheel(tmp_path / "dist", tmp_path)
    assert not (tmp_path / "dist").exists()


def test_readme_says_where_the_course_is_to_be_had():
    """`python -m course_utils bundle --stamp` writes it; the first cells have a test of their own."""
    source = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["course"]["source"]
    names = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    (block,) = bundle.LINKS.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert block == bundle.links(source, names)


@pytest.mark.parametrize("source", ["", "from-lm-to-llm", "git+https://elsewhere.org/a/b"])
def test_without_a_public_repository_there_are_no_addresses(source):
    assert bundle.links(source, ["00_a"]) == bundle.UNPUBLISHED


@pytest.mark.parametrize(("end", "kept"), [("", "main"), (".git", "main"), ("@v1.2", "v1.2"), (".git@v1.2", "v1.2")])
def test_addresses_follow_from_the_source(end, kept, tmp_path):
    source = f"git+https://github.com/some-one/the.course{end}"
    (tmp_path / "pyproject.toml").write_text(f'[tool.course]\nsource = "{source}"\n')
    (tmp_path / "README.md").write_text("Before.\n<!-- links -->\nold\n<!-- end of links -->\nAfter.\n")
    (tmp_path / "notebooks").mkdir()
    cells = [made.prose("title"), made.code("run-start", "old"), made.code("run-next", "kept")]
    path = made.notebook(cells, tmp_path / "notebooks" / "00_a.ipynb")
    assert bundle.stamp(tmp_path) == 0
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("Before.\n<!-- links -->\nThe zip") and text.endswith("<!-- end of links -->\nAfter.\n")
    home = "github.com/some-one/the.course"
    assert f"https://{home}/releases/latest/download/from-lm-to-llm.zip)" in text
    assert f"https://colab.research.google.com/{home.replace('.com', '')}/blob/{kept}/notebooks/00_a.ipynb)" in text
    assert f"https://kaggle.com/kernels/welcome?src=https://{home}/blob/{kept}/notebooks/00_a.ipynb)" in text
    after = nbformat.read(path, as_version=4)
    assert after.cells[1].source == bundle.first_cell(source) and source in after.cells[1].source
    assert [cell.source for cell in after.cells[::2]] == ["Some words.", "kept"]
