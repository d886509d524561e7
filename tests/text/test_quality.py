"""Each rule at its bound, against a slow count, and on what the rules were not written for."""

from collections import Counter

import pytest

from course_utils.text import quality

NAMED = {rule.name: rule for rule in (*quality.GOPHER, *quality.C4_PAGES)}
PROSE = (
    "The house stood at the end of a long road. Nobody had lived in it for years, and the garden was wild. "
    "One morning a van came up the hill with two people in it, who looked at the roof and laughed. "
    "They carried boxes until dark. In the evening there was light behind every window that had glass."
)
KOREAN = (
    "그 집은 긴 길의 끝에 있었다. 몇 해 동안 아무도 살지 않아 마당에는 풀이 가득했다. 어느 날 아침 두 사람이 차를 "
    "타고 언덕을 올라와 지붕을 바라보며 웃었다. 그들은 어두워질 때까지 상자를 날랐다. 저녁이 되자 유리가 남아 있는 "
    "모든 창문에 불이 켜졌고 이웃 사람들은 오랜만에 그 집을 다시 바라보았다. 다음 날에는 아이들이 와서 마당의 풀을 "
    "뽑았고 할머니는 따뜻한 떡을 가져왔다. 그렇게 여름이 지나갔다."
)
CODE = "def area(a, b):\n    return a * b\n\n\nfor a, b in pairs:\n    if a > b:\n        print(area(a, b))\n"


def measured(name, text):
    return NAMED[name].measure(quality.Page(text))


def rules_broken(text, rules):
    return [finding.rule for finding in quality.findings(quality.Page(text), rules)]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("words", "one two\nthree", 3),
        ("words", "", 0),
        ("mean word length", "ab abcd", 3),
        ("mean word length", "", 0),
        ("hashes a word", "#one two", 0.5),
        ("ellipses a word", "one... two… three four", 0.5),
        ("bullet lines", "- one\n• two\n\nthree\n* four", 0.75),
        ("ellipsis lines", "one...\ntwo…\nthree\n\nfour", 0.5),
        ("alphabetic words", "a1 22 !! b", 0.5),
        ("alphabetic words", "한국어 글자 漢字 123", 0.75),
        ("stop words", "The THE of cat", 2),
        ("duplicate lines", "a\na\n\n\n\nb\n a", 0.5),
        ("duplicate paragraphs", "a\nb\n\na\nb\n\nc\n\n\nd", 0.25),
        ("duplicate line characters", "aaa\naaa\n\nbb", 3 / 8),
        ("duplicate paragraph characters", "aaa\n\naaa\n\nbb", 3 / 8),
        ("lorem ipsum", "Lorem ipsum dolor", 1),
        ("curly brackets", "{a} {b}", 2),
        ("sentences", 'One. Two! "Three?" v1.2 four', 3),
    ],
)
def test_each_measure(name, text, value):
    assert measured(name, text) == pytest.approx(value)


def slow_top(words, n):
    counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    if not counts or max(counts.values()) < 2:
        return set()
    top = next(run for run in counts if counts[run] == max(counts.values()))
    return {i + k for i in range(len(words) - n + 1) if tuple(words[i : i + n]) == top for k in range(n)}


def slow_duplicates(words, n):
    seen, inside = set(), set()
    for i in range(len(words) - n + 1):
        run = tuple(words[i : i + n])
        if run in seen:
            inside.update(range(i, i + n))
        seen.add(run)
    return inside


LINES = [" ".join(f"w{(line * step) % 7}" for step in range(12)) for line in range(9)]
REPETITIVE = ["", "one", "a a a a a a a a a a a a a", "x y x y", PROSE, PROSE * 2, f"{PROSE} {PROSE[50:150]}"]


@pytest.mark.parametrize(
    "text", [*REPETITIVE, " ".join(LINES), "long-word a b long-word a b c " + "a b c d e f g " * 3]
)
def test_repeated_runs_of_words_are_those_of_a_slow_count(text):
    words = text.split()
    characters = max(1, sum(map(len, words)))
    for n in quality.TOP_NGRAMS:
        expected = sum(len(words[i]) for i in slow_top(words, n)) / characters
        assert measured(f"top {n}-gram", text) == pytest.approx(expected), n
    for n in quality.DUPLICATE_NGRAMS:
        expected = sum(len(words[i]) for i in slow_duplicates(words, n)) / characters
        assert measured(f"duplicate {n}-grams", text) == pytest.approx(expected), n


def test_a_repeated_word_counts_once():
    assert measured("top 2-gram", "a a a a a") == 1
    assert measured("duplicate 5-grams", "b " * 40) == 39 / 40  # the first word alone stands in no second copy


def test_a_page_at_the_bound_stays_and_one_beyond_goes():
    rule = NAMED["words"]
    assert list(quality.findings(quality.Page("w " * 50), [rule])) == []
    (finding,) = quality.findings(quality.Page("w " * 49), [rule])
    assert finding == ("words", 49, 50) and str(finding) == "words 49 < 50"
    (finding,) = quality.findings(quality.Page("# a b c d"), [NAMED["hashes a word"]])
    assert str(finding) == "hashes a word 0.2 > 0.1"


def test_the_published_bounds():
    bounds = {rule.name: (rule.at_least, rule.at_most) for rule in quality.GOPHER}
    assert bounds["words"] == (50, 100_000) and bounds["mean word length"] == (3, 10)
    assert [bounds[f"top {n}-gram"][1] for n in (2, 3, 4)] == [0.20, 0.18, 0.16]
    assert [bounds[f"duplicate {n}-grams"][1] for n in range(5, 11)] == [0.15, 0.14, 0.13, 0.12, 0.11, 0.10]
    assert bounds["alphabetic words"][0] == 0.8 and bounds["stop words"][0] == 2
    assert len(bounds) == 21


def test_prose_stays_under_every_set_for_it():
    for kind in ("web", "prose", "short", "any language"):
        assert quality.judge(PROSE, quality.RULES[kind])[1] is None, kind


def test_what_the_english_rules_do_to_korean():
    assert rules_broken(KOREAN, quality.GOPHER) == ["mean word length", "stop words"]
    assert quality.judge(KOREAN, quality.RULES["any language"])[1] is None


def test_what_they_do_to_code_and_lists_and_verse():
    code = "\n\n".join(CODE.replace("area", name) for name in ("area", "size", "cost", "rate", "total", "mass"))
    assert quality.judge(code)[0] == ""  # no line ends like a sentence
    assert {"stop words", "duplicate lines"} <= set(rules_broken(code, quality.GOPHER))
    assert quality.judge("# " + PROSE, quality.RULES["code"])[1] is None
    verse = "\n\n".join(PROSE.replace(". ", ",\n").split("\n"))
    assert quality.judge(verse, quality.RULES["prose"])[1] is None


def test_lines_go_with_their_reason():
    lines = [
        "This line has enough words and ends.",
        "This one has words and does not",
        "Too short.",
        "Please enable JavaScript to read this page.",
        "We have a Privacy Policy that nobody reads.",
        "This is cut off somewhere in the...",
        "x" * 1001 + " is a word of many letters.",
        "Cited words are kept without marks[3][citation needed].",
    ]
    text, removed = quality.without_lines("\n\n".join(lines), quality.C4_LINES)
    assert text == "This line has enough words and ends.\nCited words are kept without marks."
    broken = ["end mark", "words in the line", "javascript", "policy notes", "end mark", "longest word"]
    assert [finding.rule for _, finding in removed] == broken


def test_bad_words_are_whole_words_in_any_case():
    rule = quality.blocked_words(["Damn"])
    assert rules_broken("Oh damn, it rains.", [rule]) == ["blocked words"]
    assert rules_broken("The goddamned rain.", [rule]) == []


def test_nothing_is_measured_after_the_first_finding():
    def never(page):
        raise AssertionError("measured after the page was thrown out")

    rules = quality.Rules((NAMED["words"], quality.Rule("never", never)))
    assert quality.judge("short", rules)[1].rule == "words"
