"""The corpus: which documents, in which split, and how little is done to them."""

from collections import Counter

import pytest
from helpers import tiny_corpus

from course_utils.text import corpus, corpus_sources
from course_utils.text.corpus import Document, split_of

EXPECTED_SPLITS = ["train", "train", "train", "train", "train", "train", "test", "train", "train", "validation"]
OWN = [name for name in corpus.SOURCES if name != "reviews"]  # whose packages the tiny corpus holds


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    tiny_corpus.write(tmp_path)
    monkeypatch.setattr(corpus_sources.assets, "path", lambda name: tmp_path)


def test_raw_is_what_the_packages_hold(tiny):
    found = list(corpus.raw(["news", "books"]))
    assert [document.id for document in found] == [
        "news/1", "news/2", "plays/hamlet", "plays/poems", "bible/Ruth", "bible/Joel"]  # fmt: skip
    assert found[1] == Document("news/2", "news", "Sun\n\nAt last\n\nOut again.\r\nSaid he.")
    assert found[1].kind == "web" and found[1].licence.startswith("CC0") and found[4].kind == "books"


def test_documents_are_tidied_and_of_one_split(tiny):
    everything = {document.id: document for document in corpus.raw(OWN)}
    parts = {split: list(corpus.documents(split, OWN)) for split in corpus.SPLITS}
    together = {document.id: document.text for part in parts.values() for document in part}
    assert together.keys() == everything.keys() and sum(map(len, parts.values())) == len(together)
    assert together["speeches/1790-A-1"] == "Fellow citizens:\n\nI meet you."
    assert together["factbook/europe/xx"] == "Background: An old land.\n\nR&D\ntotal: 5 sq km\nnote: small"
    assert all(document.split == split for split, part in parts.items() for document in part)


def test_a_document_is_read_when_it_is_asked_for(monkeypatch):
    read = []

    def many():
        for number in range(100):
            read.append(number)
            yield str(number), "text"

    source = corpus_sources.Source("web", "MIT", "a 1.0", many)
    monkeypatch.setattr(corpus, "SOURCES", {"many": source})
    documents = corpus.documents("train")
    assert read == []
    next(documents)
    assert len(read) < 5


@pytest.mark.parametrize(("sources", "expected"), [
    (None, list(corpus.SOURCES)),
    ("code", ["code"]),
    ("books", ["plays", "bible"]),
    (["reviews", "web", "news"], ["web-pages", "news", "reviews"]),
])  # fmt: skip
def test_sources_and_kinds(sources, expected):
    assert corpus.chosen(sources) == expected


def test_unknown_names_are_refused_before_anything_is_read():
    with pytest.raises(ValueError, match=r"no source and no kind 'wiki'. Sources: wiki-articles, .* Kinds: encyclo"):
        corpus.documents("train", ["wiki"])
    with pytest.raises(ValueError, match=r"no split 'dev' of the corpus. Choose from: train, validation, test"):
        corpus.documents("dev")


def test_splits_are_the_same_everywhere():
    assert [split_of(f"news/{number}") for number in range(3723, 3733)] == EXPECTED_SPLITS
    counts = Counter(split_of(f"news/{number}") for number in range(20_000))
    assert 900 < counts["validation"] < 1100 and 900 < counts["test"] < 1100
    for never in (
        *(f"web-pages/{n}" for n in range(300)),
        *(f"manual/releases/4.2.{n}" for n in range(20)),
        *corpus.COPIES,
    ):
        assert split_of(never) == "train"


def test_tidy_leaves_words_and_indentation_alone():
    code = "def f():\n    return 1  \n\n\n\n\tx\r\n<b>&amp;</b>\r"
    assert corpus.tidy(code) == "def f():\n    return 1\n\n\tx\n<b>&amp;</b>"
    assert corpus.tidy("<p>a</p>b<br>c<br /> 1 < 2 &gt; 0", html_tags=True) == "a\nb\nc\n 1 < 2 > 0"
    assert corpus.tidy("") == ""
