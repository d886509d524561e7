"""The pipeline of notebook 02 over 100 MB: megabytes a second, and how far its memory rises above the process's start.

The text is the corpus, round after round; from the second round on, one word in twenty of each document is another, so
that a document is no near-copy of itself. Documents are made while they are read: they are never all in memory, neither
here nor in the pipeline. Memory is set against the bar, 400 MB above the start. No peer plays here yet: `datatrove` has
the same rules, and is no dependency of the course.
"""

import argparse
import json
import random
import sys
import tempfile
import time

import side_by_side

BAR_MB = 400.0
MEMORY = {"key": "above_start_mb", "metric": "memory", "unit": "MiB"}
A_CHANGE = 20  # words, of which one is another


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=100, help="of text")
    parser.add_argument("--contender", choices=("ours",), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(contend(options.megabytes)))
        return
    results = side_by_side.play(__file__, ("ours",), options.rounds, ("--megabytes", options.megabytes))
    results["the bar"] = [{MEMORY["key"]: BAR_MB}] * options.rounds
    side_by_side.store([side_by_side.compare("data/pipeline", results, "ours", ("the bar",), **MEMORY)])


def contend(megabytes):
    """Clean so much text; {"megabytes_per_second", "above_start_mb", "kept_documents"}."""
    from course_utils import runtime
    from course_utils.text import pipeline

    runtime.start(quiet=True)
    for _ in documents(1):  # opens the packages, imports what is imported when first used: that is the start
        pass
    before, started = side_by_side.peak_memory_mb(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        report = pipeline.run(documents(megabytes), folder)
    seconds = time.perf_counter() - started
    return {
        "megabytes_per_second": megabytes / seconds, "above_start_mb": side_by_side.peak_memory_mb() - before,
        "kept_documents": report["copies"]["documents_out"],
    }  # fmt: skip


def documents(megabytes):
    """Documents of at least so many megabytes in UTF-8, one at a time."""
    from course_utils.text import corpus

    size, number, dice = 0, 0, random.Random(0)
    while True:
        for document in corpus.raw():
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
