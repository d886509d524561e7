"""Small notebooks for the tests of the harness."""

import nbformat
from nbformat import v4


def code(id, source, *tags, printed="", count=1):
    """A code cell that ran: with its printed text and its execution count."""
    outputs = [v4.new_output("stream", name="stdout", text=printed)] if printed else []
    return v4.new_code_cell(source, id=id, metadata={"tags": list(tags)}, outputs=outputs, execution_count=count)


def prose(id, source="Some words."):
    """A markdown cell."""
    return v4.new_markdown_cell(source, id=id)


def notebook(cells, path=None):
    """A notebook of these cells, written to `path` when there is one; gives the notebook, or the path."""
    made = v4.new_notebook(cells=cells)
    if path is None:
        return made
    nbformat.write(made, path)
    return path
