"""Tables in plain text: they project well, survive a copy into a chat, and compare cell by cell in a test."""

import html

from course_utils.reporting import numbers

MEASURED = 8  # width of a measured number, so that one digit more on another machine moves no column


def side_by_side(rows):
    """Long texts beside each other, one row each, as an HTML table for a notebook.

    Args:
        rows: list of dicts of texts with the same keys; the keys are the headings.

    Raises:
        ValueError: no rows.
    """
    from IPython.display import HTML

    if not rows:
        raise ValueError("A table needs at least one row, got none. Did a filter drop everything?")
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
        ValueError: no rows.
    """
    print(as_text(rows, columns, title=title))


def as_text(rows, columns=None, *, title=None):
    """The table as a string; numbers stand to the right."""
    if not rows:
        raise ValueError("A table needs at least one row, got none. Did a filter drop everything?")
    columns = list(columns or rows[0])
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(column), *(len(line[i]) for line in cells)) for i, column in enumerate(columns)]
    numeric = [all(_stands_right(row.get(column)) for row in rows) for column in columns]
    lines = [columns, ["─" * width for width in widths], *cells]
    text = [
        "  ".join(
            cell.rjust(w) if right else cell.ljust(w) for cell, w, right in zip(line, widths, numeric, strict=True)
        )
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in ([title, ""] if title else []) + text)


def _stands_right(value):
    if isinstance(value, str):
        return value.startswith(numbers.MARK)
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value):
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.rjust(MEASURED) if text.startswith(numbers.MARK) else text
