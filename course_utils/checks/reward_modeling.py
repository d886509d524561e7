"""Checkers of notebook 08: the loss of a pair, where a text is read, and sentences that fool the reward model."""

import math

from course_utils.checks import feedback

_SCORES = (([1.0, 0.0, -2.0], [0.0, 0.0, 1.0]), ([3.0], [-3.0]), ([0.5, 0.5], [2.0, -1.0]))
_MASKS = (
    [[True, True, True, False, False], [True, True, True, True, True], [True, False, False, False, False]],
    [[True, True], [True, False]],
)
SENTENCES, WORDS = 5, (4, 28)  # how many, and how long each may be
MEANINGS = ("praise", "scorn")


def check_pair_loss(loss):
    """Check a function (chosen, rejected: lists of scores) → mean Bradley-Terry loss in nats."""
    return feedback.verdict(
        loss,
        _SCORES,
        _pair_problem,
        f"right: ln 2 ≈ {math.log(2):.2f} where the scores say nothing, {_pair_loss([-3.0], [3.0]):.2f} for a mistake "
        f"by 6, {_pair_loss([3.0], [-3.0]):.3f} the right way round.",
    )


def check_last_real(last):
    """Check a function (mask: lists of bool, True at real tokens) → the column of each text's last real token."""
    return feedback.verdict(
        last,
        [(mask,) for mask in _MASKS],
        _last_problem,
        "right: every text is read where it ends, whatever stands beside it in the batch.",
    )


def check_fooled(score, sentences):
    """Check five sentences whose meaning a reward model gets wrong.

    Args:
        score: texts → scores, centred: above 0 is better than an average review.
        sentences: (sentence, "praise" or "scorn") pairs, what a person would say it is.
    """
    rows = _rows(sentences)
    problem = _malformed(rows)
    if problem:
        return feedback.failed(problem)
    result, problem = feedback.attempt(score, [text for text, _ in rows])
    scores = feedback.numbers(result)
    if scores is None or scores.size != SENTENCES or not all(map(math.isfinite, scores.flat)):
        came = problem or f"it gave {feedback.short(result)}"
        return feedback.failed(f"expected `score` to give {SENTENCES} finite numbers, one a sentence; {came}.")
    read = list(zip(rows, scores.flat, strict=True))
    caught = [(row, value) for row, value in read if value == 0 or (value > 0) == (row[1] == "praise")]
    if caught:
        (text, meant), value = caught[0]
        return feedback.failed(
            f"{len(caught)} of {SENTENCES} it did not read the wrong way round; the first: {text!r} is {meant} and "
            f"scored {value:+.1f}."
        )
    (text, meant), value = max(read, key=lambda pair: abs(pair[1]))
    return feedback.passed(
        f"all five fooled it, most of all {text!r}: {meant}, and scored {value:+.1f}. Now show them to somebody, "
        "without your labels: do people agree with you?"
    )


def _pair_loss(chosen, rejected):
    return _mean(math.log1p(math.exp(b - a)) for a, b in zip(chosen, rejected, strict=True))


def _pair_problem(result, chosen, rejected):
    expected, gaps = _pair_loss(chosen, rejected), [a - b for a, b in zip(chosen, rejected, strict=True)]
    if feedback.close(result, expected):
        return None
    slip = "Take −log σ(chosen − rejected) of each pair, then the mean."
    if feedback.close(result, _pair_loss(rejected, chosen)):
        slip = "The pair stands the wrong way round: this would teach the model to prefer what people rejected."
    elif feedback.close(result, _mean(1 / (1 + math.exp(gap)) for gap in gaps)):
        slip = "That is the chance of being wrong, without the logarithm: a confident mistake costs 1 at most."
    elif len(gaps) > 1 and feedback.close(result, expected * len(gaps)):
        slip = "That is the sum: a larger batch would then be a larger step."
    elif feedback.close(result, -expected):
        slip = "The sign is turned: a loss falls when the chosen text gains."
    elif feedback.close(result, _pair_loss([_mean(chosen)], [_mean(rejected)])):
        slip = "That is the loss of the mean scores: take the logarithm of each pair first, then the mean."
    return (
        f"for chosen {chosen} and rejected {rejected} you gave {feedback.short(result)}, "
        f"expected {feedback.short(expected)}. {slip}"
    )


def _last_problem(result, mask):
    expected = [sum(row) - 1 for row in mask]
    if feedback.close(result, expected):
        return None
    slip = "Look at each row: where is its last True?"
    if feedback.close(result, [len(row) - 1 for row in mask]):
        slip = "That is the last column: of a shorter text you read a pad."
    elif feedback.close(result, [sum(row) for row in mask]):
        slip = "That is how many there are; columns are counted from 0."
    elif feedback.close(result, [sum(row) - 1 - len(row) for row in mask]):
        slip = "Those are counted from the end; count from 0 at the left."
    return f"for {mask} you gave {feedback.short(result)}, expected {feedback.short(expected)}. {slip}"


def _rows(sentences):
    """The list as plain lists, as far as it is one; a table of texts counts."""
    sentences = feedback.plain(sentences)
    return [feedback.plain(row) for row in sentences] if isinstance(sentences, list | tuple) else sentences


def _malformed(sentences):
    """What is wrong with the list itself, or nothing."""
    if not isinstance(sentences, list | tuple) or len(sentences) != SENTENCES:
        came = "none yet" if sentences is None or sentences is Ellipsis else feedback.short(sentences)
        return f"expected a list of {SENTENCES} sentences, each with its meaning; got {came}."
    for row in sentences:
        fits = isinstance(row, list | tuple) and len(row) == 2 and all(isinstance(text, str) for text in row)
        if not fits or row[1] not in MEANINGS:
            return f"expected ('a sentence', 'praise') or ('a sentence', 'scorn'); got {feedback.short(row)}."
        if not WORDS[0] <= len(row[0].split()) <= WORDS[1]:
            return f"{row[0]!r} has {len(row[0].split())} words; a review has {WORDS[0]} to {WORDS[1]}."
    if len({text.casefold().strip(" .!?") for text, _ in sentences}) < SENTENCES:
        return "two of the sentences are the same; one trick told twice is one trick."
    if {meant for _, meant in sentences} != set(MEANINGS):
        return "all have one meaning; a model that likes everything would be fooled by every scorn. Use both."
    return None


def _mean(values):
    values = list(values)
    return sum(values) / len(values)
