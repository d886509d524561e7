"""The corpus as one long stream of tokens, cut into rows of equal length: what pre-training reads.

    document 1 ▏document 2 ▏…        ▏ is the boundary, the last id of the vocabulary, with which each document begins
    row 0 ▏row 1 ▏row 2 ▏…           a row is as long as any other: no pad, a row may hold several documents

The documents of the training split stand in an order that is drawn from a seed, each whole. Which rows a step reads is
`engine.batching.rows_of_step`, a function of seed and step alone: a run that goes on needs no other position than its
step, and `read_by` says which rows, `counted` how many tokens, new and repeated, were read by then.

The tokens are by-hand byte pairs (`tokenization`), learned once from a part of the training split by
`tokenization.library_train`, whose merges are those of `tokenization.train`. Merges and tokens are files of their own
(JSON, and .npy of uint16 that is mapped into memory, not read), made where they are missing: about a minute for all
documents, once.

Shapes: N tokens of the stream, T tokens of a row, V vocabulary.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from course_utils import files
from course_utils.data.splits import stable_number
from course_utils.engine import batching
from course_utils.engine.checkpoint import fingerprint
from course_utils.pinned_files import ASSETS
from course_utils.text import corpus, tokenization

LEARNED_FROM = 0.12  # share of the training documents that the merges are learned from
FORMAT = 1  # of the files; another number makes them anew
CORPUS = ("corpus", "instructions", "reviews")  # the assets that documents come from


@dataclass(frozen=True)
class Stream:
    """Tokens of many documents, one after another.

    tokens: (N,) uint16, a map of the file.
    starts: (documents,) int64, where each document's boundary stands.
    vocabulary: V, with the boundary.
    tokenizer: tokenization.BytePairs of the V − 1 other ids.
    """

    tokens: np.ndarray
    starts: np.ndarray
    vocabulary: int
    tokenizer: tokenization.BytePairs

    @property
    def boundary(self):
        """The id with which each document begins."""
        return self.vocabulary - 1

    def encode(self, text):
        """The ids of a document by itself, the boundary first."""
        return [self.boundary, *self.tokenizer.encode(text)]

    def decode(self, ids):
        """A text from ids; a boundary becomes an empty line, bytes that are no UTF-8 become �."""
        parts = [[]]
        for token in ids:
            if token == self.boundary:
                parts.append([])
            else:
                parts[-1].append(token)
        return "\n\n".join(self.tokenizer.decode(part).decode("utf-8", "replace") for part in parts).strip("\n")


def prepare(folder, vocabulary, *, share=1.0, seed=0, documents=None, key=None, say=print):
    """The stream of the corpus' training documents; made where it is missing, else its files are opened.

    Args:
        folder: where streams are kept, such as run.runs / "tokens".
        vocabulary: V, from 258 (bytes, one merge, the boundary) to 65,536.
        share: of the documents, chosen by their ids; the vocabulary is the same with any share.
        seed: of the documents' order.
        documents: () -> iterable of corpus.Document, read twice; the corpus' training split by default.
        key: what identifies these documents; by default the corpus' own packages.
        say: receives a line before work of a minute.

    Raises:
        ValueError: the vocabulary does not fit, or the documents hold nothing, or nothing that teaches a merge.
        files.AssetError: no room on the disk, or the corpus cannot be had.
    """
    if not 258 <= vocabulary <= 1 << 16:
        raise ValueError(f"Expected a vocabulary from 258 to 65,536 tokens, got {vocabulary}.")
    documents = documents or corpus.documents
    key = key or [ASSETS[name].key for name in CORPUS]
    place = Path(folder) / f"stream-{vocabulary}-{seed}-{share}-{fingerprint(FORMAT, corpus.SALT, LEARNED_FROM, key)}"
    if not place.is_dir():
        with files.locked(place.parent, say):
            if not place.is_dir():
                files.remove_leftovers(place.parent)
                say(f"Writing {share:.0%} of the corpus as tokens of a vocabulary of {vocabulary:,}, once.")
                room = files.explained("The token stream", place.parent, "COURSE_RUNS")
                with room, files.temporary_sibling(place) as beside:
                    _write(beside, documents, vocabulary, share, seed)
    return load(place)


def load(folder):
    """The Stream of a folder that `prepare` made."""
    known = json.loads((Path(folder) / "merges.json").read_text(encoding="utf-8"))
    merges = [(bytes.fromhex(left), bytes.fromhex(right)) for left, right in known["merges"]]
    tokens = np.load(Path(folder) / "tokens.npy", mmap_mode="r", allow_pickle=False)
    starts = np.load(Path(folder) / "starts.npy", allow_pickle=False)
    return Stream(tokens, starts, known["vocabulary"], tokenization.BytePairs(merges))


def _write(folder, documents, vocabulary, share, seed):
    """Two passes over the documents: one learns the merges, one writes tokens; then they are put into their order."""
    some = (d.text for d in documents() if _among(d, LEARNED_FROM))
    merges = tokenization.library_train(some, vocabulary - 1)
    if not merges:
        raise ValueError(
            f"The documents teach no merge: those that do are chosen by their ids, {LEARNED_FROM:.0%} of all, and hold "
            "no pair of letters twice. Give each document an id of its own, and pass some hundreds of them."
        )
    tokenizer = tokenization.BytePairs(merges)
    lengths, unordered = [], folder / "unordered"
    with open(unordered, "wb") as file:
        for document in (d for d in documents() if _among(d, share)):
            ids = np.array([vocabulary - 1, *tokenizer.encode(document.text)], np.uint16)
            file.write(ids.tobytes())
            lengths.append(len(ids))
    lengths = np.array(lengths, np.int64)
    found, first = np.memmap(unordered, np.uint16, "r"), np.cumsum(lengths) - lengths
    order = np.random.default_rng([seed, 3]).permutation(len(lengths))
    starts = np.cumsum(lengths[order]) - lengths[order]
    tokens = np.lib.format.open_memmap(folder / "tokens.npy", "w+", np.uint16, (len(found),))
    for start, number in zip(starts, order, strict=True):
        tokens[start : start + lengths[number]] = found[first[number] : first[number] + lengths[number]]
    tokens.flush()
    np.save(folder / "starts.npy", starts, allow_pickle=False)
    merges = [[left.hex(), right.hex()] for left, right in tokenizer.merges]
    text = json.dumps({"vocabulary": vocabulary, "merges": merges})
    (folder / "merges.json").write_text(text, encoding="utf-8")
    del found
    unordered.unlink()


def _among(document, share):
    """Whether a document belongs to this share of all; a larger share holds every smaller one."""
    return stable_number(document.id, "share") < share * 2**64


class Rows(Sequence):
    """A stream cut into rows, as `loop.train` takes them: row i is {"input_ids": (T,) uint16}. Nothing is copied."""

    def __init__(self, stream, length, count=None):
        """
        Args:
            stream: a Stream.
            length: T.
            count: rows, from the first on; None for all that are full.

        Raises:
            ValueError: the stream has fewer.
        """
        most = len(stream.tokens) // length
        if not 2 <= (most if count is None else count) <= most:
            raise ValueError(f"Expected from 2 rows to the {most:,} of {length} tokens that there are, got {count}.")
        self.stream, self.length, self.count = stream, length, most if count is None else count

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        if not 0 <= number < self.count:
            raise IndexError(f"There are {self.count:,} rows, and none has the number {number}.")
        return {"input_ids": self.stream.tokens[number * self.length : (number + 1) * self.length]}


@dataclass(frozen=True)
class RowCollator:
    """Rows of equal length into a batch.

    boundary: the id that begins a document.
    across: whether attention crosses the borders between the documents of a row.
    """

    boundary: int
    across: bool = False
    columns = ("input_ids",)

    def __call__(self, rows):
        """{"input_ids": (B, T) int64, "documents": (B, T) int64 which of its row's documents a token belongs to}."""
        tokens = torch.from_numpy(np.stack([row["input_ids"] for row in rows]).astype(np.int64))
        batch = {"input_ids": tokens}
        return batch if self.across else batch | {"documents": numbered(tokens, self.boundary)}


def numbered(tokens, boundary):
    """(B, T) the number of each token's document in its row: one more from every boundary on."""
    return (tokens == boundary).cumsum(dim=-1)


def read_by(step, recipe, count):
    """(step · batch_size,) the row numbers that a run of this recipe has read after a step, in their order.

    Args:
        step: 0 … recipe.steps.
        recipe: a TrainingRecipe; its pool is 1.
        count: rows there are.
    """
    lengths = np.ones(count)
    found = [batching.rows_of_step(number, lengths, recipe) for number in range(1, step + 1)]
    return np.array(found, np.int64).reshape(-1)


def counted(step, recipe, count):
    """(tokens of different rows, tokens of rows that were read before) after a step."""
    read = step * recipe.batch_size
    unique = min(read, count)  # an epoch takes every row once
    return unique * recipe.max_length, (read - unique) * recipe.max_length


def tokens_of(rows, numbers):
    """(T · len(numbers),) int64, the tokens of these rows, in the order of the stream and not of training.

    What a model by counting learns from: neighbouring rows that are both there join again, as in their document.
    """
    return np.concatenate([rows[number]["input_ids"] for number in np.sort(numbers)]).astype(np.int64)
