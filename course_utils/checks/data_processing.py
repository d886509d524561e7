"""Checkers of notebook 02: a rule against shouting, a check digit, a text inside another, byte pairs in their order."""

from stdnum import luhn

from course_utils.checks import feedback

_PAGES = (
    "BUY NOW and SAVE",
    "I live in a flat.",
    "NASA said so in 2024",
    "",
    "12 34 56",
    "한국어 TEXT 입니다",
    "MP3 players!",
    "OK, SO WHAT?",
)
_PAYLOADS = ("7992739871", "424242424242424", "37828224631000", "0", "18", "5555 5555 5555 444")
_SETS = (
    ([1, 2, 3, 4], [3, 4, 5, 6, 7, 8, 9, 10]),
    ([3, 4, 5, 6, 7, 8, 9, 10], [1, 2, 3, 4]),
    ([1, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ([1, 1, 1, 2], [1, 5]),
    ([1, 2], [3, 4, 5]),
)
_MERGES = [("h", "u"), ("u", "g"), ("n", "u"), ("hu", "g"), ("p", "ug"), ("a", "a"), ("aa", "a")]
_WORDS = ("hug", "pug", "nug", "pun", "aaaaa", "x", "")


def check_shouting(shouting):
    """Check a function (text) → the share of its words, as spaces part them, that are written in capitals.

    A word counts as such when it has at least two letters and all of its letters are capitals: "I" and "A" do not
    shout, "OK," does. A text without words has the share 0.
    """
    return feedback.verdict(
        shouting,
        [(page,) for page in _PAGES],
        _shouting_problem,
        'right on all pages: "I" does not shout, a number is no word in capitals, and Hangul has no capitals, so no '
        "bound on this measure ever throws out a Korean page.",
    )


def _capitals(word, letters=2):
    return word.isupper() and sum(map(str.isalpha, word)) >= letters


def _share(hits, words):
    return sum(hits) / len(words) if words else 0.0


def _shouting_problem(result, page):
    words = page.split()
    expected = _share(map(_capitals, words), words)
    if feedback.close(result, expected):
        return None
    slip = "Count the words with two letters or more whose letters are all capitals; divide by all words."
    rivals = {
        "You count words; the share is their number over that of all words.": sum(map(_capitals, words)),
        '"I" alone is ordinary English: ask for two letters.': _share(map(str.isupper, words), words),
        "Divide by all words of the page, and not only by those with letters.": _share(
            map(_capitals, words), [word for word in words if any(map(str.isalpha, word))]
        ),
        "Count words, not letters.": _share(map(str.isupper, page), page),
    }
    for said, value in rivals.items():
        if feedback.close(result, value):
            slip = said
            break
    return f"for {page!r} you gave {feedback.short(result)}, expected {feedback.short(expected)}. {slip}"


def check_digit(digit):
    """Check a function (the digits of a card number but the last, as text) → its Luhn check digit, a text or a number.

    Every second digit from the right is doubled, beginning with the last one given; of a double above 9 both digits are
    added; the check digit makes the sum of all a multiple of ten.
    """
    return feedback.verdict(
        digit,
        [(payload,) for payload in _PAYLOADS],
        _digit_problem,
        "right for even and odd lengths. It notices every single wrong digit and most swaps, and one in ten "
        "rows of digits passes by chance: a check digit makes a find likelier, never certain.",
    )


def _luhn(payload, *, doubled=0, whole=False):
    total = 0
    for place, figure in enumerate(reversed([int(figure) for figure in payload if figure.isdigit()])):
        value = figure * 2 if place % 2 == doubled else figure
        total += value if whole or value < 10 else value - 9
    return total


def _digit_problem(result, payload):
    expected = int(luhn.calc_check_digit(payload.replace(" ", "")))
    came = feedback.plain(result)
    try:
        came = int(came)
    except (TypeError, ValueError, OverflowError):
        return f"for {payload!r} you gave {feedback.short(result)}, expected one digit, {expected}."
    if came == expected:
        return None
    slip = "From the right, double the 1st, 3rd, 5th … digit given; add the digits of a double; fill up to tens."
    if came == -_luhn(payload, doubled=1) % 10:
        slip = "You double the wrong half: the check digit itself will stand last, so the digit before it is doubled."
    elif came == -_luhn(payload, whole=True) % 10:
        slip = "A double above 9 counts with both of its digits: 14 is 1 + 4, which is 14 − 9."
    elif came == _luhn(payload) % 10:
        slip = "That is the sum's own last digit; the check digit is what is missing to the next ten."
    elif came == 10:
        slip = "Where nothing is missing to the next ten, the digit is 0."
    return f"for {payload!r} you gave {feedback.short(result)}, expected {expected}. {slip}"


def check_containment(containment):
    """Check a function (shingles of a short text, shingles of a long one) → the share of the first's that stand there.

    Shingles come as lists of whole numbers; each counts once, however often it is listed.
    """
    return feedback.verdict(
        containment,
        _SETS,
        _containment_problem,
        f"right: two shingles inside ten have a Jaccard index of {2 / 10:.1f} and are contained entirely. That is "
        "what a quoted test question looks like in a web page, and why the search for copies never sees it.",
    )


def _containment_problem(result, short, long):
    first, second = set(feedback.plain(short)), set(feedback.plain(long))
    shared = len(first & second)
    if feedback.close(result, shared / len(first)):
        return None
    slip = "Divide what both have by the number of different shingles of the first."
    if feedback.close(result, shared / len(first | second)):
        slip = "That is the Jaccard index, which is small whenever one text is much longer."
    elif feedback.close(result, shared / len(second)):
        slip = "That is the share of the second text; asked is the share of the first."
    elif feedback.close(result, shared / len(feedback.plain(short))):
        slip = "A shingle that is listed twice counts once: make a set."
    elif feedback.close(result, shared):
        slip = "You give a number of shingles; asked is a share."
    expected = feedback.short(shared / len(first))
    return f"for {sorted(first)} in {sorted(second)} you gave {feedback.short(result)}, expected {expected}. {slip}"


def check_encode(encode):
    """Check a function (word, merges) → its tokens, a list of str: the merge learned first is applied first."""
    return feedback.verdict(
        encode,
        [(word, _MERGES) for word in _WORDS],
        _encode_problem,
        'right: "nug" is n + ug, since ug was learned before nu, and five a become aa + aaa. Another order gives other '
        "tokens for the same text, and a model that has never seen them.",
    )


def merged(word, merges):
    """The tokens of a word, by rank: of all neighbours the pair learned first, each place from the left, until none."""
    tokens = list(word)
    for left, right in merges:
        place = 0
        while place < len(tokens) - 1:
            if (tokens[place], tokens[place + 1]) == (left, right):
                tokens[place : place + 2] = [left + right]
            place += 1
    return tokens


def _greedy(word, merges):
    """The longest token that fits, again and again: what BPE does not do."""
    known, tokens = {left + right for left, right in merges} | set(word), []
    while word:
        size = max(size for size in range(1, len(word) + 1) if word[:size] in known)
        tokens, word = [*tokens, word[:size]], word[size:]
    return tokens


def _encode_problem(result, word, merges):
    pairs = [tuple(pair) for pair in feedback.plain(merges)]
    expected, came = merged(word, pairs), feedback.plain(result)
    came = list(came) if isinstance(came, tuple) else came
    if came == expected:
        return None
    slip = "Begin with single characters, and apply the merges one after another, in the order learned."
    if came == list(word) and expected != list(word):
        slip = "Nothing was merged."
    elif came == _greedy(word, pairs):
        slip = "That is the longest token from the left, again and again; merges are applied in the order learned."
    elif isinstance(came, list) and "".join(map(str, came)) != word:
        slip = "Put together, the tokens must be the word again."
    return f"for {word!r} you gave {feedback.short(result)}, expected {feedback.short(expected)}. {slip}"
