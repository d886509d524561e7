"""Sections of a notebook, as a lecturer teaches them: what begins with an H2, and how many minutes it takes.

    minutes = words of prose / WORDS_A_MINUTE + recipe's minutes · seconds of its cells / seconds of all cells

so that they are those of the machine that the recipe speaks of, wherever the notebook was saved. `python -m
helpers.notebook_sections FILE …` (with tests/ on the path) writes them into the metadata of the sections' first cells.
"""

import datetime
import json
import math
import re
import sys
from pathlib import Path

import nbformat

WORDS_A_MINUTE = 150  # read aloud
LONGEST = 8  # minutes that a lecturer has for one section
WORDS_A_CELL = 130


def sections(notebook):
    """Lists of cells, each beginning with the markdown cell that opens with an H2; what stands before is left out."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            found.append([])
        if found:
            found[-1].append(cell)
    return found


def words(cell):
    """Words of prose: tables, code, formulas, what is folded, and addresses do not count."""
    text = re.sub(r"<details>.*?</details>|```.*?```|\$\$.*?\$\$|\]\([^)]*\)", " ", cell.source, flags=re.DOTALL)
    return len([word for line in text.splitlines() if not line.startswith("|") for word in line.split()])


def seconds(cell):
    """How long a cell ran when it was saved; 0 for prose and for what never ran."""
    times = cell.metadata.get("execution", {})
    ends = [times.get(name) for name in ("iopub.execute_input", "shell.execute_reply")]
    if None in ends:
        return 0.0
    begin, end = (datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) for text in ends)
    return (end - begin).total_seconds()


def minutes(notebook, of_recipe):
    """[(first cell, minutes rounded up), …] of each section."""
    whole = sum(seconds(cell) for cell in notebook.cells) or 1.0
    found = []
    for cells in sections(notebook):
        prose = sum(words(cell) for cell in cells if cell.cell_type == "markdown") / WORDS_A_MINUTE
        runs = of_recipe * sum(seconds(cell) for cell in cells) / whole
        found.append((cells[0], math.ceil(prose + runs)))
    return found


def wrong_minutes(notebook, of_recipe):
    """Problems: a section that says no minutes, others than it takes, or more than a lecturer has."""
    problems = []
    for cell, expected in minutes(notebook, of_recipe):
        said = cell.metadata.get("minutes")
        if said is None or abs(said - expected) > 1:  # another machine shares its seconds out differently
            problems.append(f"{cell.id}: says {said} minutes in its metadata, and takes {expected}")
        if expected > LONGEST:
            problems.append(f"{cell.id}: takes {expected} minutes, and a lecturer has {LONGEST}; part the section")
    return problems


def long_prose(notebook):
    """Problems: prose that nobody reads to its end."""
    counts = {cell.id: words(cell) for cell in notebook.cells if cell.cell_type == "markdown"}
    return [f"{id}: {count} words; at most {WORDS_A_CELL}" for id, count in counts.items() if count > WORDS_A_CELL]


def write_minutes(path, of_recipe):
    """Put the minutes into a notebook's file, and change nothing else."""
    notebook, raw = nbformat.read(path, as_version=4), json.loads(path.read_text(encoding="utf-8"))
    known = {cell.id: expected for cell, expected in minutes(notebook, of_recipe)}
    for cell in raw["cells"]:
        if cell["id"] in known:
            cell["metadata"]["minutes"] = known[cell["id"]]
    path.write_text(json.dumps(raw, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    from course_utils import recipes

    for name in sys.argv[1:]:
        write_minutes(Path(name), recipes.of(Path(name).name[:2], "cpu").minutes)
