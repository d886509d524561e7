"""pyproject.toml is the one source of dependencies; the other files agree with it, and it admits what Colab has."""

import os
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from course_utils import __main__ as door
from course_utils.setup import environment, installers, requirements

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EVERYTHING = tuple(PROJECT["optional-dependencies"])
SETS = tomllib.loads((ROOT / "tests" / "platforms" / "versions.toml").read_text(encoding="utf-8"))


def pins():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


@pytest.mark.parametrize(("machine", "name"), [(machine, name) for machine in SETS for name in ("torch", "numpy")])
def test_the_ranges_admit_what_colab_and_kaggle_have_and_keep(machine, name):
    (line,) = [line for line in requirements.declared() if Requirement(line).name == name]
    assert requirements.fits(line, SETS[machine]["packages"][name])
    assert not requirements.fits(line, "0.1")
    assert not requirements.fits(line, "99.0")


@pytest.mark.parametrize("name", ["transformers", "peft", "accelerate", "ipywidgets"])
def test_of_the_others_nothing_that_colab_has_is_replaced(name):
    (line,) = [line for line in requirements.declared() if Requirement(line).name == name]
    assert requirements.fits(line, SETS["colab"]["packages"][name])


def test_the_tested_version_is_taken_where_it_is_in_the_range(tmp_path, monkeypatch):
    lines = ["trl>=1.12,<2", "huggingface-hub>=9", "nobody-knows>=1"]
    (tmp_path / "constraints.txt").write_text("# a==b\ntrl==1.16.0\nhuggingface_hub==2.4.0\n")
    expected = ["trl==1.16.0", "huggingface-hub>=9", "nobody-knows>=1"]
    assert requirements.tested(lines, tmp_path) == expected
    monkeypatch.setattr(requirements, "PINS", tmp_path / "constraints.txt")  # as in the bundle's wheel, without a clone
    assert requirements.tested(lines, tmp_path / "nowhere") == expected
    monkeypatch.setattr(requirements, "PINS", tmp_path / "none")
    assert requirements.tested(lines, tmp_path / "nowhere") == lines


@pytest.mark.parametrize("version", ["2.12.0rc1", "2.13.0.dev20260501+cpu", "2.11.0+cu128"])
def test_pre_releases_and_local_parts_fit_a_range(version):
    """Images of the cloud come with nightly builds, which `packaging` leaves out of a range unless told otherwise."""
    assert requirements.fits("torch>=2.11,<3", version)
    assert not requirements.fits("torch>=2.14,<3", version)


def test_pre_releases_are_asked_for_since_older_copies_of_packaging_leave_them_out(monkeypatch):
    asked = []
    specifier = SimpleNamespace(contains=lambda version, prereleases=None: asked.append(prereleases))
    monkeypatch.setattr(requirements, "_parser", lambda: lambda line: SimpleNamespace(specifier=specifier))
    requirements.fits("torch>=2.11,<3", "2.12.0rc1")
    assert asked == [True]


def test_the_python_of_colab_is_admitted():
    assert SpecifierSet(PROJECT["requires-python"]).contains("3.13.0")


def test_every_requirement_has_a_pin_inside_its_range():
    tested = {canonicalize_name(name): version for name, version in pins().items()}
    for line in requirements.declared(EVERYTHING):
        name = canonicalize_name(Requirement(line).name)
        assert name in tested, f"{name} has no pin"
        assert requirements.fits(line, tested[name]), f"{line} against {tested[name]}"


def test_no_pin_is_for_one_machine_only():
    assert not [version for version in pins().values() if not re.fullmatch(r"[0-9][0-9.a-z]*", version)]


def test_conda_names_its_channel_and_leaves_the_build_of_torch_to_the_set_up():
    made = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert made["channels"] == ["conda-forge", "nodefaults"]
    assert made["dependencies"] == ["python " + PROJECT["requires-python"], "pip"]  # nothing that is said elsewhere too


def test_the_three_commands_for_conda_end_in_a_finished_environment():
    first, second, third = (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()[0].split(" && ")
    name = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["name"]
    assert (first, second) == ("# conda env create -f environment.yml", f"conda activate {name}")
    assert third.split()[:3] == ["python", "-m", "course_utils"] and third.split()[3] in door.COMMANDS
    conda = environment.Facts(clone=True, conda=True)
    assert environment.choose(conda) == "conda"  # into the active environment, by install.everything
    assert installers.torch_backend("Linux", False, "2.13.0") == "cpu"


def test_what_is_missing_or_outside_its_range_is_unmet(monkeypatch):
    versions = {"torch": "2.13.0+cpu", "numpy": "1.26.4"}
    monkeypatch.setattr(requirements, "installed_version", lambda name, first=(): versions.get(name))
    lines = ["torch>=2.11,<3", "numpy>=2.1,<3", "gguf>=0.17"]
    monkeypatch.setattr(requirements, "declared", lambda extras, root: lines)
    unmet = [("numpy", "numpy>=2.1,<3", "1.26.4"), ("gguf", "gguf>=0.17", None)]
    assert requirements.unmet() == unmet
    assert not requirements.complete()


def test_an_installed_package_declares_the_same_as_the_clone(tmp_path, monkeypatch):
    asked = []
    for extra in ("lab", "test"):
        for line in PROJECT["optional-dependencies"][extra]:
            name, _, marker = line.partition(";")
            asked.append(f"{name}; {f'({marker.strip()}) and ' if marker else ''}extra == '{extra}'")
    monkeypatch.setattr(requirements.metadata, "requires", lambda name: PROJECT["dependencies"] + asked)
    assert requirements.declared(("lab",), tmp_path) == requirements.declared(("lab",))


def test_build_leavings_in_a_clone_are_no_installation(tmp_path, monkeypatch):
    """Python sees an egg-info in the folder it was started in, though nothing was installed."""
    info = tmp_path / "course_leavings-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: course-leavings\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(requirements, "ROOT", tmp_path)
    assert requirements.installed_version("course-leavings") == "1.0"  # a folder of installed packages
    (tmp_path / "pyproject.toml").touch()
    assert requirements.installed_version("course-leavings") is None  # a clone


@pytest.mark.parametrize(
    ("marker", "asked"), [("sys_platform == 'nowhere'", []), ("sys_platform != 'nowhere'", ["a>=1"])]
)
def test_what_another_machine_needs_is_not_asked_of_this_one(marker, asked, tmp_path):
    (tmp_path / "pyproject.toml").write_text(f"""[project]\ndependencies = ["a>=1; {marker}"]\n""", encoding="utf-8")
    assert requirements.declared((), tmp_path) == asked


@pytest.fixture
def loaded(monkeypatch):
    """A function (name, version): as though the module had been loaded in that version; None unloads nothing else."""

    def load(name, version):
        module = ModuleType(name)
        module.__version__ = version
        monkeypatch.setitem(sys.modules, name, module)

    return load


def test_what_is_loaded_as_it_is_installed_is_no_reason_to_restart(loaded):
    import accelerate  # noqa: F401 - with all that it brings along

    assert requirements.loaded_otherwise() == []
    loaded("pyarrow", requirements.installed_version("pyarrow"))
    loaded("torch", requirements.installed_version("torch").partition("+")[0] + "+cu128")
    loaded("of_no_distribution", "1.0")
    assert requirements.loaded_otherwise() == []


def test_a_module_that_does_not_know_of_its_post_release_is_no_reason_to_restart(loaded, monkeypatch):
    found = requirements.installed_version
    same = {"certifi": "2026.10.19.post1", "tqdm": "4.70.2.post1"}
    monkeypatch.setattr(requirements, "installed_version", lambda name, first=(): same.get(name) or found(name, first))
    loaded("certifi", "2026.10.19")
    loaded("tqdm", "4.70.1")
    assert requirements.loaded_otherwise() == [("tqdm", "4.70.1", "4.70.2")]


def test_what_was_exchanged_after_it_was_loaded_is_named(loaded):
    installed = requirements.installed_version("pyarrow")  # not asked for by the course itself, but by datasets
    loaded("pyarrow", "18.1.0")
    loaded("pytest_timeout", "0.1")  # installed in another version, and nothing that the course needs
    assert requirements.loaded_otherwise() == [("pyarrow", "18.1.0", installed)]


def test_what_lies_in_the_shadow_comes_first_and_asks_for_a_restart_as_well(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(requirements, "SHADOW", tmp_path / "packages")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", "")
    requirements.use_shadow()
    assert str(tmp_path / "packages") not in sys.path  # there is none yet
    info = tmp_path / "packages" / "transformers-5.99.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 5.99.0\n")
    requirements.use_shadow()
    requirements.use_shadow()
    assert sys.path[0] == os.environ["PYTHONPATH"] == str(tmp_path / "packages")
    assert sys.path.count(str(tmp_path / "packages")) == 1
    loaded("transformers", "5.0.0")
    assert requirements.loaded_otherwise() == [("transformers", "5.0.0", "5.99.0")]
