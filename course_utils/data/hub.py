"""Sets on the Hugging Face hub that twin the files the course brings: fetched there, given the course's columns here.

A hub row has one label instead of twenty people. The label becomes a single rating on the scale −4 … 4, at the place
where the panels of `reviews` put such texts; it carries no disagreement, so it cannot be divided into panels.
The hub keeps what it fetches in its own cache (HF_HOME).
"""

import contextlib
import re
from dataclasses import dataclass

import datasets


@dataclass(frozen=True)
class Source:
    """One set on the hub.

    repo: its name there; plain data files, no loading script (datasets ≥ 4 runs none).
    text, label: its column names.
    ratings: the rating that stands for label 0, 1, …
    domain: which of our domains it twins.
    """

    repo: str
    text: str
    label: str
    ratings: tuple[int, ...]
    domain: str = "movies"


SOURCES = {
    # Pang and Lee 2005: 10,662 snippets, a critic's verdict. Our panels' means lie 1.8 from 0 on both sides, so ±2.
    "rotten_tomatoes": Source("cornell-movie-review-data/rotten_tomatoes", "text", "label", (-2, 2)),
    # Socher et al. 2013: 11,855 sentences of the same; three people's mean in five equal bins, here the bins' centres.
    "sst5": Source("SetFit/sst5", "text", "label", (-3, -2, 0, 2, 3)),
}


def fetch(source):
    """All rows of a source as dicts with the columns of `reviews`, split excepted.

    Raises:
        RuntimeError: the hub cannot be reached.
    """
    repo = SOURCES[source].repo
    try:
        with _no_progress_bars():
            parts = datasets.load_dataset(repo)
    except OSError as error:  # no network, offline mode and an unknown name are all of this kind
        raise RuntimeError(
            f"{repo} could not be had from the hub: {error}\n"
            "Check the network, and that COURSE_OFFLINE and HF_HUB_OFFLINE are not set; reviews.load() needs no hub."
        ) from error
    return [row for name, part in parts.items() for row in rows_of(part, source, name)]


def rows_of(part, source, name):
    """The rows of one hub split in the course's columns; a pure function.

    Args:
        part: Dataset with the hub's columns.
        source: key of SOURCES.
        name: the hub's name for this split; goes into the ids only.

    Raises:
        ValueError: a column is missing, or a label has no rating.
    """
    wanted = SOURCES[source]
    if missing := {wanted.text, wanted.label} - set(part.column_names):
        raise ValueError(
            f"{wanted.repo} has columns {sorted(part.column_names)}, expected also {sorted(missing)}.\n"
            "The set changed on the hub; correct its row in hub.SOURCES."
        )
    if unknown := {label for label in part[wanted.label] if label not in range(len(wanted.ratings))}:
        raise ValueError(
            f"{wanted.repo} has the labels {sorted(unknown)[:5]}, expected 0 to {len(wanted.ratings) - 1}.\n"
            "−1 is how the hub hides the labels of a test split: use another source."
        )
    rows = []
    for number, (text, label) in enumerate(zip(part[wanted.text], part[wanted.label], strict=True)):
        rating, row_id = wanted.ratings[label], f"{source}-{name}-{number}"
        rows.append({"id": row_id, "domain": wanted.domain, "document": row_id, "text": joined(text)})
        rows[-1] |= {"mean": float(rating), "ratings": [rating]}
    return rows


def joined(text):
    """Undo the treebank's tokens: "it 's -lrb- not -rrb- fun ." → "it's (not) fun." """
    text = re.sub("``|''", '"', text).replace("-lrb-", "(").replace("-rrb-", ")")
    text = re.sub(r"\s+(n't\b|'(?:s|re|ve|ll|d|m)\b|[.,;:!?)])", r"\1", text)
    return " ".join(re.sub(r"\(\s+", "(", text).split())


@contextlib.contextmanager
def _no_progress_bars():
    """Widgets of a download do not belong in a notebook; what was set before is set again."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
