"""Changed notebooks come first, in a clone made up for it, and the pace says for how many there is time."""

import os
import subprocess
from pathlib import Path

import pytest
from helpers import sample_notebooks as made

from course_utils import recipes
from course_utils.commands import notebook_order
from course_utils.commands.notebook_order import CHANGE_SECONDS, Pace

DAY = 24 * 3600
NAMES = ["00_a", "05_b", "07_c", "08_d", "09_e", "10_f"]


class Clone:
    """A small course under git: notebook 07 imports `top`, which imports `room.deep` inside a function."""

    def __init__(self, root):
        self.root, self.time = root, 1_700_000_000
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("course_utils/__init__.py", "")
        self.write("course_utils/room/__init__.py", "")
        self.write("course_utils/room/deep.py", "x = 1\n")
        self.write("course_utils/room/alone.py", "x = 1\n")
        self.write("course_utils/named.py", "x = 1\n")
        self.write("course_utils/top.py", "def f():\n    from course_utils.room import deep\n\n    return deep.x\n")
        self.write("notebooks/reference/sft.json", "[{}]")
        self.write("constraints.txt", "numpy==2.4\n")
        for name in NAMES:
            code = {
                "07": "%pip --version\nfrom course_utils import top",
                "08": "load('course_utils.named'); r(\"sft\")",
            }
            made.notebook([made.code("run-it", code.get(name[:2], "!ls\nx = 1"))], self.path(name))
        self.commit("all")

    def git(self, *words):
        moment = f"{self.time} +0000"
        who = {f"GIT_{role}_{key}": "x" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        when = {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
        command = ["git", "-c", "commit.gpgsign=false", "-C", str(self.root), *words]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **who, **when})

    def path(self, name):
        path = self.root / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        return path

    def write(self, name, text):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def commit(self, message, later=0):
        self.time += later
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def first(self, number):
        """The names of the notebooks that come first."""
        return {path.stem for path in self.order()[:number]}

    def order(self):
        return notebook_order.ordered([self.path(name) for name in NAMES], self.root)


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path)


def test_a_changed_notebook_comes_first_and_one_whose_code_changed_next(clone):
    clone.write("course_utils/room/deep.py", "x = 2\n")
    made.notebook([made.code("run-it", "x = 2")], clone.path("10_f"))
    clone.commit("both", later=DAY)
    assert [path.stem for path in clone.order()[:2]] == ["10_f", "07_c"]


@pytest.mark.parametrize(
    ("file", "notebook"),
    [
        ("course_utils/top.py", "07_c"),
        ("course_utils/room/deep.py", "07_c"),
        ("course_utils/room/__init__.py", "07_c"),
        ("course_utils/named.py", "08_d"),
        ("notebooks/reference/sft.json", "08_d"),
    ],
)
def test_what_a_notebook_imports_and_reads_is_followed_to_its_end(clone, file, notebook):
    clone.write(file, "y = 3\n")
    clone.commit("one file", later=DAY)
    assert clone.first(1) == {notebook}


def test_a_change_of_many_commits_counts_whole_and_an_old_one_no_more(clone):
    clone.write("course_utils/top.py", "y = 3\n")
    clone.commit("old", later=DAY)
    made.notebook([made.code("run-it", "x = 2")], clone.path("05_b"))
    clone.commit("begun", later=CHANGE_SECONDS)
    clone.write("course_utils/named.py", "y = 3\n")
    clone.commit("gone on", later=CHANGE_SECONDS - 1)
    assert [path.stem for path in clone.order()[:2]] == ["05_b", "08_d"]
    assert clone.root / "course_utils/top.py" not in notebook_order.changed_files(clone.root)


def test_an_old_commit_that_is_merged_today_is_a_change_of_today(clone):
    clone.git("checkout", "--quiet", "-b", "side")
    clone.write("course_utils/room/deep.py", "x = 2\n")
    clone.commit("on a branch", later=DAY)
    clone.git("checkout", "--quiet", "main")
    clone.time += 2 * DAY
    clone.git("merge", "--quiet", "--no-ff", "--message", "merged", "side")
    assert clone.first(1) == {"07_c"}


def test_what_is_not_committed_yet_counts(clone):
    clone.commit("nothing", later=DAY)
    clone.write("course_utils/room/deep.py", "x = 2\n")
    clone.write("course_utils/top/new.py", "")
    changed = notebook_order.changed_files(clone.root)
    assert changed == {clone.root / "course_utils/room/deep.py", clone.root / "course_utils/top/new.py"}


def test_the_rest_is_drawn_anew_by_each_commit_and_the_same_for_one(clone):
    lasts, orders = set(), set()
    for commit in range(12):
        clone.commit(str(commit), later=DAY)
        orders.add(tuple(path.stem for path in clone.order()))
        lasts.add(clone.order()[-1].stem)
        assert clone.order() == clone.order()
    assert len(orders) > 6 and len(lasts) > 2


def test_new_packages_may_change_any_notebook(clone):
    clone.write("constraints.txt", "numpy==2.5\n")
    made.notebook([made.code("run-it", "x = 2")], clone.path("10_f"))
    clone.commit("pins", later=DAY)
    changed = notebook_order.changed_files(clone.root)
    assert [notebook_order._group(clone.path(name), changed, clone.root) for name in NAMES] == [1, 1, 1, 1, 1, 0]


def test_without_git_or_its_history_every_notebook_counts_as_changed(clone, tmp_path, monkeypatch):
    assert notebook_order.changed_files(clone.root) is None, "one commit has nothing to compare with"
    clone.commit("later", later=DAY)
    assert notebook_order.changed_files(clone.root) == set()
    clone.git("clone", "--quiet", "--depth=1", f"file://{clone.root}", str(tmp_path / "shallow"))
    assert notebook_order.changed_files(tmp_path / "shallow") is None
    (tmp_path / "inside").mkdir()
    assert notebook_order.changed_files(tmp_path / "inside") is None, "the history of a folder around says nothing"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert notebook_order.changed_files(clone.root) is None
    assert sorted(path.stem for path in clone.order()) == NAMES


def test_the_real_notebooks_depend_on_what_they_use():
    root = notebook_order.ROOT
    found = notebook_order.sources(next((root / "notebooks").glob("07*.ipynb")))
    wanted = {"setup/first_cell.py", "runtime.py", "engine/loop.py", "training/sft.py", "reporting/claims.py"}
    assert {Path(root, "course_utils", name) for name in wanted} <= found
    assert root / "course_utils/quantization/gptq.py" not in found
    assert root / "notebooks/reference/sft.json" in found


def test_the_pace_is_learnt_from_what_ran():
    pace, nine, ten = Pace(deadline=1000), *(60 * recipes.of(number, "cpu").minutes for number in ("09", "10"))
    assert (pace.value(), notebook_order.expected_seconds("09_e")) == (1.0, nine)
    assert pace.fits("09_e", now=1000 - nine) and not pace.fits("09_e", now=1001 - nine)
    pace.add("10_f", 2 * ten)
    pace.add("09_e", 2 * nine)
    assert pace.value() == 2.0
    assert pace.fits("10_f", now=1000 - 2 * ten) and not pace.fits("10_f", now=1001 - 2 * ten)
    assert Pace().fits("09_e", now=1e9)
    assert 48 < notebook_order.expected_seconds("99_new") < 360


def test_the_unit_tests_are_the_first_guess_and_the_first_notebook_replaces_it():
    pace, ten = Pace(deadline=1000), 60 * recipes.of("10", "cpu").minutes
    pace.start(5 * notebook_order.UNIT_SECONDS)
    assert pace.value() == 5.0 and not pace.fits("10_f", now=1001 - 5 * ten)
    pace.add("10_f", 2 * ten)
    assert pace.value() == 2.0
    short = Pace()
    short.start(1)  # a few of the tests, or none that could be collected
    assert short.value() == 1.0


def test_a_notebook_that_fails_early_does_not_make_the_machine_fast():
    pace, nine, ten = Pace(), *(60 * recipes.of(number, "cpu").minutes for number in ("09", "10"))
    pace.add("09_e", 0.1 * nine, passed=False)
    assert pace.value() == 1.0
    pace.add("10_f", 3 * ten)
    pace.add("09_e", 0.1 * nine, passed=False)
    assert pace.value() == 3.0
    pace.add("09_e", 4 * nine, passed=False)  # at its end, or on the way: in any case this slow
    assert pace.value() == pytest.approx((3 * ten + 4 * nine) / (ten + nine))
