"""Show a function of the package in a notebook, so that a reader reads the code that runs, not a copy of it."""

import inspect
from pathlib import Path

import course_utils


def show_source(function, *, docstring=False):
    """Print where a function stands and its source.

    Args:
        function: a function or class of `course_utils`.
        docstring: whether to print the docstring too; the prose around the cell usually says it already.
    """
    lines = inspect.getsource(function).rstrip().splitlines()
    if not docstring:
        lines = _without_docstring(function, lines)
    place = Path(inspect.getsourcefile(function)).resolve().relative_to(Path(course_utils.__file__).resolve().parent)
    print(f"# course_utils/{place.as_posix()}")
    print("\n".join(lines))


def _without_docstring(function, lines):
    quotes = '"""'
    start = next((i for i, line in enumerate(lines) if line.strip().startswith(quotes)), None)
    if function.__doc__ is None or start is None:
        return lines
    end = (
        start
        if lines[start].count(quotes) == 2
        else next(i for i in range(start + 1, len(lines)) if quotes in lines[i])
    )
    return lines[:start] + lines[end + 1 :]
