"""The course as one command: every notebook in order, one table, and an exit status that a gate can trust."""

import json
import os

import pytest
from helpers import sample_notebooks as made

from course_utils import records
from course_utils.commands import course, notebook_runner
from course_utils.reporting import claims
from course_utils.setup import environment

EXPECT = "claims.expect('{0}', statement='s', baseline='b', kind='{1}', at_least=1)"
IMPORT = f"import sys; sys.path.insert(0, {str(course.NOTEBOOKS.parent)!r}); from course_utils.reporting import claims"


def write(folder, name, *sources):
    cells = [made.code(f"run-{number}", source) for number, source in enumerate(sources)]
    return made.notebook(cells, folder / f"{name}.ipynb")


def kept(name):
    return json.loads((claims.path().parent / name).read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "books").mkdir()
    return tmp_path / "books"


def test_one_failure_does_not_stop_the_rest(folder, capsys):
    write(folder, "00_bad", "raise ValueError('no')")
    write(folder, "01_good", IMPORT, EXPECT.format("good", "required"), "claims.check('good', measured=2)")
    assert course.main(["--folder", str(folder)]) == 1
    rows = kept("notebooks.json")
    assert [(row["notebook"], row["status"], row["cells"]) for row in rows] == [
        ("00_bad", "failed", 0),
        ("01_good", "ok", 3),
    ]
    assert {"notebook", "seconds", "peak_memory_mb", "cells", "status"} <= set(rows[0])
    assert [(record["id"], record["notebook"]) for record in kept("claims.json")] == [("good", "01_good")]
    assert (claims.path().parent / "executed" / "01_good.ipynb").exists()
    printed = capsys.readouterr().out
    assert "[2/2] 01_good" in printed and "run-0: ValueError: no" in printed and "≥ 1" in printed


@pytest.mark.parametrize(
    ("kind", "check", "status"),
    [
        ("required", "claims.check('c', measured=2)", 0),
        ("required", "claims.check('c', measured=0)", 1),
        ("required", "claims.check('c', measured=2, interval=(0, 4))", 1),
        ("required", "pass", 1),
        ("observed", "claims.check('c', measured=0)", 0),
    ],
)
def test_required_claims_gate(folder, capsys, kind, check, status):
    write(folder, "05_claims", IMPORT, EXPECT.format("c", kind), check)
    assert course.main(["--folder", str(folder)]) == status
    assert ("required, and not shown to hold: c" in capsys.readouterr().out) is bool(status)


@pytest.mark.parametrize(("kind", "status"), [("required", 1), ("observed", 0)])
def test_a_required_claim_without_a_record_never_passes(folder, capsys, kind, status):
    """A notebook that reports elsewhere, as two relative places once did, must not pass for one that holds."""
    lose = "claims.records.replace = lambda path, record: None"
    write(folder, "05_claims", IMPORT, lose, EXPECT.format("c", kind))
    assert course.main(["--folder", str(folder)]) == status
    assert ("required, and not shown to hold: c (no record)" in capsys.readouterr().out) is bool(status)


def test_relative_places_are_one_place_for_course_and_kernel(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_RESULTS", "relative")
    write(folder, "05_claims", IMPORT, EXPECT.format("c", "required"), "claims.check('c', measured=2)")
    assert course.main(["--folder", str(folder)]) == 0
    assert [record["id"] for record in records.read(tmp_path / "relative/claims.json")] == ["c"]
    assert not (folder / "relative").exists()


def test_required_claims_are_read_from_the_cells(folder):
    path = write(
        folder, "05_claims", "%matplotlib inline\nclaims.expect('a', statement='s', baseline='b', kind='required')",
        "claims.expect(id='b', kind='required')\nclaims.expect('c', kind='observed')", "claims.expect('d', kind=",
        "for name in 'xy': claims.expect(name, kind='required')",
    )  # fmt: skip
    assert course.required_claims(path) == ["a", "b"]


def test_an_old_record_does_not_carry_a_new_run(folder, monkeypatch):
    path = write(folder, "05_claims", IMPORT, EXPECT.format("c", "required"), "claims.check('c', measured=2)")
    assert course.main(["--folder", str(folder)]) == 0
    write(folder, "05_claims", IMPORT, "1 / 0")
    assert course.main(["--folder", str(folder), "--notebooks", "05"]) == 1
    assert kept("claims.json") == []
    assert [row["status"] for row in kept("notebooks.json")] == ["failed"]
    assert path.exists()


def test_an_interrupt_keeps_the_results_so_far_and_stops(folder, monkeypatch):
    write(folder, "00_a"), write(folder, "01_b"), write(folder, "02_c")
    outcomes = {"00_a": "ok", "01_b": "interrupted"}

    def fake(path, **options):
        return notebook_runner.Outcome(path.stem, status=outcomes[path.stem])

    monkeypatch.setattr(notebook_runner, "run_notebook", fake)
    assert course.main(["--folder", str(folder)]) == 130
    assert [(row["notebook"], row["status"]) for row in kept("notebooks.json")] == [
        ("00_a", "ok"),
        ("01_b", "interrupted"),
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", ["00_a", "05_b"]),
        ("05 00", ["00_a", "05_b"]),
        ("05", ["05_b"]),
        ("00_a.ipynb,", ["00_a"]),
        ("05_b", ["05_b"]),
    ],
)
def test_select(folder, wanted, expected):
    write(folder, "05_b"), write(folder, "00_a")
    assert [path.stem for path in course.select(wanted, folder)] == expected


def test_all_assets_come_with_the_course_and_those_of_a_notebook_with_it_alone(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(environment, "fetch_missing_assets", asked.append)
    monkeypatch.setattr(course, "_run_all", lambda paths, options: [])
    write(folder, "05_a"), write(folder, "11_b"), write(folder, "15_c")
    for words in ([], ["--notebooks", "05"], ["--notebooks", "15 11"]):
        assert course.main(["--folder", str(folder), *words]) == 0
    assert asked == [None, ["base-model", "reviews"], ["base-model", "reviews", "instructions"]]


def test_an_unknown_notebook_is_refused_with_the_list(folder, capsys):
    assert course.main(["--folder", str(folder)]) == 2
    write(folder, "00_a")
    assert course.main(["--folder", str(folder), "--notebooks", "00 7"]) == 2
    errors = capsys.readouterr().err
    assert "There is no notebook in" in errors and "No notebook 7. There are: 00_a." in errors


def test_saving_runs_as_the_tests_do_and_writes_the_notebook(folder, tmp_path):
    report = (
        "import os; print([os.environ[n] for n in ('COURSE_TIER', 'COURSE_SEED', 'COURSE_OFFLINE', 'COURSE_RESULTS')])"
    )
    path = write(folder, "00_a", report)
    before = dict(os.environ)
    assert course.main(["--folder", str(folder), "--save"]) == 0
    saved = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    assert saved["execution_count"] == 1
    assert saved["outputs"][0]["text"][0].startswith("['cpu', '0', '1', ")
    assert str(tmp_path) not in saved["outputs"][0]["text"][0].replace(os.sep, "/")
    assert dict(os.environ) == before
    assert records.read(tmp_path / "results" / "notebooks.json") == []


def test_a_failing_notebook_is_not_saved(folder):
    path = write(folder, "00_a", "1 / 0")
    before = path.read_bytes()
    assert course.main(["--folder", str(folder), "--save"]) == 1
    assert path.read_bytes() == before
