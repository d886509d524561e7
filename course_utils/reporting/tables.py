"""Tables in plain text: they project well, survive a copy into a chat, and compare cell by cell in a test."""

import html

from course_utils.data import rows as data_rows
from course_utils.reporting import checked, numbers

MEASURED = 8  # width of a measured number, so that one digit more on another machine moves no column


def side_by_side(rows):
    """Long texts beside each other, one row each, as an HTML table for a notebook.

    Args:
        rows: list of dicts of texts with the same keys; the keys are the headings.

    Raises:
        ValueError: no rows, other keys in one of them, or a cell that is no text.
    """
    from IPython.display import HTML

    rows = _rows(rows)
    data_rows.need(rows, list(dict.fromkeys(name for row in rows for name in row)))
    for number, row in enumerate(rows):
        for name in row:
            checked.text(row[name], f"Row {number}, column {name!r}", blank=True)
    style = "text-align:left;vertical-align:top;padding:6px 12px;font-size:15px;white-space:pre-wrap;max-width:320px"
    lines = [("th", list(rows[0])), *(("td", [row[name] for name in rows[0]]) for row in rows)]
    cells = ("".join(f"<{tag} style='{style}'>{html.escape(text)}</{tag}>" for text in texts) for tag, texts in lines)
    return HTML("<table>" + "".join(f"<tr>{line}</tr>" for line in cells) + "</table>")


def show(rows, columns=None, *, title=None):
    """Print rows as an aligned table.

    Args:
        rows: list of dicts; a missing value prints as –.
        columns: keys in the order to print; default those of the first row.
        title: a line above.

    Raises:
        ValueError: no rows, a column that no row has, or a number that is not finite.
    """
    print(as_text(rows, columns, title=title))


def as_text(rows, columns=None, *, title=None):
    """The table as a string; numbers stand to the right."""
    rows = _rows(rows)
    columns = _columns(rows, columns)
    title = None if title is None else checked.text(title, "The table's title", blank=True)
    cells = [
        [_cell(row.get(column), f"Row {number}, column {column!r}") for column in columns]
        for number, row in enumerate(rows)
    ]
    widths = [max(len(str(column)), *(len(line[i]) for line in cells)) for i, column in enumerate(columns)]
    numeric = [all(_stands_right(row.get(column)) for row in rows) for column in columns]
    lines = [list(map(str, columns)), ["─" * width for width in widths], *cells]
    text = [
        "  ".join(
            cell.rjust(w) if right else cell.ljust(w) for cell, w, right in zip(line, widths, numeric, strict=True)
        )
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in ([title, ""] if title else []) + text)


def _rows(rows):
    """The rows as a list of dicts."""
    if rows is None or (hasattr(rows, "__len__") and not len(rows)) or rows is Ellipsis:
        raise ValueError("A table needs at least one row, got none. Did a filter drop everything?")
    return data_rows.listed(rows)


def _columns(rows, columns):
    """The columns to print: those asked for, each of which some row has, or those of the first row."""
    columns = rows[0] if columns is None else columns
    columns = columns if isinstance(columns, str) or not hasattr(columns, "__iter__") else list(columns)
    if not isinstance(columns, list) or not columns:
        raise ValueError(
            f"The table's columns are {data_rows.short(columns)}; expected a list of names, as ['method']."
        )
    known = list(dict.fromkeys(name for row in rows for name in row))
    if unknown := [name for name in columns if name not in known]:
        raise ValueError(f"No row of the table has the column {unknown[0]!r}. There are: {', '.join(map(str, known))}.")
    return columns


def _plain(value):
    """A number of numpy's or torch's as Python's own; anything else as it is."""
    return value.item() if getattr(value, "shape", None) == () else value


def _stands_right(value):
    value = _plain(value)
    if isinstance(value, str):
        return value.startswith(numbers.MARK)
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value, where):
    value = _plain(value)
    if value is None:
        return "–"
    if isinstance(value, float):
        checked.finite(value, where, "Is it the mean of no items? A value that is missing is None, and prints as –.")
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.rjust(MEASURED) if text.startswith(numbers.MARK) else text
