"""The corpus: sixty million characters in eleven sources, read one document at a time, with a part to be judged by.

`raw` gives documents as their packages hold them, for the pipeline that cleans them; `documents` gives them with line
ends and blanks in order and the tags of one source taken out, no more. Neither holds more than one document in memory,
but for two sources whose file has no parts: `wiki-summaries` (7 MB) and `reviews` (2 MB).

Every document is in one split for good, decided by its id: about 90 % of each source is for training, 5 % each for
validation and test. No notebook trains on the last two. A document is a whole play, page or speech, so held-out text is
not the next paragraph of trained text. Across the border (`overlap.seen_shares`): of the 2,273 held-out documents none
has more than 0.45 of its runs of eight words in training text, and none more than 0.58 of its runs of five, which are
the shingles of `near_duplicates`; so none is a near-duplicate (0.8) of any that is trained on. The Factbook, which
fills in the same sentences for each country, and code are the sources with most in common.
"""

import html
import re
from dataclasses import dataclass

from course_utils.data.splits import stable_number
from course_utils.text.corpus_sources import KINDS, SOURCES

SPLITS = ("train", "validation", "test")
HELD_OUT = 0.05  # share of each source's documents in validation, and as many in test
SALT = "348"  # with it the held-out shares of each source, counted in characters, lie between 2.9 and 8.3 %
# What is never held out, since it would be seen in training all the same:
TRAINED_ON = (
    "web-pages/",  # later notebooks train or calibrate on all of them
    "manual/releases/",  # notes on releases that were made on one day say the same, word for word
)
# ... and the other documents of which at least half stands in training text, see `overlap`: news that was published
# twice or with one headline, and a message that was also read out on the radio
COPIES = {"news/104", "news/1833", "news/2892", "news/3190", "speeches/1945-Roosevelt-2"}


@dataclass(frozen=True)
class Document:
    """One text of the corpus.

    id: "SOURCE/NAME", equal on every machine.
    source: a key of SOURCES.
    text: what it says.
    """

    id: str
    source: str
    text: str

    @property
    def kind(self):
        """One of KINDS: encyclopaedia, web, books and so on."""
        return SOURCES[self.source].kind

    @property
    def licence(self):
        """Under which its owners give it."""
        return SOURCES[self.source].licence

    @property
    def split(self):
        """train, validation or test."""
        return split_of(self.id)


def split_of(document_id):
    """The split of a document, decided by its id alone."""
    position = stable_number(document_id, SALT) / 2**64
    if document_id.startswith(TRAINED_ON) or document_id in COPIES or position >= 2 * HELD_OUT:
        return "train"
    return "validation" if position < HELD_OUT else "test"


def raw(sources=None, split=None):
    """Documents as they lie in their packages.

    Args:
        sources: names from SOURCES, or kinds from KINDS; all when None.
        split: one of SPLITS; every document when None.

    Yields:
        Document, source by source.

    Raises:
        ValueError: no such source, kind or split; at once, before anything is read.
        assets.AssetError: the files are not there and cannot be fetched.
    """
    if split not in (None, *SPLITS):
        raise ValueError(f"There is no split {split!r} of the corpus. Choose from: {', '.join(SPLITS)}.")
    return _read(chosen(sources), split)


def _read(names, split):
    for source in names:
        for name, text in SOURCES[source].read():
            document = Document(f"{source}/{name}", source, text)
            if split in (None, document.split):
                yield document


def chosen(sources):
    """The names of sources that are meant by names and kinds, in the corpus's order.

    Raises:
        ValueError: one that is neither; the message lists both.
    """
    sources = [sources] if isinstance(sources, str) else sources
    unknown = [name for name in sources or () if name not in SOURCES and name not in KINDS]
    if unknown:
        raise ValueError(
            f"The corpus has no source and no kind {unknown[0]!r}. Sources: {', '.join(SOURCES)}. "
            f"Kinds: {', '.join(KINDS)}."
        )
    return [name for name, source in SOURCES.items() if sources is None or name in sources or source.kind in sources]


def documents(split="train", sources=None):
    """Documents to train on or to be judged by, lightly put in order.

    Args:
        split: one of SPLITS.
        sources: see `raw`.

    Yields:
        Document, without those that are empty.
    """
    found = raw(sources, split)
    return (Document(d.id, d.source, text) for d in found if (text := tidy(d.text, html_tags=d.source == "factbook")))


def tidy(text, *, html_tags=False):
    """The text with \\n for every line end, no blanks at the ends of lines and at most one empty line in a row.

    Args:
        html_tags: also take tags out, and resolve entities such as &amp;.
    """
    if html_tags:
        text = html.unescape(re.sub(r"<[^<>]*>", "", re.sub(r"<br ?/?>|</p>", "\n", text)))
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
