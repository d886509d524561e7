"""The course on what Colab and Kaggle bring: `python tests/platforms/check.py colab kaggle --notebooks 00 07 10`.

For each it builds an environment of the versions in versions.toml, opens a notebook there as a learner does (the
bundle's wheel beside it, pandas loaded before the first cell), and runs tests and, when asked to, whole notebooks. It
needs a network, 5 GB of disk for each, and the Python that runs it; the torch of these machines is a build for CUDA.
At the end stands a table; the exit status is not 0 when a line of it says FAILED.
"""

import argparse
import sys
import tomllib
from pathlib import Path

import nbformat
from environments import ROOT, VersionSet

from course_utils.commands import bundle
from course_utils.setup import first_cell, install

SETS = tomllib.loads((Path(__file__).parent / "versions.toml").read_text(encoding="utf-8"))
KERNEL = ("ipykernel", "nbclient", "nbformat", "pip", "psutil", "matplotlib")  # what such a machine has in any case
TESTS = ("tests/test_contracts.py", "tests/adapters", "tests/training", "tests/models")
BEFORE = "import pandas, pyarrow"
AFTER = """
import peft, transformers
from course_utils.adapters import library
print("READY", transformers.__version__, peft.__version__)
"""


class Platform(VersionSet):
    """What such a machine brings, and the folder of a learner on it."""

    def __init__(self, name, folder, base):
        super().__init__(name, folder, base)
        self.set = SETS[name]
        self.variables = {self.set["variable"]: "1"}

    def build(self):
        """The environment as a learner finds it."""
        self.create()
        wanted = {**self.set["packages"], **self.set["presumed"]}
        self.uv(*(f"{name}=={version}" for name, version in wanted.items()), *KERNEL)
        bundle.build_wheel(self.work)
        return f"{self.name} itself has Python {self.set['python']}, here: {self.in_words(wanted)}"

    def first_cells(self):
        """Run the first cell until it goes through: nothing that stays is replaced, a restart asked for when due."""
        cells = [nbformat.v4.new_code_cell(text) for text in (BEFORE, first_cell.first_cell(), AFTER)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), self.work / "first.ipynb")
        before = self.versions()
        first = self.run(self.work / "first.ipynb")
        after = self.versions()
        replaced = [name for name in before if after.get(name) != before[name]]
        assert not set(replaced) & set(install.KEPT), f"replaced: {replaced}"
        asked = "Restart the session" in (first["error"] or "")
        due = bool({"pandas", "pyarrow"} & set(replaced))
        assert asked == due, f"restart asked for: {asked}, due: {due}; {first['error']}"
        assert due or first["status"] == "ok", first["error"]
        second = self.run(self.work / "first.ipynb")
        assert second["status"] == "ok", second["error"]
        outputs = nbformat.read(self.place / "executed" / "first.ipynb", as_version=4).cells[2].outputs
        changes = ", ".join(f"{name} {before[name]} → {after[name]}" for name in sorted(replaced))
        return f"restart {'asked for' if asked else 'not needed'}; exchanged: {changes}; {outputs[0]['text'].strip()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("platforms", nargs="*", choices=[*SETS, []], help="all by default")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "platforms")
    parser.add_argument("--python", default=sys.executable, help="which the environments are made of")
    parser.add_argument("--tests", nargs="*", default=TESTS)
    parser.add_argument("--notebooks", nargs="*", default=(), help="numbers of those that are run to their end")
    parser.add_argument("--keep", action="store_true", help="go on in an environment that was built before")
    options = parser.parse_args()
    rows = []
    for name in options.platforms or SETS:
        here = Platform(name, options.folder.resolve(), options.python)
        ready = options.keep and here.python.exists()
        if ready or (here.step("environment", here.build) and here.step("first cells", here.first_cells)):
            if options.tests:
                here.step("test tools", here.add_test_tools) and here.step("tests", here.tests, options.tests)
            for number in options.notebooks:
                here.step(f"notebook {number}", here.notebook, number)
        rows += here.rows
    print("\n| step | verdict | seconds | |\n|---|---|---|---|")
    print(*(f"| {step} | {verdict} | {seconds:.0f} | {remark} |" for step, verdict, seconds, remark in rows), sep="\n")
    return any(verdict != "ok" for _, verdict, _, _ in rows)


if __name__ == "__main__":
    sys.exit(main())
