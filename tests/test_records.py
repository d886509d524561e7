"""The files of results survive two writers, a reader at any moment, and a hand that edits them."""

import errno
import json
import multiprocessing
import os

import pytest

from course_utils import files, records


def test_no_file_means_no_records(tmp_path):
    assert records.read(tmp_path / "none.json") == []


def test_replace_keeps_the_place_and_the_others(tmp_path):
    path = tmp_path / "deep" / "list.json"
    for id, value in (("a", 1), ("b", 2), ("a", 3)):
        records.replace(path, {"notebook": "n", "id": id, "value": value})
    records.replace(path, {"notebook": "other", "id": "a", "value": 4})
    assert [(r["notebook"], r["id"], r["value"]) for r in records.read(path)] == [
        ("n", "a", 3),
        ("n", "b", 2),
        ("other", "a", 4),
    ]


@pytest.mark.parametrize("text", ['[{"id": 1}', '{"id": 1}', "\xff\xfe"])
def test_a_damaged_file_is_named_with_the_fix(tmp_path, text):
    path = tmp_path / "claims.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"Expected a JSON list in .*claims\.json(?s:.*)Delete the file"):
        records.read(path)


def test_a_write_that_fails_leaves_the_old_list(tmp_path):
    path = tmp_path / "claims.json"
    records.write(path, [{"id": "a"}])
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.write(path, [{"measured": float("nan")}])
    assert json.loads(path.read_text()) == [{"id": "a"}]


def test_the_old_list_stands_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "claims.json"
    records.write(path, [{"id": "a"}])
    monkeypatch.setattr(files.os, "replace", lambda *names: pytest.fail("killed before the rename"))
    with pytest.raises(pytest.fail.Exception):
        records.write(path, [{"id": "b"}])
    assert records.read(path) == [{"id": "a"}] and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("change", [records.write, records.update])
def test_a_full_or_read_only_disk_is_one_message_and_leaves_no_file(tmp_path, monkeypatch, number, change):
    path = tmp_path / "claims.json"
    records.write(path, [{"id": "a"}])

    def fail(file):
        raise OSError(number, "no")

    monkeypatch.setattr(files, "sync", fail)
    with pytest.raises(files.AssetError, match=r"Writing claims.json stopped: (?s:.*)COURSE_RESULTS"):
        change(path, [{"id": "b"}] if change is records.write else lambda kept: [])
    monkeypatch.undo()
    assert records.read(path) == [{"id": "a"}]
    assert {file.name for file in tmp_path.iterdir()} <= {"claims.json", ".lock"}


def test_what_a_killed_process_left_is_removed_once_it_is_old(tmp_path):
    old, fresh = tmp_path / ".claims.json.1", tmp_path / ".claims.json.2"
    old.touch(), fresh.touch()
    os.utime(old, (1, 1))
    records.write(tmp_path / "claims.json", [])
    assert fresh.exists() and not old.exists()


def _add(path, name, count, both_ready):
    both_ready.wait(timeout=60)
    for number in range(count):
        records.replace(path, {"notebook": name, "id": number})


def test_two_processes_lose_nothing_of_each_other(tmp_path):
    path, context = tmp_path / "claims.json", multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    both = [context.Process(target=_add, args=(path, name, 40, barrier)) for name in ("one", "two")]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert len(records.read(path)) == 80
