"""The same text in many languages, and how many tokens each of them costs.

The text is what Django says to its users, about three hundred short messages, put into each language by its speakers:
a catalogue a language, in gettext's form (`.po`). Only messages that all chosen languages have are compared, so that
every language says the same. They are phrases of forms and dates rather than prose; their English has been cut to what
a button holds, and translators write for the same button.
"""

import json
import re
from dataclasses import dataclass

from course_utils.text import corpus_sources, tokenization

# code in Django's folders → what the language is called; English is the text itself
LANGUAGES = {
    "en": "English", "af": "Afrikaans", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian",
    "bn": "Bengali", "ca": "Catalan", "ckb": "Central Kurdish", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "ga": "Irish", "gd": "Scottish Gaelic", "he": "Hebrew", "hi": "Hindi",
    "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ka": "Georgian",
    "ko": "Korean", "lv": "Latvian", "mn": "Mongolian", "nl": "Dutch", "pl": "Polish", "pt_BR": "Portuguese",
    "ru": "Russian", "sv": "Swedish", "th": "Thai", "tr": "Turkish", "ug": "Uyghur", "uk": "Ukrainian",
    "vi": "Vietnamese", "zh_Hans": "Chinese",
}  # fmt: skip
CATALOGUE = re.compile(r"django/(conf|contrib/admin)/locale/(\w+)/LC_MESSAGES/django\.po")
LINE = re.compile(r'(?:(msgctxt|msgid|msgstr) )?(".*")')
NOT_PLAIN = re.compile(r"%|\{|<|\\|\n")  # names to be filled in and markup are the same in all languages


@dataclass(frozen=True)
class Tax:
    """What a language pays for the same text.

    language: its name.
    bytes, characters, tokens: of the whole text.
    tax: its tokens over those of English.
    """

    language: str
    bytes: int
    characters: int
    tokens: int
    tax: float


def messages(catalogue):
    """{(context, English): translation} of a catalogue's messages that are translated, sure and without plural.

    Args:
        catalogue: the text of a .po file.
    """
    found = {}
    for block in catalogue.split("\n\n"):
        lines = block.split("\n")
        if "msgid_plural" in block or any(line.startswith("#,") and "fuzzy" in line for line in lines):
            continue
        fields, name = {}, None
        for line in lines:
            if match := LINE.fullmatch(line):
                name = match[1] or name
                fields[name] = fields.get(name, "") + json.loads(match[2])
        if fields.get("msgid") and fields.get("msgstr"):
            found[fields.get("msgctxt"), fields["msgid"]] = fields["msgstr"]
    return found


def translations(languages=None):
    """The same messages in each language, in one order.

    Args:
        languages: codes of LANGUAGES, all by default; English is always among them.

    Returns:
        {name of the language: list of str}.

    Raises:
        ValueError: a code that is none of them.
        assets.AssetError: the corpus is not there and cannot be fetched.
    """
    codes = dict.fromkeys(["en", *(LANGUAGES if languages is None else languages)])
    if unknown := [code for code in codes if code not in LANGUAGES]:
        raise ValueError(f"There are no messages in {unknown[0]!r}. Choose from: {', '.join(LANGUAGES)}.")
    found = {code: {} for code in codes}
    for path, text in corpus_sources.django_files(CATALOGUE.fullmatch):
        part, code = CATALOGUE.fullmatch(path).groups()
        if code in found and code != "en":
            found[code] |= {(part, *key): said for key, said in messages(text).items()}
    del found["en"]
    shared = set.intersection(*map(set, found.values())) if found else set()
    shared = sorted((key for key in shared if _plain(key, found)), key=str)
    said = {LANGUAGES[code]: [of[key] for key in shared] for code, of in found.items()}
    return {"English": [english for *_, english in shared]} | said


def _plain(key, found):
    return not any(NOT_PLAIN.search(text) for text in (key[-1], *(of[key] for of in found.values())))


def taxes(texts, encode):
    """What each language pays, the dearest first.

    Args:
        texts: as `translations` gives them.
        encode: text → tokens, without a token for the beginning.

    Returns:
        A list of Tax.

    Raises:
        ValueError: there is no English, or nothing in it.
    """
    joined = {language: "\n".join(said) for language, said in texts.items()}
    if not joined.get("English"):
        raise ValueError("Expected the text in English among the others, to which they are compared; there is none.")
    counted = {language: tokenization.lengths(text, encode) for language, text in joined.items()}
    english = counted["English"].tokens
    found = [Tax(name, one.bytes, one.characters, one.tokens, one.tokens / english) for name, one in counted.items()]
    return sorted(found, key=lambda one: -one.tokens)
