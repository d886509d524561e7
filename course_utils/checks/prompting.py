"""Checkers of notebook 06: the two penalties, the words that top-p keeps, and the vote of several answers."""

from course_utils.checks import feedback
from course_utils.data import digit_sums

_PENALTIES = (
    ([1.0, -1.0, 3.0], [2, 1, 0], 0.4, 0.2),
    ([2.0, 1.0, 0.5, 0.0], [3, 0, 1, 0], 0.5, 0.0),
    ([2.0, 1.0, 0.5, 0.0], [3, 0, 1, 0], 0.0, 0.6),
    ([1.0, 2.0], [0, 0], 1.0, 1.0),
    ([0.5, 0.25], [4, 2], -0.5, -0.1),
)
_TOP_P = (
    ([0.5, 0.3, 0.2], 0.6),
    ([0.2, 0.5, 0.3], 0.9),
    ([0.1, 0.2, 0.7], 0.5),
    ([0.4, 0.35, 0.25], 0.0),
    ([0.25, 0.4, 0.35], 1.0),
    ([0.05, 0.6, 0.05, 0.3], 0.85),
)
_VOTES = (
    (["11,13", "11,13", "11,14", "11,12"],),
    (["12", "3,13", "5,13", "12", "13"],),
    (["the sum is 7", "8", "7."],),
    (["9", "no idea", "no idea"],),
    (["21,4", "4", "21,5"],),
)


def check_penalties(penalties):
    """Check a function (logits, counts, frequency, presence) → logits after both penalties.

    z[w] − frequency · count(w) − presence · [count(w) > 0], where counts tell how often each word was generated.
    """
    return feedback.verdict(
        penalties,
        _PENALTIES,
        _penalties_problem,
        "right: each word is moved by how often it stood itself, and a word that did not stand keeps its logit, "
        "however close its meaning is to one that did.",
        first="tensor",
    )


def _penalized(logits, counts, frequency, presence):
    return [z - frequency * n - presence * (n > 0) for z, n in zip(logits, counts, strict=True)]


def _penalties_problem(result, logits, counts, frequency, presence):
    logits, counts = feedback.plain(logits), feedback.plain(counts)
    expected = _penalized(logits, counts, frequency, presence)
    if feedback.close(result, expected):
        return None
    slip = "Take frequency × count from each logit, and presence once where the count is above zero."
    rivals = {
        "A penalty is taken away, not added.": _penalized(logits, counts, -frequency, -presence),
        "Presence is taken once, however often the word stood.": _penalized(logits, counts, frequency + presence, 0),
        "Frequency is taken once for each time the word stood.": _penalized(logits, counts, 0, frequency + presence),
        "Presence is for words that stood; one that did not keeps its logit.": [
            z - frequency * n - presence for z, n in zip(logits, counts, strict=True)
        ],
        "You swapped the two penalties.": _penalized(logits, counts, presence, frequency),
    }
    for said, value in rivals.items():
        if feedback.close(result, value):
            slip = said
            break
    return (
        f"for the logits {feedback.short(logits)}, counts {feedback.short(counts)}, {frequency=} and {presence=} you "
        f"gave {feedback.short(result)}, expected {feedback.short(expected)}. {slip}"
    )


def check_top_p(kept):
    """Check a function (probabilities, p) → the places of the words that top-p keeps, in any order.

    The most probable words, until they reach p together; the one that crosses p stays, so that at least one does.
    """
    return feedback.verdict(
        kept,
        _TOP_P,
        _top_p_problem,
        "right: the word that crosses p stays, p = 0 leaves the most probable word alone, p = 1 keeps all.",
        first="tensor",
    )


def _places(probabilities, p, crossing=True):
    order = sorted(range(len(probabilities)), key=lambda word: -probabilities[word])
    found, total = [], 0.0
    for word in order:
        if total >= p - 1e-6 and found:
            break
        total += probabilities[word]
        if not crossing and total > p + 1e-6:
            break
        found.append(word)
    return sorted(found)


def _top_p_problem(result, probabilities, p):
    probabilities = feedback.plain(probabilities)
    expected, came = _places(probabilities, p), feedback.plain(result)
    came = sorted(came) if isinstance(came, list | tuple | set) and all(isinstance(n, int) for n in came) else came
    if came == expected and not any(isinstance(n, bool) for n in came):
        return None
    slip = "Go from the most probable word down and stop as soon as the words taken reach p."
    if came == _places(probabilities, p, crossing=False):
        slip = "The word with which the sum crosses p stays, too; else p = 0 would leave none."
    elif came == list(range(len(expected))):
        slip = "Sort by probability first: the words do not come in order."
    elif feedback.close(came, [probabilities[word] for word in expected]):
        slip = "Return the places of the words, not their probabilities."
    shown = feedback.short(probabilities)
    return f"for {shown} and {p=} you gave {feedback.short(result)}, expected {expected}. {slip}"


def check_vote(vote):
    """Check a function (texts of several answers to one sum) → the whole number in which most of them end.

    Of equally frequent ones the first that came; texts without a number do not vote.
    """
    return feedback.verdict(
        vote,
        _VOTES,
        _vote_problem,
        "right: the last number of each text votes, and a text without one does not.",
    )


def _vote_problem(result, texts):
    expected = digit_sums.voted(texts)
    if feedback.close(result, expected) and not isinstance(result, str):
        return None
    slip = "Read the last whole number of each text, then take the most frequent."
    if isinstance(result, str):
        slip = "Return a number, not a text."
    elif feedback.close(result, digit_sums.voted([text.split(",")[0] for text in texts])):
        slip = "The first number of a text is a step on the way; the answer stands last."
    elif feedback.close(result, max(map(digit_sums.read, texts))):
        slip = "That is the largest answer, not the most frequent one."
    elif feedback.close(result, digit_sums.NEVER):
        slip = "Texts without a number do not vote."
    elif feedback.close(result, digit_sums.read(texts[-1])):
        slip = "That is the last text's answer alone."
    return f"for {texts!r} you gave {feedback.short(result)}, expected {expected}. {slip}"
