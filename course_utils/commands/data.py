"""`python -m course_utils data FOLDER`: the pipeline of notebook 02 over a folder of your own.

It reads .txt and .md (one document each) and .jsonl (a document a line, in the field "text"), and writes
part-00000.jsonl and so on, and report.json. Killed, it goes on where it was when the same command is given again.
"""

import argparse
import sys
import time
from pathlib import Path

from course_utils import files, folders


def main(argv=None):
    """Clean a folder and say what each step did.

    Returns:
        The exit status: 0, or 1 with one message when the folder cannot be cleaned.
    """
    from course_utils.text import pipeline, quality

    parser = argparse.ArgumentParser(prog="python -m course_utils data", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="with .txt, .md or .jsonl files, also in folders")
    parser.add_argument("--output", type=Path, help="a folder; FOLDER-cleaned by default")
    parser.add_argument(
        "--rules", choices=quality.RULES, default="web", help="which kind of text it is; web by default"
    )
    options = parser.parse_args(argv)
    output = options.output or options.folder.resolve().with_name(options.folder.resolve().name + "-cleaned")
    try:
        _refuse(options.folder, output)
        size = sum(len(document.text) for document in pipeline.documents_of(options.folder))  # and all can be read
        started, key = time.monotonic(), pipeline.key_of(options.folder)
        with files.explained("data", output, "--output", ValueError):
            report = pipeline.run(pipeline.documents_of(options.folder), output, options.rules, key)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(*_table(report), sep="\n")
    seconds = time.monotonic() - started
    print(f"{size / 1e6:.1f} million characters in {seconds:.1f} s; all of it in {output / 'report.json'}")
    return 0


def _refuse(folder, output):
    """Say it before anything is read or written."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder. Name the one that holds your texts.")
    if output.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{output} lies in {folder}, and would be read as a text next time. Pass another --output.")
    if not folders.writable(output):
        raise ValueError(f"Nothing can be written in {output}. Pass a folder of your own as --output.")


def _table(report):
    for name, step in report.items():
        counts = f"{step['documents_in']:>9,} → {step['documents_out']:>9,} documents"
        yield f"{name:<14}{counts}, {step['characters_in']:>13,} → {step['characters_out']:>13,} characters"
        for reason, count in sorted(step["reasons"].items(), key=lambda pair: (-pair[1], pair[0])):
            yield f"  {count:>9,}  {reason:<32} {', '.join(step['examples'][reason][:2])}"


if __name__ == "__main__":
    sys.exit(main())
