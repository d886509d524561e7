"""In which order notebooks are tested where time is short: the changed ones first, and for how many there is time.

Without git, or where the history is too short to tell, every notebook counts as changed.
"""

import ast
import hashlib
import json
import subprocess
from pathlib import Path

from course_utils import recipes

ROOT = Path(__file__).resolve().parents[2]
CHANGE_SECONDS = 12 * 3600  # one change may come in many commits: all of half a day before the newest belong to it
FOR_ALL = ("constraints.txt", "pyproject.toml")  # other packages may change any notebook
UNIT_SECONDS = 480  # all unit tests on the machine of the recipes


class Pace:
    """How long notebooks take here, as a multiple of the minutes in `recipes`, from those that ran.

        pace = Σ seconds taken / Σ seconds expected,   max(1, seconds of the unit tests / UNIT_SECONDS) before the first

    Args:
        deadline: on the clock that the caller reads, in seconds; None for no limit.
    """

    def __init__(self, deadline=None):
        self.deadline, self._taken, self._expected, self._first = deadline, 0.0, 0.0, 1.0

    def value(self):
        """The multiple; 2.0 means twice as slow as the machine of the recipes."""
        return self._taken / self._expected if self._expected else self._first

    def start(self, seconds):
        """Guess from the unit tests, else a machine many times slower would begin a notebook that it cannot end."""
        self._first = max(1.0, seconds / UNIT_SECONDS)

    def add(self, notebook, seconds, passed=True):
        """Learn from a notebook that ran. One that failed may have ended early: it can only show that all is slower."""
        expected = expected_seconds(notebook)
        if passed or seconds > self.value() * expected:
            self._taken, self._expected = self._taken + seconds, self._expected + expected

    def fits(self, notebook, now):
        """Whether a notebook that starts now would end before the deadline."""
        return self.deadline is None or now + self.value() * expected_seconds(notebook) <= self.deadline


def expected_seconds(notebook):
    """What the recipes say on the smallest tier; for a notebook without a recipe the mean of all others."""
    known = recipes.notebooks()
    numbers = [notebook[:2]] if notebook[:2] in known else known
    return 60 * sum(recipes.of(number, "cpu").minutes for number in numbers) / len(numbers)


def ordered(paths, root=ROOT):
    """The notebooks in the order in which they are tested where time is short.

    First those whose own file changed, then those whose code changed, then the rest; each of the three groups in an
    order drawn from the hash of the newest commit, so that none is always last.

    Args:
        paths: the notebooks.
        root: the clone.
    """
    commit = _git(root, "rev-parse", "HEAD") or [""]
    files = changed_files(root)
    drawn = {path: hashlib.sha256((commit[0] + path.stem).encode()).hexdigest() for path in paths}
    return sorted(paths, key=lambda path: (_group(path, files, root), drawn[path]))


def _group(path, files, root):
    if files is None or path.resolve() in files:
        return 0
    common = {root.resolve() / name for name in FOR_ALL}
    return 2 if files.isdisjoint(common | sources(path, root)) else 1


def changed_files(root=ROOT):
    """What differs between the files as they lie here and the state half a day before the newest commit.

    That state is the newest commit on the first-parent line that is CHANGE_SECONDS older than the newest one.

    Returns:
        A set of absolute paths; None where git or that much history is missing.
    """
    newest = _git(root, "log", "-1", "--format=%ct")
    age = newest and f"--min-age={int(newest[0]) - CHANGE_SECONDS}"
    before = newest and _git(root, "rev-list", "-1", "--first-parent", age, "HEAD")
    differ = before and _git(root, "diff", "--name-only", "--no-renames", "--no-relative", before[0])
    if not before or differ is None:
        return None
    unsaved = _git(root, "ls-files", "--others", "--exclude-standard") or []
    return {root.resolve() / name for name in [*differ, *unsaved]}


def _git(root, *words):
    """The lines that git prints; None when it fails, is not there, or knows only a folder around `root`."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "-c", "core.quotePath=off", *words], capture_output=True, encoding="utf-8"
        )
    except OSError:
        return None
    return done.stdout.splitlines() if done.returncode == 0 and (root / ".git").exists() else None


def sources(path, root=ROOT):
    """The files of the package that a notebook imports, and what these import in turn; and the records it may read.

    Args:
        path: the notebook.
        root: the clone.

    Returns:
        A set of absolute paths.
    """
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    texts = ["".join(cell["source"]) for cell in cells]
    root = root.resolve()
    found, waiting = set(), [name for text in texts for name in _names(text)]
    while waiting:
        for file in _files_of(waiting.pop(), root) - found:
            found.add(file)
            waiting += _names(file.read_text(encoding="utf-8"))
    records = (root / "notebooks" / "reference").glob("*.json")
    return found | {record for record in records if any(f'"{record.stem}"' in text for text in texts)}


def _names(text):
    """Dotted names of our package that a text imports, or holds as a string, as importlib is given them.

    Lines for IPython (% and !) are passed over; a cell that is no Python all the same imports nothing.
    """
    lines = ["" if line.startswith(("%", "!")) else line for line in text.splitlines()]
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError:
        return []
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.append(node.value)
    return [name for name in names if name.split(".")[0] == "course_utils" and name.replace(".", "").isidentifier()]


def _files_of(name, root):
    """The files that importing a dotted name reads: each package on the way, and the module."""
    folder, found = root, set()
    for part in name.split("."):
        found |= {file for file in (folder / part / "__init__.py", folder / f"{part}.py") if file.is_file()}
        folder = folder / part
    return found
