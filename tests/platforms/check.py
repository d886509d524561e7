"""The course on what Colab and Kaggle bring: `python tests/platforms/check.py colab kaggle --notebooks 00 07 10`.

For each it builds an environment of the versions in versions.toml, opens a notebook there as a learner does (the
bundle's wheel beside it, pandas loaded before the first cell), and runs tests and, when asked to, whole notebooks. It
needs a network, 5 GB of disk for each, and the Python that runs it; the torch of these machines is a build for CUDA.
At the end stands a table; the exit status is not 0 when a line of it says FAILED.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import nbformat  # noqa: E402

from course_utils import folders  # noqa: E402
from course_utils.commands import bundle  # noqa: E402
from course_utils.setup import environment, first_cell, install, installers, requirements  # noqa: E402

SETS = tomllib.loads((Path(__file__).parent / "versions.toml").read_text(encoding="utf-8"))
KERNEL = ("ipykernel", "nbclient", "nbformat", "pip", "psutil", "matplotlib")  # what such a machine has in any case
TESTS = ("tests/test_contracts.py", "tests/adapters", "tests/training", "tests/models")
ENGINES = ("bitsandbytes", "torchao", "xllamacpp")  # such a machine lacks them, and notebook 15 says so
BEFORE = "import pandas, pyarrow"
AFTER = """
import peft, transformers
from course_utils.adapters import library
print("READY", transformers.__version__, peft.__version__)
"""
RUN = """
import json, os, sys
from course_utils.commands.notebook_runner import run_notebook
os.environ.pop("PYTHONPATH")  # a learner's kernel knows no clone
outcome = run_notebook(sys.argv[1], executed=sys.argv[2], report=lambda *words, **more: None)
print(json.dumps(outcome.row()))
"""
VERSIONS = """
import json, sysconfig
from importlib import metadata
found = metadata.distributions(path=[sysconfig.get_path("purelib")])
print(json.dumps({one.name.lower().replace("_", "-"): one.version for one in found}))
"""


class Platform:
    """One version set, its environment and its learner's folder; `rows` collects (step, verdict, seconds, remark)."""

    def __init__(self, name, folder, base):
        self.name, self.set, self.rows = name, SETS[name], []
        self.place, self.work, self.base = folder / name, folder / name / "work", base
        self.python = environment.python_of(self.place / "env")
        self.shadow = self.place / "env" / requirements.SHADOW.relative_to(sys.prefix)

    def step(self, title, function, *words):
        """Do one step; whatever it raises is its verdict."""
        print(f"{self.name}: {title} …", flush=True)
        started = time.perf_counter()
        try:
            verdict, remark = "ok", function(*words) or ""
        except Exception as error:
            verdict, remark = "FAILED", str(error)
        self.rows.append((f"{self.name}: {title}", verdict, time.perf_counter() - started, remark))
        print(f"{self.name}: {title}: {verdict} {remark}", flush=True)
        return verdict == "ok"

    def uv(self, *words, pins=()):
        """Install by uv, with pip's own settings, into the environment."""
        options, variables = installers.settings_for_uv(self.base)
        with tempfile.TemporaryDirectory() as aside:
            constraints = Path(aside) / "constraints.txt"
            constraints.write_text("\n".join(pins) + "\n", encoding="utf-8")
            uv = shutil.which("uv") or installers.find_uv(self.base, ROOT / "constraints.txt", Path(aside))
            if words[0] == "venv":
                command = [uv, *words]
            else:
                command = [*installers.uv_command(uv, self.python, options), "--constraint", str(constraints), *words]
            subprocess.run(command, env={**os.environ, **variables}, check=True)

    def build(self):
        """The environment as a learner finds it."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.uv("venv", "--quiet", "--python", str(self.base), str(self.place / "env"))
        wanted = {**self.set["packages"], **self.set["presumed"]}
        self.uv(*(f"{name}=={version}" for name, version in wanted.items()), *KERNEL)
        bundle.build_wheel(self.work)
        have = subprocess.run([self.python, "-V"], capture_output=True, text=True).stdout.strip()
        return f"{have}, {self.name} itself has {self.set['python']}; " + self._words(wanted)

    def versions(self):
        """{name: version} of what lies in the environment's own site-packages."""
        return json.loads(subprocess.run([self.python, "-c", VERSIONS], capture_output=True, check=True).stdout)

    def _words(self, names):
        found = self.versions()
        return " ".join(f"{name} {found[name]}" for name in names)

    def run(self, notebook):
        """A row of notebook_runner for a notebook in the learner's folder, run as that machine would run it."""
        variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "COURSE"))
        }
        variables |= {"PYTHONPATH": str(ROOT), self.set["variable"]: "1", "COURSE_HOME": str(folders.home())}
        variables |= {"COURSE_RUNS": str(self.place / "runs"), "COURSE_RESULTS": str(self.place / "results")}
        command = [self.python, "-c", RUN, str(notebook), str(self.place / "executed" / notebook.name)]
        done = subprocess.run(command, env=variables, cwd=self.work, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout.splitlines()[-1])

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

    def tests(self, paths):
        """Run tests of the clone with what lies there now; test tools are added and move nothing."""
        lines = requirements.declared(("test",))
        tools = [line for line in lines[len(requirements.declared()) :] if not line.startswith(ENGINES)]
        self.uv(*tools, "httpx", pins=[f"{name}=={version}" for name, version in self.versions().items()])
        path = os.pathsep.join([*([str(self.shadow)] if self.shadow.is_dir() else []), str(ROOT)])
        command = [self.python, "-m", "pytest", "-p", "no:cacheprovider", "--tb=short", *paths]
        variables = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True)
        (self.place / "tests.txt").write_text(done.stdout, encoding="utf-8")
        last = done.stdout.strip().splitlines()[-1].strip("= ")
        failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
        assert done.returncode == 0, (
            f"{len(failed)} failed, the whole output is in {self.place / 'tests.txt'}: {failed}"
        )
        return last

    def notebook(self, number):
        """Run one notebook to its end."""
        (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        row = self.run(Path(shutil.copy(path, self.work)))
        assert row["status"] == "ok", f"{row['failed_cell']}: {row['error']}"
        return f"{row['cells']} cells"


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
                here.step("tests", here.tests, options.tests)
            for number in options.notebooks:
                here.step(f"notebook {number}", here.notebook, number)
        rows += here.rows
    print("\n| step | verdict | seconds | |\n|---|---|---|---|")
    print(*(f"| {step} | {verdict} | {seconds:.0f} | {remark} |" for step, verdict, seconds, remark in rows), sep="\n")
    return any(verdict != "ok" for _, verdict, _, _ in rows)


if __name__ == "__main__":
    sys.exit(main())
