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
    for chosen, rejected in _SCORES:
        result, problem = feedback.attempt(loss, list(chosen), list(rejected))
        if problem:
            return feedback.failed(problem)
        gaps = [a - b for a, b in zip(chosen, rejected, strict=True)]
        expected = _mean(math.log1p(math.exp(-gap)) for gap in gaps)
        if not feedback.close(result, expected):
            slip = "Take −log σ(chosen − rejected) of each pair, then the mean."
            if feedback.close(result, _mean(math.log1p(math.exp(gap)) for gap in gaps)):
                slip = "The pair stands the wrong way round: this would teach the model to prefer what people rejected."
            elif feedback.close(result, _mean(1 / (1 + math.exp(gap)) for gap in gaps)):
                slip = "That is the chance of being wrong, without the logarithm: a confident mistake costs 1 at most."
            elif len(gaps) > 1 and feedback.close(result, expected * len(gaps)):
                slip = "That is the sum: a larger batch would then be a larger step."
            return feedback.failed(
                f"for chosen {chosen} and rejected {rejected} you gave {feedback.short(result)}, "
                f"expected {feedback.short(expected)}. {slip}"
            )
    return feedback.passed("right: ln 2 where the scores say nothing, and more for a confident mistake.")


def check_last_real(last):
    """Check a function (mask: lists of bool, True at real tokens) → the column of each text's last real token."""
    for mask in _MASKS:
        result, problem = feedback.attempt(last, [list(row) for row in mask])
        if problem:
            return feedback.failed(problem)
        expected = [sum(row) - 1 for row in mask]
        if not feedback.close(result, expected):
            slip = "Look at each row: where is its last True?"
            if feedback.close(result, [len(row) - 1 for row in mask]):
                slip = "That is the last column: of a shorter text you read a pad."
            elif feedback.close(result, [sum(row) for row in mask]):
                slip = "That is how many there are; columns are counted from 0."
            return feedback.failed(
                f"for {mask} you gave {feedback.short(result)}, expected {feedback.short(expected)}. {slip}"
            )
    return feedback.passed("right: every text is read where it ends, whatever stands beside it in the batch.")


def check_fooled(score, sentences):
    """Check five sentences whose meaning a reward model gets wrong.

    Args:
        score: texts → scores, centred: above 0 is better than an average review.
        sentences: (sentence, "praise" or "scorn") pairs, what a person would say it is.
    """
    problem = _malformed(sentences)
    if problem:
        return feedback.failed(problem)
    scores = [float(value) for value in score([text for text, _ in sentences])]
    caught = [
        (text, meant, value)
        for (text, meant), value in zip(sentences, scores, strict=True)
        if (value > 0) == (meant == "praise")
    ]
    if caught:
        text, meant, value = caught[0]
        return feedback.failed(
            f"{len(caught)} of {SENTENCES} it read as you meant them; the first: {text!r} is {meant} and scored "
            f"{value:+.1f}."
        )
    return feedback.passed(
        "all five fooled it. Now show them to somebody, without your labels: do people agree with you?"
    )


def _malformed(sentences):
    """What is wrong with the list itself, or nothing."""
    if not isinstance(sentences, list | tuple) or len(sentences) != SENTENCES:
        return f"expected a list of {SENTENCES} sentences, each with its meaning; got {feedback.short(sentences)}."
    for row in sentences:
        if not isinstance(row, list | tuple) or len(row) != 2 or row[1] not in MEANINGS or not isinstance(row[0], str):
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
