"""The command: a folder in, shards and a report out, after a real kill too; what cannot be done is one message."""

import json
import os
import random
import subprocess
import sys
import time

import pytest

from course_utils.commands.data import main

SMALL_SHARDS = "import sys; from course_utils.text import pipeline; pipeline.SHARD = 20_000; "
SMALL_SHARDS += "from course_utils.commands import data; sys.exit(data.main(sys.argv[1:]))"


def prose(seed):
    dice = random.Random(seed)
    words = [f"{'' if dice.random() < 0.7 else 'the '}word{dice.randrange(3000)} " for _ in range(90)]
    return "And that is it. " + "".join(words) + "."


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "mine"
    place.mkdir()
    for name in range(4):
        rows = [{"text": prose(100 * name + number % 90)} for number in range(100)]
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (place / "note.md").write_text(prose(999) + " Call (202) 555-0123.", encoding="utf-8")
    return place


def written(place):
    return {path.name: path.read_bytes() for path in place.rglob("*") if path.is_file()} if place.exists() else {}


def test_it_cleans_and_reports(folder, capsys):
    assert main([str(folder), "--rules", "prose"]) == 0
    said = capsys.readouterr().out
    output = folder.with_name("mine-cleaned")
    assert str(output / "report.json") in said and "quality " in said and "private data" in said
    assert {path.name for path in output.iterdir()} == {".lock", "part-00000.jsonl", "report.json", "settings.json"}
    assert main([str(folder), "--rules", "prose"]) == 0  # all is there


def test_killed_for_good_it_goes_on_to_the_same_bytes(folder, tmp_path):
    command = [sys.executable, "-c", SMALL_SHARDS, str(folder), "--rules", "prose", "--output"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    killed, whole = tmp_path / "killed", written(tmp_path / "whole")
    assert len(whole) > 8 and b"<phone>" in b"".join(whole.values())
    for files in (5, 20, 30):
        process = subprocess.Popen([*command, str(killed)], stdout=subprocess.DEVNULL)
        while sum(len(names) for _, _, names in os.walk(killed)) < files and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.wait()
    subprocess.run([*command, str(killed)], check=True, capture_output=True)
    assert written(killed) == whole


def test_what_cannot_be_done_is_one_message(folder, capsys):
    (folder / "a.pdf").touch()
    for words, said in (
        ([str(folder)], "a.pdf"),
        ([str(folder / "nowhere")], "is no folder"),
        ([str(folder), "--output", str(folder / "out")], "would be read as a text next time"),
        ([str(folder), "--output", os.devnull], "Nothing can be written"),
    ):
        assert main(words) == 1
        assert said in capsys.readouterr().err
    assert written(folder.with_name("mine-cleaned")) == {}
