"""The course on the newest and on the lowest versions that pyproject.toml admits; `make drift` runs this.

Each set gets an environment of its own below build/drift: the newest on the newest Python here that the course admits,
the lowest on the oldest, with every direct requirement at its lower bound, so that a bound is what was run and no
guess. There the unit tests and some notebooks run, and README's table is written anew. It needs a network, 5 GB of disk
for each and an hour; --sets, --notebooks and --tests take less, --keep goes on in what was built.
"""

import argparse
import datetime
import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from environments import ENGINES, ROOT, VersionSet
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from course_utils import __pythons__, files
from course_utils.commands import course, test
from course_utils.setup import environment, install, installers, requirements

SETS = ("newest", "lowest")
TOOLS = ("pip", "uv", "httpx")  # what tests of the set-up call
TESTS, NOTEBOOKS = (*test.WORKERS, "tests"), ("00", "11", "15")
BLOCK = re.compile(r"(?<=<!-- drift -->\n).*(?=<!-- end of drift -->)", re.DOTALL)  # in README
PLAIN = "torch is the usual build, since the one without CUDA could not be reached"


class Drift(VersionSet):
    """One end of the admitted ranges. Its notebooks run in the clone, as the tests run them."""

    alone = False

    def __init__(self, name, folder, base):
        super().__init__(name, folder, base)
        self.variables = course.isolated(self.place)

    def settings(self):
        """pip's settings without its constraints: newest means newest. Nothing is compiled."""
        options, variables = super().settings()
        return [*without_constraints(options), "--no-build"], variables

    def build(self):
        """The environment with this end's versions of all that the course and its tests name."""
        lines, order = requirements.declared(environment.EXTRAS), ()
        if self.name == "lowest":
            lines, order = [at_floor(line) for line in lines], ("--resolution", "lowest-direct")
        self.create()
        backend = installers.torch_backend(platform.system(), installers.has_nvidia(), None)
        remark = ""
        try:
            self.uv(*([f"--torch-backend={backend}"] if backend else []), *order, *lines)
        except RuntimeError:
            if not backend:
                raise
            remark = PLAIN if backend == "cpu" else ""
            self.uv(*order, *lines)
        self.uv(*TOOLS, pins=[f"{name}=={version}" for name, version in self.versions().items()])
        self.add_course()
        return remark

    def add_course(self):
        """What a set-up adds to the packages, and its tests look for: the course itself and Colab's widgets."""
        command = [*installers.pip_command(self.python), "--quiet", "--no-deps", "--editable", str(ROOT)]
        installers.call(command, "The course itself could not be installed.")
        install.colab_widgets(self.python, self.place / "env" / environment.COLAB_WIDGETS)

    def tests(self, words):
        """The tests install, too, and a constraint of this machine on torch must not forbid them this end's version."""
        empty = self.place / "no-constraints.txt"
        empty.write_text("", encoding="utf-8")
        return super().tests(words, PIP_CONSTRAINT=str(empty))

    def outcome(self, before):
        """What is kept of a run: versions, the day, and each step's verdict; steps of an earlier run that were not done
        again stay as they were."""
        steps = {title.partition(": ")[2]: [verdict, remark] for title, verdict, _, remark in self.rows}
        found = self.versions() if self.python.exists() else {}
        python = self.in_words(()).removeprefix("Python ") if found else platform.python_version()
        kept = before.get("steps", {}) if before.get("versions") == found else {}
        day = datetime.date.today().isoformat()
        return {"python": python, "versions": found, "date": day, "steps": kept | steps}


def without_constraints(options):
    """uv's options, less each `--constraint FILE`."""
    left_out = {i + step for i, word in enumerate(options) if word == "--constraint" for step in (0, 1)}
    return [word for i, word in enumerate(options) if i not in left_out]


def at_floor(line):
    """A requirement narrowed to its lower bound: "psutil>=5.9,<8" becomes "psutil==5.9.*".

    Raises:
        ValueError: it has none.
    """
    requirement = Requirement(line)
    floors = [one.version for one in requirement.specifier if one.operator == ">="]
    if len(floors) != 1:
        raise ValueError(f"{line} in pyproject.toml: expected one lower bound, as in name>=1.2,<3.")
    return f"{requirement.name}=={floors[0]}.*"


def pins(text):
    """{name: version} of a constraints file; Python as its first comment has it."""
    pairs = [line.split("==") for line in text.splitlines() if line and not line.startswith("#")]
    found = re.search(r"Python (\d[\d.]*\d)", text)
    return {canonicalize_name(name): version for name, version in pairs} | {"Python": found[1] if found else ""}


def verdict(outcome):
    """What became of a set: "ok" when all that it needs ran to its end, else what failed or was not run."""
    if not outcome:
        return "not run"
    steps = outcome["steps"]
    failed = [title for title, (word, _) in steps.items() if word != "ok"]
    if failed:
        return "failed: " + ", ".join(failed)
    needed = {"unit tests", *(f"notebook {number}" for number in NOTEBOOKS)}
    return "ok" if needed <= set(steps) else "not run in full"


def _short(remark):
    return " ".join(remark.split()).partition(";")[0].replace("|", "/")[:100]


def table(outcomes, names, pinned):
    """README's block: a row for each package, then a line for each set.

    Args:
        outcomes: {set: what Drift.outcome gave}; a set that was never run may be missing.
        names: of the packages.
        pinned: what `pins` gave.
    """
    ends = {end: outcomes.get(end) or {} for end in ("lowest", "newest")}
    verdicts = {end: verdict(ends[end]) for end in ends}
    word = "ok" if set(verdicts.values()) == {"ok"} else "; ".join(f"{end} {said}" for end, said in verdicts.items())
    day = max(one.get("date", "") for one in ends.values())
    lines = ["| package | pinned | lowest | newest | verdict | date |", "|---|---|---|---|---|---|"]
    for name in ("Python", *names):
        cells = [pinned.get(name, "–")]
        for one in ends.values():
            found = one.get("python") if name == "Python" else one.get("versions", {}).get(name)
            cells.append(found.partition("+")[0] if found else "–")
        lines.append(f"| {' | '.join([name, *cells, word, day])} |")
    return (
        "\n".join([*lines, "", *(f"- {end}, {one['date']}: {_steps(one)}" for end, one in ends.items() if one)]) + "\n"
    )


def _steps(outcome):
    """What was run of a set, in a line."""
    said = [
        f"{title} {word.lower()}{f' ({_short(remark)})' * bool(remark)}"
        for title, (word, remark) in outcome["steps"].items()
    ]
    return "; ".join(said) + "."


def into(text, block):
    """README with the block between its two markers.

    Raises:
        ValueError: it has no such markers, or several.
    """
    if len(BLOCK.findall(text)) != 1 or text.count("<!-- drift -->") != 1:
        raise ValueError("README.md lacks the lines <!-- drift --> and <!-- end of drift -->, once each.")
    return BLOCK.sub(lambda _: block, text)


def python_for(name):
    """The newest or the oldest Python here that the course admits; this one without any."""
    (_, oldest), (_, newest) = __pythons__
    minors = range(oldest, newest + 1) if name == "lowest" else range(newest, oldest - 1, -1)
    for path in filter(None, (shutil.which(f"python3.{minor}") for minor in minors)):
        if subprocess.run([path, "-m", "pip", "-V"], capture_output=True).returncode == 0:
            return path
    return sys.executable


def run(name, options):
    """Build and test one set; its outcome, which is kept on the disk after each step."""
    here = Drift(name, options.folder.resolve(), options.python or python_for(name))
    file = here.place / "outcome.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    steps = [("unit tests", here.tests, options.tests)] if options.tests else []
    steps += [(f"notebook {number}", here.notebook, number) for number in options.notebooks]
    if options.keep and here.python.exists():
        outcome = here.outcome(before)
    else:
        steps, before = [("environment", here.build), *steps], {}
    for step in steps:
        went_well = here.step(*step)
        outcome = here.outcome(before)
        files.replace_text(file, json.dumps(outcome, indent=1))
        if not went_well and step[0] == "environment":
            break
    return outcome


def main(argv=None):
    """Run the sets, write README's table; 1 when something failed."""
    parser = argparse.ArgumentParser(prog="python -m course_utils drift", description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="*", choices=SETS, default=SETS, help="both by default")
    parser.add_argument("--notebooks", nargs="*", default=NOTEBOOKS, help="numbers of those that are run to their end")
    parser.add_argument("--tests", nargs="*", default=TESTS, help="words for pytest, none to leave the unit tests out")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "drift")
    parser.add_argument("--python", help="which the environments are made of, instead of the newest and oldest here")
    parser.add_argument("--keep", action="store_true", help="go on in an environment that was built before")
    options = parser.parse_args(argv)
    try:
        course.select(" ".join(options.notebooks))
    except ValueError as error:
        parser.error(str(error))
    if options.python and not shutil.which(options.python):
        parser.error(f"--python: there is no program {options.python!r}; expected the path or the name of a Python.")
    readme = ROOT / "README.md"
    into(readme.read_text(encoding="utf-8"), "")  # said before the hour, not after
    outcomes = {}
    for name in SETS:
        kept = options.folder / name / "outcome.json"
        if name in options.sets:
            outcomes[name] = run(name, options)
        elif kept.exists():
            outcomes[name] = json.loads(kept.read_text(encoding="utf-8"))
    names = [canonicalize_name(Requirement(line).name) for line in requirements.declared()]
    pinned = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    block = table(outcomes, [*names, *ENGINES], pinned)
    files.replace_text(readme, into(readme.read_text(encoding="utf-8"), block))
    print("\n" + block)
    return int(any(verdict(outcomes[name]) != "ok" for name in options.sets))


if __name__ == "__main__":
    sys.exit(main())
