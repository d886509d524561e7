"""The whole pipeline: what goes and why, the same bytes after a kill at every write, and what it refuses."""

import json
import random
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from course_utils import files
from course_utils.text import near_duplicates, pipeline
from course_utils.text.corpus import Document

WORDS = [f"{a}{b}" for a in ("re", "un", "for", "mis", "out") for b in ("take", "make", "stand", "go", "give", "see")]


def prose(seed, sentences=8):
    dice = random.Random(seed)
    lines = [f"The {dice.randrange(10**6)} of that {' '.join(dice.choices(WORDS, k=9))}." for _ in range(sentences)]
    return " ".join(lines)


def documents():
    texts = [prose(seed) for seed in range(30)]
    texts += [prose(3).upper(), prose(4) + " One more word.", "Too short.", "menu | home | about\n" * 40]
    texts += [prose(40) + " Write to ada@example.org or call (202) 555-0123 about the card 4242 4242 4242 4242."]
    return [Document(f"d{number}", "made", text) for number, text in enumerate(texts)]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(pipeline, "SHARD", 3000)


def records(folder):
    parts = sorted(folder.glob("part-*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text(encoding="utf-8").splitlines()]


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_step_says_what_went_and_why(tmp_path):
    report = pipeline.run(documents(), tmp_path / "out", "prose")
    assert json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8")) == report
    filtered, copies, private = (report[name] for name in ("quality", "copies", "private data"))
    assert filtered["documents_in"] == 35 and filtered["documents_out"] == copies["documents_in"] == 33
    assert filtered["reasons"]["words"] == 1 and filtered["examples"]["words"] == ["d32"]
    assert copies["reasons"] == {"exact copy": 1, "near-copy": 1}
    assert private["documents_in"] == private["documents_out"] == copies["documents_out"] == 31
    assert private["reasons"] == {"card": 1, "email, unchecked": 1, "phone": 1}
    assert private["examples"]["card"] == ["d34"]
    assert filtered["characters_in"] == sum(len(document.text) for document in documents())
    written = records(tmp_path / "out")
    assert private["characters_out"] == sum(len(record["text"]) for record in written)
    assert "Write to <email> or call <phone> about the card <card>." in written[-1]["text"]
    assert len(list((tmp_path / "out").glob("part-*.jsonl"))) > 5
    assert set(written[0]) == {"id", "source", "text"}


def test_copies_are_found_across_shards_in_any_order(tmp_path):
    expected = None
    for seed in range(3):
        shuffled = documents()
        random.Random(seed).shuffle(shuffled)
        pipeline.run(shuffled, tmp_path / str(seed), "prose")
        texts = sorted(record["text"] for record in records(tmp_path / str(seed)))
        expected = expected or texts
        assert texts == expected


class Killed(BaseException):
    """As though the process had ended here."""


def test_a_run_killed_at_any_write_ends_in_the_same_bytes(tmp_path, monkeypatch):
    pipeline.run(documents(), tmp_path / "whole", "prose")
    expected, real, left = contents(tmp_path / "whole"), files.replace_bytes, [0]

    def dies(path, content):
        if not left[0]:
            raise Killed
        left[0] -= 1
        real(path, content)

    monkeypatch.setattr(files, "replace_bytes", dies)
    kills = 0
    for first in range(1, 200, 3):
        left[0] = first
        try:
            pipeline.run(documents(), tmp_path / "killed", "prose")
            break
        except Killed:
            kills += 1
    assert kills >= 5
    assert contents(tmp_path / "killed") == expected


def test_what_is_finished_is_not_judged_again(tmp_path, monkeypatch):
    real, left = near_duplicates.fingerprint, [20]

    def dies(text):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return real(text)

    monkeypatch.setattr(near_duplicates, "fingerprint", dies)
    with pytest.raises(Killed):
        pipeline.run(documents(), tmp_path, "prose")
    left[0] = 1000
    pipeline.run(documents(), tmp_path, "prose")
    assert 33 - 20 <= 1000 - left[0] < 33
    pipeline.run(None, tmp_path, "prose")  # it is all there


def test_of_two_in_one_folder_the_second_waits_and_reads_what_the_first_made(tmp_path, monkeypatch, capsys):
    judged, reports, go_on, real = [], [], threading.Event(), pipeline.quality.judge

    def slow(text, rules):
        judged.append(text)
        assert go_on.wait(60)
        return real(text, rules)

    monkeypatch.setattr(pipeline.quality, "judge", slow)
    runs = [
        threading.Thread(target=lambda: reports.append(pipeline.run(documents(), tmp_path, "prose"))) for _ in range(2)
    ]
    for run in runs:
        run.start()
    time.sleep(0.5)
    go_on.set()
    for run in runs:
        run.join(60)
    assert len(judged) == len(documents()) and reports[0] == reports[1]
    assert f"Another process is filling {tmp_path}; waiting for it." in capsys.readouterr().out


def test_anything_with_the_three_fields_is_a_document(tmp_path):
    stream = (SimpleNamespace(id=str(n), source="made", text=prose(n), licence="none") for n in range(20))
    report = pipeline.run(stream, tmp_path, "prose")
    assert report["quality"]["documents_in"] == 20


def test_a_stream_is_read_shard_by_shard(tmp_path, monkeypatch):
    read, waiting = [], []

    def stream():
        for number in range(60):
            read.append(number)
            yield Document(str(number), "made", prose(number))

    judged = lambda text, rules: waiting.append(len(read) - len(waiting)) or (text, None)  # noqa: E731
    monkeypatch.setattr(pipeline.quality, "judge", judged)
    pipeline.run(stream(), tmp_path, "prose")
    assert len(waiting) == 60 and max(waiting) <= 6  # what lies in memory between reading and judging


def test_a_folder_of_another_run_is_left_alone(tmp_path):
    pipeline.run(documents(), tmp_path, "prose", key="a")
    before = contents(tmp_path)
    for rules, key in (("web", "a"), ("prose", "b")):
        with pytest.raises(ValueError, match="holds a run over other documents or with other rules"):
            pipeline.run(documents(), tmp_path, rules, key=key)
    assert contents(tmp_path) == before


def test_no_document_is_said(tmp_path):
    with pytest.raises(ValueError, match="not one document"):
        pipeline.run([], tmp_path)


def test_all_thrown_out_is_a_result(tmp_path):
    report = pipeline.run([Document("a", "made", "short")], tmp_path)
    assert report["quality"]["documents_out"] == 0 and report["private data"]["documents_in"] == 0
    assert records(tmp_path) == []


def test_a_folder_becomes_documents(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/one.txt").write_text("first\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_bytes('{"text": "둘", "n": 1}\n\n{"text": "\\ud800x"}\n'.encode())
    (tmp_path / "c.md").write_text("# third", encoding="utf-8")
    (tmp_path / ".hidden").write_bytes(b"\xff")
    assert list(pipeline.documents_of(tmp_path)) == [
        Document("a.jsonl:1", "a.jsonl", "둘"),
        Document("a.jsonl:3", "a.jsonl", "?x"),
        Document("b/one.txt", "b/one.txt", "first\n"),
        Document("c.md", "c.md", "# third"),
    ]
    key = pipeline.key_of(tmp_path)
    (tmp_path / "c.md").write_text("# fourth", encoding="utf-8")
    assert key != pipeline.key_of(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.pdf", b"%PDF", "holds a.pdf"),
        ("a.txt", b"ab\xff", "a.txt is no UTF-8 at byte 2"),
        ("a.jsonl", b'{"text": "x"}\n{"body": "x"}\n', 'a.jsonl, line 2 is \'{"body": "x"}\''),
        ("a.jsonl", b'{"text": 5}\n', "a.jsonl, line 1"),
        ("a.jsonl", b"[1]\n", "a.jsonl, line 1"),
        ("a.jsonl", b"{\n", "a.jsonl, line 1"),
        ("a.jsonl", b"\xff\n", "a.jsonl, line 1 is no UTF-8"),
        ("a.jsonl", b"[" * 200_000 + b"\n", "a.jsonl, line 1 is '[[["),
    ],
)
def test_what_is_no_document_is_refused_by_name(name, content, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as caught:
        list(pipeline.documents_of(tmp_path))
    assert said in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that cannot be read, also by root")
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_a_file_that_cannot_be_read_is_named(name, tmp_path):
    (tmp_path / name).symlink_to("/proc/self/mem")
    with pytest.raises(ValueError, match=rf"{name} cannot be read \(.*\). Make it readable"):
        list(pipeline.documents_of(tmp_path))


def test_an_empty_folder_is_said(tmp_path):
    with pytest.raises(ValueError, match="holds no file"):
        list(pipeline.documents_of(tmp_path))
