"""A notebook opened alone, as on Colab: an empty folder, the bundle's wheel beside it, a Python without the package.

That Python has Colab's ipywidgets, and links to the other packages of the environment that runs the tests.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import nbformat
import pytest

from course_utils.commands import bundle
from course_utils.reporting import widgets
from course_utils.setup import environment, first_cell

GUARD = Path(__file__).resolve().parent / "guard"
LEFT_OUT = re.compile(r"(from_lm_to_llm|course_utils|__editable__|ipywidgets|.*\.pth$)")
RUN = """
import json, sys
import ipykernel.kernelspec, nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

class ThisPython(KernelSpecManager):
    def get_kernel_spec(self, kernel_name):
        return KernelSpec(resource_dir=ipykernel.kernelspec.RESOURCES, **ipykernel.kernelspec.get_kernel_dict())

notebook = nbformat.read(sys.argv[1], as_version=4)
client = NotebookClient(notebook, timeout=120, allow_errors=True)
client.km = AsyncKernelManager(kernel_spec_manager=ThisPython())
client.owns_km = True
client.execute()
nbformat.write(notebook, sys.argv[1])
"""


class Alone:
    """A plain Python and an empty folder in which notebooks are run with it."""

    def __init__(self, folder, without=()):
        self.folder, self.plain = folder / "a class", folder / "plain"
        self.folder.mkdir()
        self.python = environment.python_of(self.plain)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.plain)], check=True)
        site = self.site = Path(sysconfig.get_path("purelib", "venv", {"base": str(self.plain)}))
        colabs = Path(sys.prefix) / environment.COLAB_WIDGETS
        assert colabs.is_dir(), f"Colab's widgets are not in {colabs}: run python -m course_utils setup"
        for home in dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib")):
            for entry in Path(home).iterdir():
                if not LEFT_OUT.match(entry.name) and not entry.name.startswith(tuple(without)):
                    (site / entry.name).symlink_to(entry)
        for entry in colabs.iterdir():
            (site / entry.name).symlink_to(entry)

    def run(self, *sources, before=(), **variables):
        """Run the sources as the cells of one notebook after the first cell; the printed text, errors included.

        Args:
            before: sources of the cells that stand before the first one of the course.
            variables: of the environment.
        """
        cells = [nbformat.v4.new_code_cell(source) for source in (*before, first_cell.first_cell(), *sources)]
        path = self.folder / "notebook.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        done = self._python("-c", RUN, str(path), **variables)
        assert done.returncode == 0, done.stdout
        outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
        return "\n".join(_text(output) for output in outputs)

    def script(self, *sources, **variables):
        """The same without a kernel, which is quicker: the text that the cells print as a script, errors included."""
        path = self.folder / "notebook.py"
        path.write_text("\n".join([first_cell.first_cell(), *sources]), encoding="utf-8")
        return self._python(path.name, **variables).stdout

    def _python(self, *words, **variables):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "CONDA"))}
        outside = inherited | {"PYTHONPATH": str(GUARD), **variables}  # the guard: nothing here may use the network
        command = [str(self.python), *words]
        both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.run(command, env=outside, cwd=self.folder, **both)


def _text(output):
    if output.output_type == "error":
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))
    return output.get("text") or output.get("data", {}).get("text/plain", "")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return bundle.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory, wheel):
    """An Alone with the wheel, under the name that a repeated upload gives it."""
    place = Alone(tmp_path_factory.mktemp("alone"))
    shutil.copy(wheel, place.folder / "from_lm_to_llm-0.1.0-py3-none-any (1).whl")
    return place


LOOK = """
import json, sys
import course_utils, ipywidgets
print("FOUND", json.dumps([course_utils.__file__, runtime.__file__, run.tier, ipywidgets.__version__, sys.path]))
"""


@pytest.mark.slow
def test_it_gets_the_package_and_keeps_the_widgets_of_the_machine(alone):
    printed = alone.run(LOOK)
    assert "FOUND" in printed, printed
    package, module, tier, version, path = json.loads(printed.rpartition("FOUND ")[2])
    assert Path(package).is_relative_to(alone.plain) and Path(module).is_relative_to(alone.plain)
    assert tier == "cpu"
    assert version == "7.7.1"
    assert not [entry for entry in path if entry.endswith(".whl")]


MOVE = """
from types import SimpleNamespace
import ipywidgets, torch
from course_utils.data import prompts
from course_utils.models import sampling
from course_utils.reporting import widgets
sampling.top_next = lambda model, tokenizer, text: [(f"after {text}", 0.5), ("else", 0.25)]
sampling.continue_text = lambda *given, temperature, seed: f" at {temperature} number {seed}"
line, bars, row, written = widgets.next_token_explorer(None, None, "one").children
line.value, row.children[1].value = "two", 1.5
row.children[0].click(), row.children[0].click()
print("EXPLORER", "after two" in bars.value, "at 1.5 number 1" in written.value)
judge = SimpleNamespace(template=prompts.Template("{text} =>", (" bad", " good")))
judge.scores = lambda examples, texts: torch.tensor([float(sum(example.label for example in examples))])
*rows, review, bars = widgets.example_editor(judge, [prompts.Example("x", 1), prompts.Example("y", 0)], "z").children
before, rows[1].children[1].value = bars.value, "good"
print("EDITOR", "73.1%" in before, "88.1%" in bars.value, ipywidgets.__version__)
from course_utils.data import instructions
instructions.encode_dialogue = lambda messages, tokenizer: ([m["content"] for m in messages], [False, True])
asked, said, shown = widgets.mask_viewer(SimpleNamespace(decode=lambda tokens: tokens[0]), "why", "so").children
said.value = "never mind"
print("MASK", "why" in shown.value and "never mind" in shown.value)
from course_utils.reporting import rating
pairs = [{"chosen": f"good {n}", "rejected": f"bad {n}", "chosen_id": f"c{n}", "rejected_id": f"r{n}"} for n in (0, 1)]
mine = rating.Rating(pairs)
mine.choices.clear()
shown, buttons = widgets.pair_rater(mine).children
first = "good 0" in shown.value
buttons.children[0].click(), buttons.children[1].click()
print("RATER", first, mine.choices == {0: "A", 1: "B"}, "Done:" in shown.value)
def moved(box):
    *given, shown = box.children
    inputs = [one for part in given for one in getattr(part, "children", (part,))]
    before = shown.value
    next(one for one in inputs if isinstance(one, ipywidgets.BoundedIntText)).value = 7
    return shown.value != before
print("CALCULATORS", moved(widgets.training_calculator()), moved(widgets.serving_calculator()))
from course_utils.evaluation import scaling
budget, below = widgets.budget_calculator({"a law": scaling.CHINCHILLA}).children
first = below.value
(budget if hasattr(budget, "step") else budget.children[0]).value = 20.0
print("BUDGET", below.value != first)
"""


@pytest.mark.slow
def test_every_widget_works_beside_colabs_widgets(alone):
    printed = alone.script(MOVE)
    assert "EXPLORER True True" in printed, printed
    assert "EDITOR True True 7.7.1" in printed, printed
    assert "MASK True" in printed, printed
    assert "RATER True True True" in printed, printed
    assert "CALCULATORS True True" in printed, printed
    assert "BUDGET True" in printed, printed
    public = {
        name
        for name, thing in vars(widgets).items()
        if callable(thing) and name[0] != "_" and "ipywidgets" in thing.__code__.co_names
    }
    assert public == {
        "next_token_explorer",
        "example_editor",
        "mask_viewer",
        "pair_rater",
        "training_calculator",
        "serving_calculator",
        "budget_calculator",
    }, "a new widget belongs into MOVE"


def little_tqdm(folder, version="4.99"):
    """A wheel of that name, for pip to find in the folder instead of an index."""
    info = f"tqdm-{version}.dist-info"
    files = {
        "tqdm/__init__.py": f"__version__ = '{version}'",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tqdm\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"tqdm-{version}-py3-none-any.whl", "w") as archive:
        for name, text in {**files, f"{info}/RECORD": "".join(f"{name},,\n" for name in files)}.items():
            archive.writestr(name, text)
    return Path(archive.filename)


@pytest.mark.slow
def test_it_installs_what_is_missing_and_only_that(tmp_path, wheel):
    place = Alone(tmp_path, without=["tqdm"])
    shutil.copy(wheel, place.folder)
    little_tqdm(tmp_path)
    printed = place.script("import tqdm; print(tqdm.__version__)", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    assert "Installing what this Python lacks: tqdm" in printed, printed
    assert printed.rstrip().endswith("4.99"), printed


@pytest.mark.slow
def test_without_the_wheel_it_says_what_to_put_where(tmp_path):
    printed = Alone(tmp_path).script()
    assert "No module named 'course_utils'" in printed
    assert "Put the .whl of the bundle beside this notebook" in printed


@pytest.mark.slow
def test_what_was_loaded_before_it_was_exchanged_asks_for_a_restart(tmp_path, wheel):
    """As on Colab: a module is loaded already when the first cell installs another version of it."""
    place = Alone(tmp_path, without=["tqdm"])
    shutil.copy(wheel, place.folder)
    zipfile.ZipFile(little_tqdm(tmp_path, "4.1")).extractall(place.site)
    little_tqdm(tmp_path)
    own = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    printed = place.run("print('went on')", before=["import tqdm"], **own)
    assert "Installing what this Python lacks: tqdm" in printed, printed
    assert re.search(r"^SetupError: Restart the session, .*tqdm 4\.1 \(now 4\.99\)\.$", printed, re.MULTILINE), printed
    assert "Traceback" not in printed
    again = place.run("print('went on with', tqdm.__version__)", before=["import tqdm"], **own)
    assert "went on with 4.99" in again and "Installing" not in again and "SetupError" not in again, again
