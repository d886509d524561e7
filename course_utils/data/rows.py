"""Rows from elsewhere, checked before anything is learned from them: each fault is named with its row and its remedy.

Rows are a list of dictionaries or a datasets.Dataset. What people also pass (a DataFrame, a dict of lists) is taken;
what has no length (a generator, a stream) is refused, for nobody knows whether it ends.
"""

import math
import numbers
from collections.abc import Iterator, Mapping, Sequence

MARKS = ("<start_of_turn>", "<end_of_turn>")
DIALOGUES = {"messages": ("role", "content"), "conversations": ("from", "value")}  # columns that hold a whole dialogue
ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "model": "assistant"}
ROLES |= {"system": "system"}
SHOWN = 5


def listed(rows):
    """Rows as something with a length whose members are dictionaries.

    Raises:
        ValueError: there are none, they have no length, or one of them is no dictionary.
    """
    if hasattr(rows, "to_dict") and hasattr(rows, "columns") and hasattr(rows, "iloc"):
        rows = rows.to_dict("records")  # a DataFrame
    if isinstance(rows, Mapping):
        rows = _of_columns(rows)
    if isinstance(rows, str | bytes):
        raise ValueError(f"Expected rows, a list of dictionaries, got the text {short(rows)}. Read the file first.")
    if isinstance(rows, Iterator) or not hasattr(rows, "__len__") or not hasattr(rows, "__getitem__"):
        raise ValueError(
            f"Expected rows with a length, got a {type(rows).__name__}, of which nobody knows whether it ends. "
            "Write list(rows), or list(itertools.islice(rows, 1000))."
        )
    if not len(rows):
        raise ValueError("There are no rows. Was everything filtered away?")
    if isinstance(rows, Sequence):
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise ValueError(
                    f"Row {number} is a {type(row).__name__} ({short(row)}); expected a dictionary of columns."
                )
    return rows


def _of_columns(rows):
    """A dict of lists, of one length, as a list of dictionaries."""
    if any(hasattr(value, "column_names") for value in rows.values()):
        raise ValueError(f"These are the splits {sorted(rows)}, not rows. Choose one: rows[{sorted(rows)[0]!r}].")
    lengths = {name: len(value) for name, value in rows.items() if isinstance(value, list | tuple)}
    if len(lengths) < len(rows):
        raise ValueError(f"Expected a list of rows, got one dictionary with the columns {sorted(rows)}. Write [row].")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"The columns are of different length: {lengths}. Each row needs a value of every column.")
    return [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]


def need(rows, columns):
    """Raise ValueError unless every row has these columns."""
    missing = [column for column in columns if column not in rows[0]]
    if missing:
        raise ValueError(f"The rows have the columns {sorted(rows[0])}; {missing} is missing. Rename theirs.")
    for number, row in enumerate(rows):
        missing = [column for column in columns if column not in row]
        if missing:
            raise ValueError(
                f"Row {number} has the columns {sorted(row)}; {missing} is missing. Fill it in or drop it."
            )


def text(row, number, column, *, marks=MARKS, blank=False):
    """The text in one cell.

    Args:
        row: a dictionary.
        number: of the row, for the message.
        column: its name.
        marks: what may not stand in it, since a tokenizer would read a turn's end there.
        blank: whether it may be empty.

    Raises:
        ValueError: it is no text, is blank, cannot be encoded, or holds a turn mark.
    """
    return checked_text(row[column], f"Row {number}, column {column!r}", marks=marks, blank=blank)


def checked_text(value, where, *, marks=MARKS, blank=False):
    """The value, when it is a text that can be learned from; errors as for `text`, beginning with `where`."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise ValueError(f"{where} is empty ({value}). Fill it in, or drop the row.")
    if not isinstance(value, str):
        raise ValueError(f"{where} holds a {type(value).__name__} ({short(value)}); expected a text. Was it converted?")
    if not blank and not value.strip():
        raise ValueError(f"{where} holds no visible character ({short(value)}). Fill it in, or drop the row.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where} holds half of a surrogate pair at character {error.start} ({value[error.start]!a}), which no "
            "tokenizer can encode. Read the file as UTF-8, or replace it: text.encode('utf-8', 'replace').decode()."
        ) from None
    for mark in marks:
        if mark in value:
            raise ValueError(
                f"{where} holds the turn mark {mark}, which would end a turn inside the text. Remove it, or pass the "
                "turns one by one in a column 'messages'."
            )
    return value


def number(row, number, column):
    """A finite number from one cell; ValueError else."""
    value = row[column]
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"Row {number}, column {column!r} holds {short(value)}; expected a finite number.")
    return float(value)


def whole(name, value, least):
    """Raise ValueError unless an argument is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} is {short(value)}; expected a whole number of at least {least}.")


def turns(row, number, marks=MARKS):
    """The dialogue of one row, as chat messages.

    Args:
        row: with columns prompt and answer, or one of DIALOGUES with a list of turns.
        number: of the row, for the message.
        marks: as for `text`.

    Returns:
        A list of {"role": "system", "user" or "assistant", "content": str}; at most one system message first, then user
        and assistant in turn, the assistant last.

    Raises:
        ValueError: a role is unknown or out of turn, or a text is none; the message names row and turn.
    """
    column = next((name for name in DIALOGUES if name in row), None)
    if "prompt" in row or column is None:
        asked, said = (text(row, number, name, marks=marks) for name in ("prompt", "answer"))
        return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    found, (who, what) = row[column], DIALOGUES[column]
    if not isinstance(found, list | tuple) or not found:
        raise ValueError(f"Row {number}, column {column!r} holds {short(found)}; expected a list of turns.")
    messages = []
    for place, turn in enumerate(found):
        where = f"Row {number}, turn {place}"
        if not isinstance(turn, Mapping) or not {who, what} <= turn.keys():
            raise ValueError(f"{where} is {short(turn)}; expected a dictionary with {who!r} and {what!r}.")
        if not isinstance(turn[who], str) or turn[who] not in ROLES:
            raise ValueError(f"{where} is said by {short(turn[who])}; known roles are {', '.join(ROLES)}.")
        content = checked_text(_joined(turn[what], where), where, marks=marks)
        messages.append({"role": ROLES[turn[who]], "content": content})
    _check_order(messages, number)
    return messages


def _joined(content, where):
    """A text, or the texts of a list of parts."""
    if not isinstance(content, list | tuple):
        return content
    kinds = [part.get("type") if isinstance(part, Mapping) else type(part).__name__ for part in content]
    if not content or set(kinds) != {"text"}:
        raise ValueError(f"{where} is made of the parts {kinds}; expected a text, or parts of the type 'text' alone.")
    return "".join(checked_text(part.get("text"), where, blank=True) for part in content)


def _check_order(messages, number):
    roles = [message["role"] for message in messages]
    spoken = roles[1:] if roles[0] == "system" else roles
    if len(spoken) % 2 or spoken != ["user", "assistant"] * (len(spoken) // 2) or not spoken:
        raise ValueError(
            f"Row {number} has the roles {', '.join(roles[:8])}; expected user and assistant in turn, after at most "
            "one system message, the assistant last. Merge turns of one speaker, and cut what follows the last answer."
        )


def some(numbers_of_rows):
    """Row numbers for a message: "rows 4, 17, 40", the first few of them."""
    more = ", …" if len(numbers_of_rows) > SHOWN else ""
    return "rows " + ", ".join(map(str, numbers_of_rows[:SHOWN])) + more


def short(value):
    """A value as it is shown in a message: its first sixty characters."""
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "…"
