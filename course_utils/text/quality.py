"""Rules that tell prose from what a web page holds besides: the C4 rules and the Gopher rules, as published.

C4 (Raffel et al. 2020, section 2.2) throws out lines, then pages. Gopher (Rae et al. 2021, appendix A1.1 and table A1)
throws out documents whole. Each rule is a measure, a number for a page, and the bounds within which a page is kept, so
that a reader sees by how much a page failed: `duplicate lines 0.42 > 0.3`.

Both were written for English prose, and what they do to the rest is not shown by their names:
- blank lines are equal to each other; here only lines with characters count, else a poem is one third duplicates;
- "a letter" is what Unicode calls one, so Hangul passes; but the stop words are English, and Korean words are short;
- lists, code, verse and most Korean end without punctuation, and C4 throws out each such line;
- C4's "{" throws out code, Gopher's mean word length Chinese, Japanese and Thai, which put no spaces between words.
RULES holds the documented variants: a set of rules for each kind of text.

Deviations: words are what stands between spaces; C4's sentences are counted by their end marks; its guess of the
language and its removal of repeated spans are left out; its list of bad words is not brought along (`blocked_words`).
"""

import math
import re
from collections.abc import Callable
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from course_utils.text import near_duplicates

STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
BULLETS = ("•", "‣", "◦", "-", "*", "–")
END_MARKS = (".", "!", "?", '"', "”")
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
SENTENCE_END = re.compile(r"[.!?](?=[\s\"”)]|$)")


class Page:
    """A text and its parts, each made when first asked for: many rules look at the same ones."""

    def __init__(self, text):
        self.text = text
        self._runs = {}

    @cached_property
    def words(self):
        return self.text.split()

    @cached_property
    def lengths(self):
        """Characters of each word."""
        return np.fromiter(map(len, self.words), np.int64, len(self.words))

    @cached_property
    def hashes(self):
        """64 bits of each word."""
        return near_duplicates.word_hashes(self.words)

    @cached_property
    def lines(self):
        """Lines with characters; blank ones are no lines."""
        return [line for line in map(str.strip, self.text.split("\n")) if line]

    @cached_property
    def paragraphs(self):
        """What blank lines separate."""
        return [paragraph for paragraph in map(str.strip, PARAGRAPH.split(self.text)) if paragraph]

    def repeated_runs(self, n):
        """(starts, firsts, counts) of the runs of n ≥ 2 words that stand there more than once.

        Returns:
            starts: where each begins, as a number of words; firsts: where its first copy begins; counts: its copies.
        """
        if n not in self._runs:
            if n == 2:
                starts = np.arange(max(len(self.words) - 1, 0))
            else:  # a repeated run of n words begins with a repeated run of n − 1
                starts = self.repeated_runs(n - 1)[0]
                starts = starts[starts <= len(self.words) - n]
            hashes = near_duplicates.ngram_hashes(self.hashes, n, starts)
            _, first, inverse, counts = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
            counts = counts[inverse]
            self._runs[n] = starts[counts > 1], starts[first[inverse]][counts > 1], counts[counts > 1]
        return self._runs[n]


class Rule(NamedTuple):
    """A measure of a page and the bounds, ends included, within which the page is kept."""

    name: str
    measure: Callable
    at_least: float = -math.inf
    at_most: float = math.inf


class Finding(NamedTuple):
    """Why a page goes: the rule, what was measured, and the bound that it broke."""

    rule: str
    value: float
    bound: float

    def __str__(self):
        return f"{self.rule} {self.value:.3g} {'<' if self.value < self.bound else '>'} {self.bound:g}"


def _share(hits, all_of):
    return hits / all_of if all_of else 0.0


def word_count(page):
    return len(page.words)


def mean_word_length(page):
    """Characters a word. English has 4 to 6, Korean about 3, a text without spaces hundreds."""
    return float(page.lengths.mean()) if page.words else 0.0


def symbols_per_word(symbols, page):
    """Signs of hashtags or of cut-off texts for each word; `symbols` are different ways to write one."""
    return _share(sum(map(page.text.count, symbols)), len(page.words))


def bullet_lines(page):
    """Share of lines that begin with a bullet."""
    return _share(sum(line.startswith(BULLETS) for line in page.lines), len(page.lines))


def ellipsis_lines(page):
    """Share of lines that end with an ellipsis."""
    return _share(sum(line.endswith(("...", "…")) for line in page.lines), len(page.lines))


def alphabetic_words(page):
    """Share of words with at least one letter, of any script: Hangul and Chinese characters are letters as well."""
    return _share(sum(word.isalpha() or any(map(str.isalpha, word)) for word in page.words), len(page.words))


def stop_words(page):
    """How many different ones of the eight English stop words stand in the text."""
    return len(STOP_WORDS.intersection(map(str.lower, page.words)))


def duplicates(parts, page):
    """Share of `parts`, "lines" or "paragraphs", that stood there before."""
    found = getattr(page, parts)
    return 1 - _share(len(set(found)), len(found)) if found else 0.0


def duplicate_characters(parts, page):
    """Share of the characters of `parts` that lie in those that stood there before."""
    found = getattr(page, parts)
    return 1 - _share(sum(map(len, set(found))), sum(map(len, found))) if found else 0.0


def _covered(page, starts, n):
    """Share of the words' characters inside the runs of n words that begin there; a word in several counts once."""
    inside = np.zeros(len(page.words), bool)
    for place in range(n):
        inside[starts + place] = True
    return _share(int(page.lengths[inside].sum()), int(page.lengths.sum()))


def top_ngram(n, page):
    """Share of characters inside the most frequent run of n words, the first of several, if it stands there twice."""
    starts, firsts, counts = page.repeated_runs(n)
    return _covered(page, starts[firsts == firsts[counts.argmax()]], n) if len(starts) else 0.0


def duplicate_ngrams(n, page):
    """Share of characters inside runs of n words that stood there before."""
    starts, firsts, _ = page.repeated_runs(n)
    return _covered(page, starts[firsts < starts], n) if len(starts) else 0.0


def sentences(page):
    """End marks that a space, a quotation mark or the end of a line follows."""
    return sum(1 for _ in SENTENCE_END.finditer(page.text))


def mentions(phrases, page):
    """How often one of the phrases, in lower case, stands in a page or a line."""
    text = page.text.lower()
    return sum(map(text.count, phrases))


def listed_words(words, page):
    """How many of the page's words stand in a list."""
    return sum(word.strip(".,;:!?\"'()") in words for word in map(str.lower, page.words))


def blocked_words(words):
    """C4's rule against a list of bad words, which also throws out who uses them otherwise (Dodge et al. 2021)."""
    return Rule("blocked words", partial(listed_words, frozenset(map(str.lower, words))), at_most=0)


def longest_word(page):
    return int(page.lengths.max()) if page.words else 0


def ends_a_sentence(page):
    """1 when a line ends in . ! ? or a quotation mark, but not in an ellipsis, else 0."""
    line = page.text.rstrip()
    return int(line.endswith(END_MARKS) and not line.endswith("..."))


C4_LINES = (
    Rule("end mark", ends_a_sentence, at_least=1),
    Rule("words in the line", word_count, at_least=5),  # 3 in the paper's first version
    Rule("longest word", longest_word, at_most=1000),
    Rule("javascript", partial(mentions, ("javascript",)), at_most=0),
    Rule("policy notes", partial(mentions, POLICY), at_most=0),
)
C4_PAGES = (
    Rule("lorem ipsum", partial(mentions, ("lorem ipsum",)), at_most=0),
    Rule("curly brackets", partial(mentions, ("{",)), at_most=0),
    Rule("sentences", sentences, at_least=3),  # 5 in the paper's first version
)
GOPHER_WORDS = (
    Rule("words", word_count, 50, 100_000),
    Rule("mean word length", mean_word_length, 3, 10),
    Rule("hashes a word", partial(symbols_per_word, ("#",)), at_most=0.1),
    Rule("ellipses a word", partial(symbols_per_word, ("...", "…")), at_most=0.1),
    Rule("bullet lines", bullet_lines, at_most=0.9),
    Rule("ellipsis lines", ellipsis_lines, at_most=0.3),
    Rule("alphabetic words", alphabetic_words, at_least=0.8),
    Rule("stop words", stop_words, at_least=2),
)
GOPHER_LINES = (
    Rule("duplicate lines", partial(duplicates, "lines"), at_most=0.30),
    Rule("duplicate paragraphs", partial(duplicates, "paragraphs"), at_most=0.30),
    Rule("duplicate line characters", partial(duplicate_characters, "lines"), at_most=0.20),
    Rule("duplicate paragraph characters", partial(duplicate_characters, "paragraphs"), at_most=0.20),
)
TOP_NGRAMS = {2: 0.20, 3: 0.18, 4: 0.16}
DUPLICATE_NGRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
GOPHER_NGRAMS = (
    *(Rule(f"top {n}-gram", partial(top_ngram, n), at_most=most) for n, most in TOP_NGRAMS.items()),
    *(Rule(f"duplicate {n}-grams", partial(duplicate_ngrams, n), at_most=most) for n, most in DUPLICATE_NGRAMS.items()),
)
GOPHER = GOPHER_WORDS + GOPHER_LINES + GOPHER_NGRAMS


class Rules(NamedTuple):
    """A set of rules: those by which lines go, and those by which then the page goes."""

    pages: tuple
    lines: tuple = ()


def _without(rules, *names):
    return tuple(rule for rule in rules if rule.name not in names)


RULES = {
    "web": Rules(C4_PAGES + GOPHER, C4_LINES),  # English pages
    "prose": Rules(GOPHER),  # English text that was edited: verse, lists and headings stay
    "short": Rules(_without(GOPHER, "words")),  # reviews, mails
    "any language": Rules(_without(GOPHER, "stop words", "mean word length")),
    "code": Rules(GOPHER_WORDS[:1] + GOPHER_NGRAMS),  # closing brackets are equal lines, operators are no words
}


def findings(page, rules):
    """Each Finding of a page, in the rules' order, measured one after the other; `next` of it stops at the first."""
    for rule in rules:
        value = rule.measure(page)
        if not rule.at_least <= value <= rule.at_most:
            yield Finding(rule.name, value, rule.at_least if value < rule.at_least else rule.at_most)


def without_lines(text, rules):
    """(text, removed): what is left of a text, less its citation marks and blank lines, and [(line, Finding)]."""
    kept, removed = [], []
    for line in filter(str.strip, CITATION.sub("", text).split("\n")):
        finding = next(findings(Page(line), rules), None)
        (removed if finding else kept).append((line, finding))
    return "\n".join(line for line, _ in kept), removed


def judge(text, rules=RULES["web"]):
    """What a set of rules does to a text.

    Returns:
        (text, finding): what stays of it, and the first Finding by which the page goes, or None.
    """
    if rules.lines:
        text, _ = without_lines(text, rules.lines)
    return text, next(findings(Page(text), rules.pages), None)
