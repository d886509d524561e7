"""A version set in an environment of its own, filled by uv: what the checks of platforms and of drift share."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from course_utils import folders  # noqa: E402
from course_utils.setup import environment, installers, requirements  # noqa: E402

ENGINES = ("bitsandbytes", "torchao", "xllamacpp")  # of quantized models; the course goes on without them
RUN = """
import json, os, sys
from course_utils.commands.notebook_runner import run_notebook
if sys.argv[3] == "alone":
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


class VersionSet:
    """An environment in `folder / name`; `rows` collects (step, verdict, seconds, remark)."""

    alone = True  # whether its notebooks do without the clone

    def __init__(self, name, folder, base):
        self.name, self.rows, self.variables = name, [], {}  # of its notebooks' environment
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

    def settings(self):
        """(options, variables) for uv that say what pip's own settings say."""
        return installers.settings_for_uv(self.base)

    def uv(self, *words, pins=()):
        """Install by uv, with pip's own settings, into the environment; or make it, by "venv" and its options."""
        options, variables = self.settings()
        with tempfile.TemporaryDirectory() as aside:
            constraints = Path(aside) / "constraints.txt"
            constraints.write_text("\n".join(pins) + "\n", encoding="utf-8")
            uv = shutil.which("uv") or installers.find_uv(self.base, ROOT / "constraints.txt", Path(aside))
            if words[0] == "venv":
                command = [uv, *words]
            else:
                command = [*installers.uv_command(uv, self.python, options), "--constraint", str(constraints), *words]
            done = subprocess.run(
                command, env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True, encoding="utf-8"
            )
        print(done.stderr, end="", file=sys.stderr, flush=True)
        if done.returncode:
            raise RuntimeError(f"uv: {re.sub('^ *cause: ', '', done.stderr.strip(), flags=re.MULTILINE)}")

    def create(self):
        """An empty environment, instead of what is there."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.uv("venv", "--quiet", "--python", str(self.base), str(self.place / "env"))

    def versions(self):
        """{name: version} of what lies in the environment's own site-packages."""
        return json.loads(subprocess.run([self.python, "-c", VERSIONS], capture_output=True, check=True).stdout)

    def in_words(self, names):
        """The Python and these packages of the environment."""
        have = subprocess.run([self.python, "-V"], capture_output=True, text=True, encoding="utf-8").stdout.strip()
        found = self.versions()
        return ", ".join([have, *(f"{name} {found[name]}" for name in names)])

    def run(self, notebook):
        """A row of notebook_runner for a notebook of the learner's folder, or of the clone."""
        variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "COURSE"))
        }
        variables |= {"PYTHONPATH": str(ROOT), "COURSE_HOME": str(folders.home()), **self.variables}
        variables |= {"COURSE_RUNS": str(self.place / "runs"), "COURSE_RESULTS": str(self.place / "results")}
        executed = self.place / "executed" / notebook.name
        command = [self.python, "-c", RUN, str(notebook), str(executed), "alone" if self.alone else "clone"]
        done = subprocess.run(
            command, env=variables, cwd=self.work, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        return json.loads(done.stdout.splitlines()[-1])

    def add_test_tools(self):
        """What the tests need beside the set; it moves nothing."""
        lines = requirements.declared(("test",))
        tools = [line for line in lines[len(requirements.declared()) :] if not line.startswith(ENGINES)]
        self.uv(*tools, "httpx", pins=[f"{name}=={version}" for name, version in self.versions().items()])

    def tests(self, words, **settings):
        """Run tests of the clone with what lies there now; the last line of pytest.

        Args:
            words: for pytest.
            settings: environment variables beside those of this process.
        """
        path = os.pathsep.join([*([str(self.shadow)] if self.shadow.is_dir() else []), str(ROOT)])
        command = [self.python, "-m", "pytest", "-p", "no:cacheprovider", "--tb=short", *words]
        variables = {**os.environ, "PYTHONPATH": path, **settings}
        done = subprocess.run(
            command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
        )
        (self.place / "tests.txt").write_text(done.stdout, encoding="utf-8")
        last = (done.stdout.strip().splitlines() or ["no word of pytest"])[-1].strip("= ")
        failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
        assert done.returncode == 0, f"{last}; all that pytest said is in {self.place / 'tests.txt'}: {failed}"
        return last

    def notebook(self, number):
        """Run one notebook to its end."""
        (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        row = self.run(Path(shutil.copy(path, self.work)) if self.alone else path)
        assert row["status"] == "ok", f"{row['failed_cell']}: {row['error']}"
        return f"{row['cells']} cells"
