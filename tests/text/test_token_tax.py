"""The same messages in every language, read from catalogues, and what they cost."""

import pytest

from course_utils.text import corpus_sources, token_tax

HEAD = 'msgid ""\nmsgstr ""\n"Language: xx\\n"\n'


def entry(english, said, *, context=None, comment=""):
    lines = [comment, f'msgctxt "{context}"' if context else "", f'msgid "{english}"', f'msgstr "{said}"']
    return "\n".join(line for line in lines if line)


GERMAN = "\n\n".join(
    [
        HEAD, entry("Yes", "Ja"), entry("March", "März", context="abbr"), entry("Delete", "", comment="#: x.py"),
        entry("Old", "Alt", comment="#, fuzzy"), entry("%(n)s rows", "%(n)s Zeilen"),
        'msgid "day"\nmsgid_plural "days"\nmsgstr[0] "Tag"\nmsgstr[1] "Tage"',
        'msgid ""\n"Log "\n"out"\nmsgstr ""\n"Ab"\n"melden"', '#~ msgid "Gone"\n#~ msgstr "Weg"',
    ]
)  # fmt: skip
KOREAN = "\n\n".join([HEAD, *(entry(*pair) for pair in (("Log out", "로그아웃"), ("Yes", "예"), ("No", "아니오")))])


@pytest.fixture
def catalogues(monkeypatch):
    files = {
        "django/conf/locale/de/LC_MESSAGES/django.po": GERMAN,
        "django/conf/locale/ko/LC_MESSAGES/django.po": KOREAN,
        "django/conf/locale/fr/LC_MESSAGES/djangojs.po": KOREAN,
        "docs/index.txt": "no catalogue",
    }
    monkeypatch.setattr(corpus_sources, "django_files", lambda chosen: [p for p in files.items() if chosen(p[0])])


def test_messages_are_those_that_are_translated_and_sure():
    found = token_tax.messages(GERMAN)
    assert found == {
        (None, "Yes"): "Ja", ("abbr", "March"): "März", (None, "%(n)s rows"): "%(n)s Zeilen",
        (None, "Log out"): "Abmelden",
    }  # fmt: skip


def test_only_what_all_languages_say_is_compared(catalogues):
    said = token_tax.translations(["ko", "de"])
    assert said == {"English": ["Log out", "Yes"], "Korean": ["로그아웃", "예"], "German": ["Abmelden", "Ja"]}
    assert token_tax.translations(["de"])["English"] == ["March", "Log out", "Yes"]
    with pytest.raises(ValueError, match=r"no messages in 'xx'\. Choose from: en, "):
        token_tax.translations(["xx"])


def test_taxes_are_measured_from_english(catalogues):
    found = token_tax.taxes(token_tax.translations(["ko", "de"]), lambda text: text.encode())
    assert [one.language for one in found] == ["Korean", "English", "German"]
    korean = found[0]
    assert (korean.bytes, korean.characters, korean.tokens) == (16, 6, 16)
    assert korean.tax == pytest.approx(16 / 11) and found[1].tax == 1
    with pytest.raises(ValueError, match="text in English"):
        token_tax.taxes({"German": ["Ja"]}, list)
