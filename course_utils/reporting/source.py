"""Show a function of the package in a notebook, so that a reader reads the code that runs, not a copy of it."""

import ast
import inspect
import textwrap
from pathlib import Path

import course_utils
from course_utils.data.rows import short


def show_source(function, *, docstring=False):
    """Print where a function stands and its source.

    Args:
        function: a function or class of `course_utils`.
        docstring: whether to print the docstring too; the prose around the cell usually says it already.

    Raises:
        ValueError: it is something else.
    """
    function = inspect.unwrap(function)  # the file of a decorated function would be its decorator's
    written = inspect.isfunction(function) or inspect.isclass(function) or inspect.ismethod(function)
    if not written or not function.__module__.startswith(course_utils.__name__ + "."):
        raise ValueError(
            f"Expected a function or class of course_utils, got {short(function)}. Write its name as it was imported, "
            "without quotes and brackets, as show_source(plots.bars); for others take inspect.getsource."
        )
    lines = inspect.getsource(function).rstrip().splitlines()
    if not docstring:
        lines = _without_docstring(lines)
    place = Path(inspect.getsourcefile(function)).resolve().relative_to(Path(course_utils.__file__).resolve().parent)
    print(f"# course_utils/{place.as_posix()}")
    print("\n".join(lines))


def _without_docstring(lines):
    definition = ast.parse(textwrap.dedent("\n".join(lines))).body[0]
    if ast.get_docstring(definition) is None:
        return lines
    docstring = definition.body[0]
    return lines[: docstring.lineno - 1] + lines[docstring.end_lineno :]
