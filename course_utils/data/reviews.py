"""Short reviews with the rating of every single person who judged them, −4 (scorn) to +4 (praise).

Source: Hutto and Gilbert 2014, "VADER", ICWSM; MIT licence. 23,703 snippets in four domains, about 20 people each.

What the files hide, and what is done about it here:

- They are UTF-8, one of them with a byte order mark. HTML entities are resolved (twice: "&amp;#38;" occurs), two
  apostrophes become the quotation mark they stand for, runs of blanks become one. Nothing else is altered; dashes
  and many hyphens were already lost.
- 199 of the published tweet means disagree with the ratings beside them. Every mean here is recomputed.
- The movie file is sorted by sentiment. Rows are returned in a hashed order, so the first n are a fair sample.
- Snippets come from documents, and many tweets are variations of each other: `splits` keeps both together.
- In movies, 30 snippets in a row were judged by the same 15 to 29 people, and the position in the list is the person:
  30 % of the disagreement within a snippet is somebody's habit. `panel_parts` therefore divides people there.
- The order of a list of ratings is not random. In movies earlier raters are closer to the rest (correlation 0.91 for
  the first, 0.87 for the 15th). In products the last rating is suspiciously close (0.97, all others at most 0.94), in
  news and in tweets with 20 raters somewhat (0.75 and 0.89, others at most 0.74 and 0.85). So ratings[0] is not "one
  person": take the first of a part of `panel_parts`, which shuffles.
"""

import functools
import hashlib
import html
import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow

from course_utils import assets
from course_utils.data import hub, splits

FILES = {
    "movies": "movieReviewSnippets",
    "products": "amazonReviewSnippets",
    "tweets": "tweets",
    "news": "nytEditorialSnippets",
}
SPLITS = (*splits.SHARES, "ten")
FROM_DOCUMENTS = {"products", "news"}  # their ids read document_sentence
BATCH = 30  # consecutive movie snippets judged by the same people
FEATURES = datasets.Features(
    {
        "id": datasets.Value("string"),
        "domain": datasets.Value("string"),
        "document": datasets.Value("string"),
        "text": datasets.Value("string"),
        "mean": datasets.Value("float64"),
        "ratings": datasets.List(datasets.Value("int64")),
        "split": datasets.Value("string"),
    }
)
# The ten that return through the whole course; they are in no other split.
TEN = {
    "movies-2418": "philosophy",  # plain praise
    "movies-5819": "witless",  # plain scorn
    "movies-4971": "comfort",  # mild praise, and all agree
    "movies-8595": "tension",  # a good word and a bad one
    "movies-4476": "tragic",  # gloomy words, a warm verdict
    "movies-9089": "heaven",  # a warm word, a cold verdict
    "movies-8863": "martyr",  # sarcasm
    "movies-6504": "remake",  # people disagree more than anywhere: sarcasm that some took at its word
    "movies-5715": "dunno",  # cannot decide, and all agree on that
    "movies-6507": "depends",  # says nothing
}


def load(domain="movies", split="train"):
    """Human-rated snippets.

    Args:
        domain: "movies", "products", "tweets", "news" or "all".
        split: "train", "validation", "test" (about 70, 10 and 20 %), "ten" (see `ten`) or "all".

    Returns:
        datasets.Dataset in memory, in a fixed order that looks random, with columns id, domain, document, text,
        mean (of the ratings), ratings (a list of whole numbers, −4 … 4, 15 to 99 of them) and split.

    Raises:
        ValueError: no such domain or split, or a malformed file.
        assets.AssetMissing: the files have not been fetched.
    """
    _require("domain", domain, (*FILES, "all"))
    _require("split", split, (*SPLITS, "all"))
    rows = _everything(assets.path("reviews"))
    return _dataset([r for r in rows if domain in (r["domain"], "all") and split in (r["split"], "all")])


def ten():
    """The ten reviews that return through the course, clear ones first, with a one-word `nickname` column."""
    rows = {row["id"]: row for row in load("all", "ten")}
    found = _dataset([rows[row_id] for row_id in TEN])
    return found.add_column("nickname", list(TEN.values()))


def _require(what, value, choices):
    if value not in choices:
        raise ValueError(f"There is no {what} {value!r}. Choose from: {', '.join(choices)}.")


def _dataset(rows):
    return datasets.Dataset(pyarrow.Table.from_pylist(rows, schema=FEATURES.arrow_schema))


@functools.lru_cache(maxsize=1)
def _everything(folder):
    """Every row of every domain with its split, in hashed order."""
    rows = [row for domain in FILES for row in read(domain, Path(folder) / "hutto_ICWSM_2014")]
    columns = [[row[name] for row in rows] for name in ("id", "text", "document")]
    for row, split in zip(rows, splits.assign(*columns, fixed=dict.fromkeys(TEN, "ten")), strict=True):
        row["split"] = split
    return _shuffled(rows)


def load_hub(source="rotten_tomatoes", split="train"):
    """The hub twin of `load`: the same columns, one rating per row, for machines that have the network and a GPU.

    Its sets come from the same web site as the movies here, so most rows are twins of ours. The hub's own splits are
    therefore ignored: a twin follows our row's split, the rest is hashed. Twins of the ten are left out.

    Args:
        source: a name in `hub.SOURCES`, where the meaning of the single rating is documented.
        split: "train", "validation", "test" or "all".

    Raises:
        ValueError: no such source or split.
        RuntimeError: the hub cannot be reached.
    """
    _require("source", source, hub.SOURCES)
    _require("split", split, (*splits.SHARES, "all"))
    known = _everything(assets.path("reviews"))
    return _dataset(follow(known, hub.fetch(source), split))


def follow(known, rows, split):
    """The rows that belong to a split when near-duplicates of known rows must go where those went."""
    columns = [[row[name] for row in (*known, *rows)] for name in ("id", "text", "document")]
    assigned = splits.assign(*columns, fixed={row["id"]: row["split"] for row in known})[len(known) :]
    placed = [row | {"split": own} for row, own in zip(rows, assigned, strict=True) if own in splits.SHARES]
    return _shuffled(row for row in placed if split in (row["split"], "all"))


def _shuffled(rows):
    return sorted(rows, key=lambda row: splits.stable_number(row["id"], "order"))


def read(domain, folder):
    """One domain's rows as dicts, in the order of the text file, without a split.

    Raises:
        ValueError: a row of either file is malformed, or a text has no ratings or ratings no text.
    """
    text_file, rating_file = (folder / f"{FILES[domain]}_{kind}.txt" for kind in ("GroundTruth", "anonDataRatings"))
    texts = {key: (where, fields[-1]) for key, where, fields in _lines(text_file, ("id", "mean", "text"))}
    ratings = {
        key: _ratings(where, fields[-1])
        for key, where, fields in _lines(rating_file, ("id", "mean", "standard deviation", "ratings"))
    }
    if unmatched := texts.keys() ^ ratings.keys():
        raise _malformed(
            f"{text_file.name} and {rating_file.name}",
            f"{len(unmatched)} ids are in only one of the two, the first {min(unmatched)!r}",
            "the same ids in both",
        )
    return [
        {
            "id": f"{domain}-{key}",
            "domain": domain,
            "document": f"{domain}-{key.partition('_')[0] if domain in FROM_DOCUMENTS else key}",
            "text": _clean(where, text),
            "mean": sum(ratings[key]) / len(ratings[key]),
            "ratings": ratings[key],
        }
        for key, (where, text) in texts.items()
    ]


def _lines(path, columns):
    """Yield (id, place, fields) for each row of a tab-separated file with these columns."""
    seen = set()
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise _malformed(path.name, f"byte {error.start} is not UTF-8", "UTF-8 text") from error
    for number, line in enumerate(lines, start=1):
        where = f"{path.name}, line {number}"
        fields = line.split("\t")
        if len(fields) != len(columns):
            raise _malformed(where, f"{len(fields)} fields", f"{len(columns)} between tabs: {', '.join(columns)}")
        if fields[0] in seen or not fields[0]:
            raise _malformed(where, f"the id {fields[0]!r}", "an id that no earlier row has")
        seen.add(fields[0])
        yield fields[0], where, fields


def _ratings(where, field):
    """The list that a field such as "[1, -2]" holds."""
    try:
        ratings = json.loads(field)
    except json.JSONDecodeError:
        ratings = None
    if not isinstance(ratings, list) or not ratings or not all(type(r) is int and -4 <= r <= 4 for r in ratings):
        raise _malformed(where, f"the ratings {field[:60]!r}", "whole numbers from -4 to 4, such as [0, 2, -1]")
    return ratings


def _clean(where, text):
    """The text as a person would type it; the module's docstring says what is changed."""
    text = " ".join(html.unescape(html.unescape(text)).replace("''", '"').split())
    if not text:
        raise _malformed(where, "an empty text", "at least one visible character")
    return text


def _malformed(where, came, expected):
    return ValueError(
        f"{where}: found {came}, expected {expected}.\n"
        "The file was changed or only half written. Check it with: python -m course_utils assets verify reviews"
    )


# Panels: the people behind a mean, divided


def panel_parts(rows, parts=2, seed=0):
    """Divide the people who rated each row into disjoint panels, for instance one to train on and one to judge by.

    The division is decided by the seed and each row's id alone, so it does not depend on the order or choice of rows.
    In movies the same people rated 30 rows in a row; there a person stays in one part in all of them.

    Args:
        rows: a Dataset (or dict of lists) with columns id and ratings; not the ratings alone.
        parts: number of panels, at least 1. Earlier parts get the extra person when the number does not divide.
        seed: another seed, another division.

    Returns:
        A tuple of `parts` lists; in each, one list of ratings per row. The order inside is random too, so the first k
        ratings of a part are a random panel of k.

    Raises:
        ValueError: a row has fewer ratings than parts, or `rows` lacks the columns.
    """
    try:
        ids, ratings = list(rows["id"]), list(rows["ratings"])
    except (KeyError, TypeError, ValueError) as error:
        raise _not_rows(rows) from error
    if isinstance(rows["id"], str):
        raise _not_rows(rows)
    short = [row_id for row_id, given in zip(ids, ratings, strict=True) if len(given) < parts]
    if short or parts < 1:
        raise ValueError(
            f"Cannot divide into {parts} parts: {len(short)} of {len(ids)} rows have fewer ratings {short[:3]}.\n"
            "Use fewer parts, at least 1. Rows from the hub have one rating each and cannot be divided."
        )
    orders = [_order(people(row_id), len(given), seed) for row_id, given in zip(ids, ratings, strict=True)]
    return tuple(
        [[given[k] for k in order[part::parts]] for given, order in zip(ratings, orders, strict=True)]
        for part in range(parts)
    )


def _not_rows(rows):
    return ValueError(
        f"Expected rows with columns id and ratings, got {type(rows).__name__}. The division is keyed by the id: "
        "pass the dataset itself, not one row and not its ratings column."
    )


def panel_mean(panel):
    """The mean rating of each row of a panel, as a list of floats."""
    return [sum(ratings) / len(ratings) for ratings in panel]


def people(row_id):
    """A name for the people who rated a row: shared by the rows that the same people rated."""
    domain, _, number = row_id.partition("-")
    return f"movies-batch-{(int(number) - 1) // BATCH}" if domain == "movies" and number.isdecimal() else row_id


@functools.lru_cache(maxsize=1 << 15)
def _order(people, count, seed):
    """A permutation of range(count), the same on every machine."""
    keys = hashlib.shake_256(f"panel:{seed}:{people}".encode()).digest(8 * count)
    return np.frombuffer(keys, dtype="<u8").argsort(kind="stable").tolist()
