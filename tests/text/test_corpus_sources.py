"""Each reader on a package of a few documents: which members it takes, in which order, how it puts them together."""

import pytest
from helpers import tiny_corpus

from course_utils.text import corpus_sources

EXPECTED = {
    "wiki-articles": {"0": "One article.It goes on.\n", "2": "Another.\n"},
    "wiki-summaries": {"Tomato": "A berry."},
    "factbook": {
        "europe/xx": "Background: An <strong>old</strong> land.<br><br>R&amp;D\ntotal: 5 sq km\nnote: small",
    },
    "web-pages": {"0": "A page.", "1": "Another page.\n\n\n\nIts end."},
    "news": {"1": 'Rain\n\nIt said ""?yes.', "2": "Sun\n\nAt last\n\nOut again.\r\nSaid he."},
    "plays": {"hamlet": "Who's there?", "poems": "Sport, that wrincled Care derides"},
    "bible": {"Ruth": "Ruth 1 1.\nRuth 1 2.\n\nRuth 2 1.", "Joel": "Joel 1 1."},
    "speeches": {"1790-A-1": "Fellow citizens: \r\n\n\n\nI meet you.\n", "1791-B-1": "Again."},
    "manual": {"intro/tutorial": "========\nTutorial\n========\n\n\n\nWrite it.  \n"},
    "code": {"django/apps/config": "import os\n"},
}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    tiny_corpus.write(tmp_path)
    monkeypatch.setattr(corpus_sources.assets, "path", lambda name: tmp_path)


@pytest.mark.parametrize("source", EXPECTED)
def test_a_reader_gives_what_its_package_holds(source, tiny):
    found = list(corpus_sources.SOURCES[source].read())
    assert found == list(EXPECTED[source].items())


def test_reviews_are_those_of_the_train_part_and_products_are_whole():
    from course_utils.data import reviews

    found = dict(corpus_sources.film_and_product_reviews())
    rows = [row for domain in ("movies", "products") for row in reviews.load(domain, "all")]
    trained = {row["document"] for row in rows if row["split"] == "train"}
    assert set(found) == trained and len(found) > 7000
    assert not trained & {row["document"] for row in rows if row["split"] in ("validation", "test", "ten")}
    sentences = [row for row in rows if row["document"] == "products-1"] or [
        row for row in rows if row["domain"] == "products" and row["split"] == "train"
    ]
    document = sentences[0]["document"]
    ordered = sorted((row for row in rows if row["document"] == document), key=lambda row: int(row["id"].split("_")[1]))
    assert found[document] == " ".join(row["text"] for row in ordered)


def test_every_source_says_what_it_is():
    for source in corpus_sources.SOURCES.values():
        assert source.kind in corpus_sources.KINDS and source.licence and source.read.__doc__
    assert {source.kind for source in corpus_sources.SOURCES.values()} == set(corpus_sources.KINDS)


def test_the_packages_named_are_the_pinned_ones():
    pinned = {f"{d.project} {d.version}".lower() for a in corpus_sources.assets.ASSETS.values() for d in a.downloads}
    assert {source.package.lower() for source in corpus_sources.SOURCES.values()} <= pinned
