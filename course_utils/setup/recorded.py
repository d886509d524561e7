"""COURSE_RECORDED=1: a long cell shows its committed outputs instead of running, and so does each that needs its names.

A lecturer runs the first cell, goes to any section and starts there. A cell runs as it stands when it is quick and all
names that it uses are there; else the outputs that are stored in the notebook are shown, with one line that says so.
Of such a cell only the imports and definitions run. The names that it would have assigned are taken away, so that
nothing behind it computes with what an earlier cell left there. A cell that a reader has changed always runs.

What a cell changes in place (an adapter that is put into the model) is not noticed: begin at a section's first cell.
"""

import ast
import builtins
import datetime
import os
from dataclasses import dataclass
from pathlib import Path

LONG = 5.0  # seconds that a cell took when the notebook was saved
DEFINES = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
REPLAY = "__import__('course_utils.setup.recorded', fromlist=['replay']).replay"


@dataclass(frozen=True)
class Stored:
    """A code cell as it was saved."""

    notebook: str
    source: str
    outputs: tuple
    seconds: float


def asked():
    """True when COURSE_RECORDED is 1.

    Raises:
        ValueError: it is neither 1 nor 0.
    """
    value = os.environ.get("COURSE_RECORDED", "").strip()
    if value not in ("", "0", "1"):
        raise ValueError(f"COURSE_RECORDED is {value!r}; expected 1 (show what was recorded) or 0. Unset it for 0.")
    return value == "1"


def begin(shell, folder=Path(".")):
    """From now on let the cells of a shell be read back where that is due.

    Args:
        shell: IPython's.
        folder: holds the notebooks, as they were saved. They are read now, before an editor saves them anew.

    Returns:
        The line that tells a reader.
    """
    shell.course_recorded = known = stored(folder)
    kept = [each for each in shell.input_transformers_post if not hasattr(each, "course_recorded")]
    transform = lambda lines: _transformed(lines, known, shell.user_ns)  # noqa: E731
    transform.course_recorded = True
    shell.input_transformers_post[:] = [*kept, transform]
    return (
        f"recorded  COURSE_RECORDED=1: cells that took over {LONG:.0f} seconds, and those that lack a name, show what "
        "was saved with the course; a cell that you change runs"
    )


def stored(folder):
    """{source: Stored} of the code cells in a folder's notebooks that have outputs; the notebook in use comes first."""
    import nbformat

    ours = Path(os.environ.get("COURSE_NOTEBOOK") or os.environ.get("JPY_SESSION_NAME") or "").stem
    found = {}
    for path in sorted(Path(folder).glob("*.ipynb"), key=lambda path: (path.stem != ours, path.name)):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code" and cell.outputs:
                cell_stored = Stored(path.stem, cell.source.strip(), tuple(cell.outputs), _seconds(cell))
                found.setdefault(cell_stored.source, cell_stored)
    return found


def _seconds(cell):
    times = cell.metadata.get("execution", {})
    start, end = (times.get(name) for name in ("iopub.execute_input", "shell.execute_reply"))
    if not (start and end):
        return 0.0
    start, end = (datetime.datetime.fromisoformat(time.replace("Z", "+00:00")) for time in (start, end))
    return (end - start).total_seconds()


def _transformed(lines, known, names):
    """The lines of a cell, or those that show its stored outputs."""
    cell = known.get("".join(lines).strip())
    try:
        if cell is None or not (cell.seconds > LONG or missing(cell.source, names)):
            return lines
        tree = ast.parse(cell.source)
    except SyntaxError:  # a magic, or half a cell
        return lines
    here, kept = set(names), []
    for statement in tree.body:
        if isinstance(statement, DEFINES) and not _loaded(statement) - _bound(statement) - here - set(dir(builtins)):
            kept.append(ast.get_source_segment(cell.source, statement))
            here |= _bound(statement)
    return [line + "\n" for line in [*kept, f"{REPLAY}({cell.source!r})"]]


def replay(source):
    """Show what a cell had put out, and forget what it would have assigned."""
    from IPython import get_ipython
    from IPython.display import display

    shell = get_ipython()
    cell = shell.course_recorded[source]
    print(f"(recorded: as saved in {cell.notebook}; not run here)")
    for output in cell.outputs:
        if output.output_type == "stream":
            print(output.text, end="")
        elif "data" in output:
            display(dict(output.data), metadata=dict(output.metadata), raw=True)
    for statement in ast.parse(source).body:
        if not isinstance(statement, DEFINES):
            for name in _bound(statement):
                shell.user_ns.pop(name, None)


def missing(source, names):
    """The set of names that a cell needs from before it and that are not there.

    Args:
        source: Python.
        names: what there is, builtins aside.
    """
    here, lacking = {*names, *dir(builtins), "get_ipython", "display"}, set()
    for statement in ast.parse(source).body:
        own = set() if isinstance(statement, ast.Assign | ast.AugAssign) else _bound(statement)  # x = x + 1 needs an x
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):  # runs later, when the whole cell has
            own = bound(source)
        lacking |= _loaded(statement) - here - own
        here |= _bound(statement)
    return lacking


def bound(source):
    """The set of names that a cell assigns, imports or defines."""
    return set().union(*map(_bound, ast.parse(source).body))


def _bound(statement):
    """Names that a statement of a cell assigns, imports or defines in the cell itself."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    nodes = list(_outside_functions(statement))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler)}
    aliases = [alias for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    return names | {alias.asname or alias.name.partition(".")[0] for alias in aliases}


def _outside_functions(node):
    """The nodes below one, without what functions, lambdas and comprehensions keep to themselves."""
    yield node
    own = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    if not isinstance(node, (*own, ast.FunctionDef, ast.ClassDef)):
        for child in ast.iter_child_nodes(node):
            yield from _outside_functions(child)


def _loaded(statement):
    """Names that a statement reads and does not make inside: arguments, loop variables, a function's own names."""
    nodes = list(ast.walk(statement))
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    read |= {node.target.id for node in nodes if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)}
    outside = set(map(id, _outside_functions(statement)))
    inner = {
        node.id
        for node in nodes
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in outside
    }
    return read - inner - {node.arg for node in nodes if isinstance(node, ast.arg)}
