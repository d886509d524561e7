"""The pipeline of notebook 02: megabytes a second, and how far its memory rises above the process's start.

The text is the corpus, round after round; from the second round on, one word in twenty of each document is another, so
that a document is no near-copy of itself; of less than a round, documents are drawn, so that all sources are there. It
lies in one .jsonl, which every contender reads. Memory is set against the bar, 400 MB above the start.

With `--peer PYTHON`, the Python of an environment that has datatrove and spacy, datatrove plays as well: its rules of
C4 and Gopher, MinHash in 14 bands of 8, then its formatter for private data, one task, nothing compressed. It splits
words by a tokenizer, ours by spaces; each keeps what its own rules say, so the counts differ.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import side_by_side

BAR_MB = 400.0
SPEED = {"key": "megabytes_per_second", "metric": "speed", "unit": "MB/s"}
MEMORY = {"key": "above_start_mb", "metric": "memory", "unit": "MiB"}
A_ROUND_MB = 55  # a little less than the corpus has
A_CHANGE = 20  # words, of which one is another


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=100, help="of text")
    parser.add_argument("--peer", help="the Python of an environment with datatrove and spacy")
    parser.add_argument("--contender", choices=("ours", "datatrove"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(contend(options.contender, options.folder, options.peer)))
        return
    contenders = ("ours", "datatrove") if options.peer else ("ours",)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        with open(Path(folder) / "text.jsonl", "w", encoding="utf-8") as file:
            for document in documents(options.megabytes):
                file.write(json.dumps({"id": document.id, "text": document.text}) + "\n")
        asked = ("--folder", folder, *(("--peer", options.peer) if options.peer else ()))
        results = side_by_side.play(__file__, contenders, options.rounds, asked)
    results["the bar"] = [{MEMORY["key"]: BAR_MB}] * options.rounds
    records = [side_by_side.compare("data/pipeline", results, "ours", ("the bar",), **MEMORY)]
    if options.peer:
        records += [
            side_by_side.compare("data/datatrove", results, "ours", ("datatrove",), **k) for k in (SPEED, MEMORY)
        ]
    side_by_side.store(records)


def contend(name, folder, peer):
    """Clean the folder's text; {"megabytes_per_second", "above_start_mb", "kept_documents"}."""
    megabytes = (folder / "text.jsonl").stat().st_size / 1e6
    with tempfile.TemporaryDirectory(prefix="bench-") as output:
        if name == "datatrove":
            script = Path(__file__).with_name("data_by_datatrove.py")
            environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            done = subprocess.run([peer, script, folder, output], capture_output=True, text=True, env=environment)
            if done.returncode:
                raise RuntimeError(done.stderr[-1500:])
            found = json.loads(done.stdout.splitlines()[-1])
        else:
            found = ours(folder, output)
    return {"megabytes_per_second": megabytes / found.pop("seconds"), **found}


def ours(folder, output):
    from course_utils import runtime
    from course_utils.text import pipeline

    runtime.start(quiet=True)
    before, started = side_by_side.peak_memory_mb(), time.perf_counter()
    report = pipeline.run(pipeline.documents_of(folder), output)
    return {
        "seconds": time.perf_counter() - started, "above_start_mb": side_by_side.peak_memory_mb() - before,
        "kept_documents": report["copies"]["documents_out"],
    }  # fmt: skip


def documents(megabytes):
    """Documents of at least so many megabytes in UTF-8, one at a time."""
    from course_utils.text import corpus

    size, number, dice = 0, 0, random.Random(0)
    while True:
        for document in corpus.raw():
            if dice.random() > megabytes / A_ROUND_MB:
                continue
            text = changed(document.text, dice) if number else document.text
            yield corpus.Document(f"{document.id}#{number}", document.source, text)
            size += len(text.encode("utf-8"))
            if size >= megabytes * 1e6:
                return
        number += 1


def changed(text, dice):
    """The text with one word in A_CHANGE replaced by a number that stands nowhere else."""
    words = text.split(" ")
    for place in range(dice.randrange(A_CHANGE), len(words), A_CHANGE):
        words[place] = f"w{dice.randrange(10**9)}"
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
