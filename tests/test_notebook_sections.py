"""Sections say their minutes, fit into a lecture, and hold no prose that is too long; each rule is seen to fire."""

from pathlib import Path

import nbformat
import pytest
from helpers import notebook_sections as form
from helpers import sample_notebooks as made

from course_utils import recipes

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@every_notebook
def test_sections_say_their_minutes(path):
    of_recipe = recipes.of(path.stem[:2], "cpu").minutes
    assert form.wrong_minutes(nbformat.read(path, as_version=4), of_recipe) == []


@every_notebook
def test_no_prose_is_too_long(path):
    assert form.long_prose(nbformat.read(path, as_version=4)) == []


def notebook(tmp_path, prose="a word", seconds=(30, 10)):
    """Two sections: prose and a cell of 30 seconds; a cell of 10 seconds."""
    cells = []
    for number, length in enumerate(seconds):
        cells.append(made.prose(f"section-{number}", f"## Section {number}\n\n{prose}"))
        cells.append(made.code(f"cell-{number}", "x = 1"))
        cells[-1].metadata["execution"] = {
            "iopub.execute_input": "2026-01-01T00:00:00.000000Z",
            "shell.execute_reply": f"2026-01-01T00:00:{length:02d}.000000Z",
        }
    path = tmp_path / "00_made.ipynb"
    made.notebook([made.prose("title", "# Title"), *cells], path)
    return path


def test_minutes_are_prose_and_a_share_of_the_recipe_s(tmp_path):
    path = notebook(tmp_path, prose="word " * (form.WORDS_A_MINUTE - 3))
    read = nbformat.read(path, as_version=4)
    assert [found for _, found in form.minutes(read, of_recipe=2.0)] == [3, 2]  # 1 + 1.5, 1 + 0.5
    assert len(form.wrong_minutes(read, 2.0)) == 2
    form.write_minutes(path, 2.0)
    read = nbformat.read(path, as_version=4)
    assert [cells[0].metadata["minutes"] for cells in form.sections(read)] == [3, 2]
    assert form.wrong_minutes(read, 2.0) == []
    assert form.wrong_minutes(read, 20.0)[1] == "section-0: takes 16 minutes, and a lecturer has 8; part the section"


def test_long_prose_is_found_and_tables_and_folded_answers_do_not_count(tmp_path):
    text = "word " * 120 + "\n| a | b | c |\n\n<details><summary>Solution</summary>\n\n" + "word " * 50 + "</details>"
    assert form.long_prose(nbformat.read(notebook(tmp_path, prose=text), as_version=4)) == []
    read = nbformat.read(notebook(tmp_path, prose="word " * 128), as_version=4)
    assert form.long_prose(read)[0] == "section-0: 131 words; at most 130"
