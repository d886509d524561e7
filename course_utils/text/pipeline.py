"""Raw text to training text, never all of it in memory: quality rules → copies and near-copies → private data.

The documents pass twice. First each is judged, and what stays of it goes to a shard on the disk, with its fingerprint
(204 bytes a document, all that is held in memory). When all fingerprints are there it is known which documents repeat
one that stays, and the shards pass again: those go, private items are masked. A finished shard is never made again, so
a run that was killed goes on behind it, with the same bytes in the end. Of two in one folder the second waits.
"""

import contextlib
import hashlib
import io
import json
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from course_utils import files
from course_utils.text import near_duplicates, private_data, quality
from course_utils.text.corpus import Document

SHARD = 4 << 20  # characters of input from which on a shard is full
EXAMPLES = 5  # ids shown of what a rule threw out
ENTRY = np.dtype([("fingerprint", near_duplicates.FINGERPRINT), ("shard", "<u4"), ("offset", "<u8")])
ENDINGS = (".jsonl", ".md", ".txt")


@dataclass
class Step:
    """What one step did: documents and characters that came and went on, and reasons with how often and examples."""

    documents_in: int = 0
    documents_out: int = 0
    characters_in: int = 0
    characters_out: int = 0
    reasons: Counter = field(default_factory=Counter)
    examples: dict = field(default_factory=lambda: defaultdict(list))

    def count(self, document, text, reasons=()):
        """Count a document: `text` is what goes on, None for nothing; `reasons` is why it, or a part of it, goes."""
        self.documents_in += 1
        self.characters_in += len(document.text)
        self.documents_out += text is not None
        self.characters_out += len(text or "")
        self.reasons.update(reasons)
        for reason in set(reasons):
            self.examples[reason] = [*self.examples[reason], document.id][:EXAMPLES]

    def add(self, other):
        """Count what another Step, as a dict, has counted."""
        for name in ("documents_in", "documents_out", "characters_in", "characters_out"):
            setattr(self, name, getattr(self, name) + other[name])
        self.reasons.update(other["reasons"])
        for reason, ids in other["examples"].items():
            self.examples[reason] = [*self.examples[reason], *ids][:EXAMPLES]


def documents_of(folder):
    """The documents of a folder: each .txt and .md is one, each line of a .jsonl, with a field "text", is one.

    Raises:
        ValueError: a file of another kind, one that cannot be read or is no UTF-8, a line that is no such record.
    """
    folder = Path(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    others = [path.relative_to(folder).as_posix() for path in paths if path.suffix not in ENDINGS]
    if others or not paths:
        raise ValueError(
            f"{folder} holds {', '.join(others[:5]) or 'no file'}{' …' if len(others) > 5 else ''}.\n"
            f'A document is a file that ends in .txt or .md, or a line of a .jsonl with a field "text".\n'
            "Convert the others, or move them elsewhere."
        )
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if path.suffix != ".jsonl":
            with _readable(name):
                content = path.read_bytes()
            yield Document(name, name, _decoded(content, name))
            continue
        with _readable(name), open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _record(line, name, number)


@contextlib.contextmanager
def _readable(name):
    """Turn what the system says of a file that it cannot read into one sentence."""
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{name} cannot be read ({error.strerror}). Make it readable or move it elsewhere, and run the same again."
        ) from error


def _decoded(content, where):
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{where} is no UTF-8 at byte {error.start}. Save it as UTF-8 and run the same again."
        ) from error


def _record(line, name, number):
    try:
        record = json.loads(_decoded(line, f"{name}, line {number}"))
        text = record["text"].encode("utf-8", "replace").decode("utf-8")  # JSON can hold halves of a character
    except (json.JSONDecodeError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{name}, line {number} is {line[:60].decode('utf-8', 'replace').strip()!r}.\n"
            'A line of a .jsonl is one JSON object with a field "text" that holds a string; other fields are ignored.'
        ) from error
    return Document(f"{name}:{number}", name, text)


def run(documents, output, rules="web", key=""):
    """Clean documents into a folder.

    Args:
        documents: an iterable of anything with id, source and text, in the same order each time.
        output: the folder: part-00000.jsonl … with id, source and text, and report.json.
        rules: a name in quality.RULES.
        key: a text that changes when the documents do; a folder goes on only with the same key and rules.

    Returns:
        {step: what `Step` holds}, as report.json has it.

    Raises:
        ValueError: the folder holds another run, or there is no document.
    """
    output = Path(output)
    with files.locked(output):  # two at once would take each other's shards away
        _claim(output, {"rules": rules, "key": key, "threshold": near_duplicates.THRESHOLD, "shard": SHARD})
        if not (output / "report.json").is_file():
            steps = _clean(documents, output, quality.RULES[rules])
            files.replace_text(output / "report.json", _dumped({name: vars(step) for name, step in steps.items()}))
        shutil.rmtree(output / "work", ignore_errors=True)
        for half in output.glob(".*.json*.*"):  # written when the process was killed
            half.unlink(missing_ok=True)
        return json.loads((output / "report.json").read_text(encoding="utf-8"))


def _clean(documents, output, rules):
    """Make what shards there are not yet; {step: Step} over all of them."""
    work = output / "work"
    count = _filter(documents, work, rules)
    gone = _repeats(work, count)
    steps = {"quality": Step(), "copies": Step(), "private data": Step()}
    for shard in range(count):
        marker = work / f"{shard:05}.done"
        if not marker.is_file():
            files.replace_text(marker, _dumped(_finish(output, work, shard, gone)))
        for made in (work / f"{shard:05}.json", marker):
            for name, step in json.loads(made.read_text(encoding="utf-8"))["steps"].items():
                steps[name].add(step)
    return steps


def _dumped(value):
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _claim(output, settings):
    """Write down whose folder it is, or see that it is ours."""
    said, wanted = output / "settings.json", _dumped(settings)
    if said.is_file() and said.read_text(encoding="utf-8") != wanted:
        raise ValueError(
            f"{output} holds a run over other documents or with other rules: {said.read_text(encoding='utf-8')}"
            "Pass another output, or remove that folder."
        )
    (output / "work").mkdir(parents=True, exist_ok=True)
    if not said.is_file():
        files.replace_text(said, wanted)


def _shards(documents):
    """Lists of documents, each of at least SHARD characters, the last one excepted."""
    shard, size = [], 0
    for document in documents:
        shard.append(document)
        size += len(document.text)
        if size >= SHARD:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def _filter(documents, work, rules):
    """Judge all documents; how many shards there are. What finished shards hold is read past, not judged again."""
    made = 0
    while (work / f"{made:05}.json").is_file():
        made += 1
    past = sum(
        json.loads((work / f"{n:05}.json").read_text("utf-8"))["steps"]["quality"]["documents_in"] for n in range(made)
    )
    for number, shard in enumerate(_shards(islice(documents, past, None)), made):
        step, lines, entries, offset = Step(), [], [], 0
        for document in shard:
            text, finding = quality.judge(document.text, rules)
            step.count(document, None if finding else text, [finding.rule] if finding else [])
            if not finding:
                lines.append(_line(document, text))
                entries.append((near_duplicates.fingerprint(text), number, offset))
                offset += len(lines[-1])
        table = io.BytesIO()
        np.save(table, np.array(entries, ENTRY))
        files.replace_bytes(work / f"{number:05}.jsonl", b"".join(lines))
        files.replace_bytes(work / f"{number:05}.npy", table.getvalue())
        files.replace_text(work / f"{number:05}.json", _dumped({"steps": {"quality": vars(step)}}))
        made = number + 1
    if not made:
        raise ValueError("There is not one document, so there is nothing to clean.")
    return made


def _line(document, text):
    record = {"id": document.id, "source": document.source, "text": text}
    return (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8")


def _repeats(work, shards):
    """(shard, offset) → Repeat of the documents that go."""
    entries = np.concatenate([np.load(work / f"{number:05}.npy", allow_pickle=False) for number in range(shards)])

    @lru_cache(maxsize=4096)
    def shingles_of(row):
        with open(work / f"{entries['shard'][row]:05}.jsonl", "rb") as file:
            file.seek(int(entries["offset"][row]))
            return near_duplicates.shingles(json.loads(file.readline())["text"])

    gone = near_duplicates.repeats(entries["fingerprint"], shingles_of)
    return {(int(entries["shard"][row]), int(entries["offset"][row])): repeat for row, repeat in gone.items()}


def _finish(output, work, shard, gone):
    """Write a shard's part: what repeats nothing, with its private items masked."""
    copies, private, lines, offset = Step(), Step(), [], 0
    with open(work / f"{shard:05}.jsonl", "rb") as file:
        for line in file:
            document = Document(**json.loads(line))
            repeat = gone.get((shard, offset))
            offset += len(line)
            reasons = ["exact copy" if repeat.exact else "near-copy"] if repeat else []
            copies.count(document, None if repeat else document.text, reasons)
            if not repeat:
                found = private_data.find(document.text)
                text = private_data.mask(document.text, found)
                private.count(document, text, [f"{one.kind}{'' if one.checked else ', unchecked'}" for one in found])
                lines.append(_line(document, text))
    files.replace_bytes(output / f"part-{shard:05}.jsonl", b"".join(lines))
    return {"steps": {"copies": vars(copies), "private data": vars(private)}}


def key_of(folder):
    """A text that changes when a file of the folder does, by name, size and time."""
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(Path(folder).rglob("*"))]
    return hashlib.sha256(repr(stats).encode("utf-8", "surrogateescape")).hexdigest()[:16]
