"""The form of a notebook, rule by rule. Each rule takes a notebook and gives a list of problems, each one a sentence.

nbval proves that a notebook's outputs are true; these rules prove that there is something to compare, and that a reader
meets the same shape in each notebook. Cells are named by their ids, which a translation and these tests hang on.
"""

import ast
import re
import socket
import statistics

UNCOMPARED = {"nbval-skip", "nbval-ignore-output"}
PARTS = ("promise", "prediction", "run", "break", "claims")
# What nbval compares of a plot or a widget is its type's name: text, but not a result
NO_RESULT = re.compile(r"\s*(\[?<.*>\]?|[A-Za-z]*(Box|Output|Slider|Dropdown|interactive)\(.*\))\s*", re.DOTALL)
PROGRESS = re.compile(r"(\r?[^\r\n]*\d+%\|[^\r\n]*[\r\n]*)+")  # tqdm's bars, as tests/nbval_sanitize.cfg leaves out
MACHINE = [
    (r"(?<![\w.~])/(work|root|home|Users|tmp|opt|mnt|srv|private|var)/[\w.-]", "a path of one machine"),
    (r"\b[A-Z]:\\{1,2}\w", "a path of one machine"),
    (r"\b(hf_[A-Za-z0-9]|gh[pousr]_[A-Za-z0-9]|github_pat_\w|sk-[A-Za-z0-9-])[\w-]{19,}|\bAKIA[A-Z0-9]{16}", "a token"),
    (r"\b(10|127|192\.168|172\.(1[6-9]|2\d|3[01]))(\.\d{1,3}){2,3}\b", "a private address"),
    (r"\b[\w-]+\.(local|internal|lan|corp|intranet)\b(?!\()", "a private host name"),
]
SIZE_NAME = re.compile(r"(^|_)(steps|epochs|batch|batch_size|lr|learning_rate|max_length|max_new_tokens)$")
SIZE_FROM = 100  # numbers of three digits are sizes, and sizes live in recipes
NOT_SIZES = {"figsize", "dpi", "width", "height", "max_width", "max_height", "seed", "within", "linelength", "indent"}
NOT_RUNS = {"predict", "score", "expect", "check"}  # a guess or a threshold is no size of a run


def code_cells(notebook):
    """The code cells that hold any code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def tags(cell):
    """The tags of a cell, as a set; nbval also takes them as comments, `# NBVAL_SKIP`."""
    comments = re.findall(r"^\s*#+\s*(NBVAL_\w+)\s*$", cell.source, re.MULTILINE)
    return {*cell.metadata.get("tags", []), *(comment.lower().replace("_", "-") for comment in comments)}


def tree(cell):
    """The syntax tree of a cell, IPython's own lines left out."""
    lines = cell.source.splitlines()
    return ast.parse("\n".join("pass" if re.match(r"\s*[%!]", line) else line for line in lines))


def printed(cell):
    """The text of a cell's outputs that nbval compares and that says something."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            texts.append(output.text)
        elif output.output_type in ("execute_result", "display_data"):
            text = output.data.get("text/plain", "")
            texts.append("" if NO_RESULT.fullmatch(text) else text)
    return "".join(texts).strip()


def counts_and_outputs(notebook):
    """Every code cell has an execution count, in the order of one run from the top; no errors, no widget state."""
    problems, before = [], 0
    for cell in code_cells(notebook):
        count = cell.execution_count
        if count is None:
            problems.append(f"{cell.id}: no execution count, so nbval compares nothing there; run it and save")
        elif count <= before:
            problems.append(f"{cell.id}: execution count {count} after {before}; run from the top and save")
        before = count or before
        if any(output.output_type == "error" for output in cell.outputs):
            problems.append(f"{cell.id}: a stored error; catch it in the cell and print what it teaches")
        errors = [output.text for output in cell.outputs if output.get("name") == "stderr"]
        if PROGRESS.sub("", "".join(errors)).strip() and not tags(cell) & UNCOMPARED:
            problems.append(f"{cell.id}: compared text on stderr, where warnings differ each time; silence its cause")
    if "widgets" in notebook.metadata:
        problems.append("metadata.widgets: widget state is stored, which keeps the notebook from rendering")
    return problems


def compared(notebook):
    """In ≥ 60 % of code cells some text is compared; in ≤ 20 % nothing is: skipped, ignored, or pictures alone.

    Between the two are cells that print nothing, as an import or a definition; nbval checks that they stay silent.
    """
    cells = code_cells(notebook)
    loose = [cell.id for cell in cells if tags(cell) & UNCOMPARED or (cell.outputs and not printed(cell))]
    telling = [cell for cell in cells if cell.id not in loose and printed(cell)]
    problems = []
    if len(telling) < 0.6 * len(cells):
        problems.append(f"text is compared in {len(telling)} of {len(cells)} code cells, expected 60 %; print more")
    if len(loose) > 0.2 * len(cells):
        problems.append(
            f"nothing compared in {len(loose)} of {len(cells)} code cells, at most 20 %: {', '.join(loose)}"
        )
    return problems


def shape(notebook):
    """30 to 80 cells; code cells of ≤ 20 lines, median ≤ 8; three in a row at most twice, never four."""
    cells, code, problems = notebook.cells, code_cells(notebook), []
    if not 30 <= len(cells) <= 80:
        problems.append(f"{len(cells)} cells, expected 30 to 80")
    lengths = {cell.id: sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in code}
    problems += [f"{id}: {lines} lines of code, at most 20" for id, lines in lengths.items() if lines > 20]
    if lengths and statistics.median(lengths.values()) > 8:
        problems.append(f"code cells have {statistics.median(lengths.values())} lines in the median, at most 8")
    rows = [len(row) for row in re.findall("c+", "".join("c" if cell in code else "." for cell in cells))]
    if max(rows, default=0) > 3 or rows.count(3) > 2:
        problems.append(f"code cells in a row: {rows}; three at most twice, never four. Say between them what was seen")
    return problems


def ids(notebook):
    """Cell ids are unique and describe: lowercase words with dashes, not the random ones that editors give."""
    problems, seen = [], set()
    for cell in notebook.cells:
        id = cell.get("id", "")
        if not re.fullmatch(r"[a-z]+[a-z0-9]*(-[a-z0-9]+)*", id) or re.fullmatch(r"[0-9a-f]{6,}(-[0-9a-f-]+)?", id):
            problems.append(f"cell id {id!r}: expected words with dashes that say what it does, as 'run-few-shot'")
        if id in seen:
            problems.append(f"cell id {id!r} twice")
        seen.add(id)
    return problems


def parts(notebook):
    """The five parts are there: cells whose ids begin with promise, prediction, run, break, claims."""
    firsts = {}
    for position, cell in enumerate(notebook.cells):
        firsts.setdefault(cell.get("id", "").split("-")[0], position)
    problems = [f"no cell whose id begins with '{part}'" for part in PARTS if part not in firsts]
    order = [part for part in ("promise", "prediction", "run", "claims") if part in firsts]
    if [firsts[part] for part in order] != sorted(firsts[part] for part in order):
        problems.append(f"the parts stand in another order than {', '.join(order)}")
    for asked, answered in (("expect", "check"), ("predict", "score")):
        asking, answering = _named(notebook, asked), _named(notebook, answered)
        problems += [f"'{id}' has {asked}(…) and no {answered}(…)" for id in sorted(asking - answering)]
        problems += [f"'{id}' has {answered}(…) and no {asked}(…)" for id in sorted(answering - asking)]
    return problems


def _named(notebook, function):
    """The ids given as constants to calls of a function with this name."""
    calls = [node for cell in code_cells(notebook) for node in ast.walk(tree(cell)) if isinstance(node, ast.Call)]
    calls = [call for call in calls if function == _called(call) and call.args]
    return {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}


def _called(call):
    return getattr(call.func, "attr", getattr(call.func, "id", None))


def exercises(notebook, checker_tests):
    """An exercise's stub is skipped by nbval, uses a checker that a test covers, and has a folded solution.

    Args:
        checker_tests: the text of the tests of the package's checkers.
    """
    problems, solutions = [], {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "markdown"}
    for cell in code_cells(notebook):
        if not cell.id.startswith("exercise-"):
            if "nbval-skip" in tags(cell):
                problems.append(f"{cell.id}: skipped by nbval and no exercise; only a cell 'exercise-…' may be")
            continue
        if "nbval-skip" not in tags(cell):
            problems.append(f"{cell.id}: a stub that the reader fills in; tag it nbval-skip")
        name = cell.id.removeprefix("exercise-")
        if "<details>" not in solutions.get(f"solution-{name}", ""):
            problems.append(f"{cell.id}: no markdown cell 'solution-{name}' with the solution folded in <details>")
        called = [_called(node) for node in ast.walk(tree(cell)) if isinstance(node, ast.Call)]
        if not any(name and re.search(rf"\b{name}\(", checker_tests) for name in called):
            problems.append(f"{cell.id}: calls no checker that a test in tests/checks covers")
    return problems


def shown_sources(notebook, root):
    """What `show_source` printed is what the package's files say today; docstrings are left out.

    Args:
        root: the folder that the shown paths are relative to.
    """
    problems = []
    for cell in code_cells(notebook):
        if "show_source(" not in cell.source:
            continue
        _, *shown = re.split(r"^# (course_utils/\S+\.py)$", printed(cell), flags=re.MULTILINE)
        for path, text in zip(shown[::2], shown[1::2], strict=True):
            lines = iter((root / path).read_text(encoding="utf-8").splitlines())
            if missing := next((line for line in text.strip("\n").splitlines() if line not in lines), None):
                problems.append(
                    f"{cell.id} shows what {path} does not say: {missing.strip()!r}. Run the notebook again"
                )
    return problems


def sizes(notebook):
    """No size of a run: steps, rates and numbers of three digits come from recipes, which know the machine."""
    problems = []
    for cell in code_cells(notebook):
        for name, value in _given(tree(cell)):
            if isinstance(value, bool) or not isinstance(value, int | float) or name in NOT_SIZES:
                continue
            if (isinstance(value, int) and abs(value) >= SIZE_FROM) or (name and SIZE_NAME.search(name)):
                problems.append(f"{cell.id}: {name or 'an argument'} is {value}; sizes belong into recipes.py")
    return problems


def _given(module):
    """(name, value) of each constant that is assigned or passed to a call, in lists and tuples too."""
    for node in ast.walk(module):
        given = []
        if isinstance(node, ast.Assign):
            given = [(getattr(target, "id", getattr(target, "attr", None)), node.value) for target in node.targets]
        elif isinstance(node, ast.Call) and _called(node) not in NOT_RUNS:
            given = [(None, value) for value in node.args] + [(word.arg, word.value) for word in node.keywords]
        for name, value in given:
            inside = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
            yield from ((name, item.value) for item in inside if isinstance(item, ast.Constant))


def machine(notebook):
    """Nothing in sources or outputs that belongs to the author's machine."""
    problems, host = [], socket.gethostname()
    for cell in notebook.cells:
        outputs = [output.get("text", "") for output in cell.get("outputs", [])]
        outputs += [text for o in cell.get("outputs", []) for kind, text in o.get("data", {}).items() if "text" in kind]
        text = "\n".join([cell.source, *map(str, outputs)])
        found = [(match.group(), what) for pattern, what in MACHINE for match in re.finditer(pattern, text)]
        if len(host) > 5 and host != "localhost" and host in text:
            found.append((host, "this machine's name"))
        problems += [f"{cell.id}: {what}, {text!r}" for text, what in found]
    return problems


def promise(notebook, recipe, tiers):
    """The promise's table has the minutes and memory of recipes, a row for each tier: | cpu | 4 min | 1.9 GB |.

    Args:
        recipe: gives for a tier what has .minutes and .memory_gb; raises LookupError when the notebook has no row.
        tiers: the names of all tiers.
    """
    text = "\n".join(cell.source for cell in notebook.cells if cell.get("id", "").split("-")[0] == "promise")
    problems = []
    for tier in tiers:
        try:
            row = recipe(tier)
        except (LookupError, ValueError) as error:
            problems.append(f"recipes has no row for tier {tier}: {error}")
            continue
        found = re.search(rf"\|\s*`?{tier}`?\s*\|[^|\d]*([\d.]+)\s*min[^|]*\|[^|\d]*([\d.]+)\s*GB", text)
        expected = f"| {tier} | {row.minutes:g} min | {row.memory_gb:g} GB |"
        if not found:
            problems.append(f"the promise has no table row {expected}")
        elif (float(found[1]), float(found[2])) != (row.minutes, row.memory_gb):
            problems.append(f"the promise says {found.group()}, recipes say {expected}")
    return problems


def first_cell(notebook):
    """The first code cell, which is the same everywhere, has at most eight lines."""
    first = code_cells(notebook)[0]
    lines = len(first.source.strip().splitlines())
    return [f"{first.id}: {lines} lines, at most 8, because the first cell is the same everywhere"] if lines > 8 else []


def defined(cells):
    """Names of the functions and classes that the cells define, each with the cell's id."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [(node.name, cell.id) for cell in cells for node in ast.walk(tree(cell)) if isinstance(node, kinds)]
