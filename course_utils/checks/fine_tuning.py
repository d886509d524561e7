"""Checkers of notebook 07: the mask of a dialogue of two turns, and the loss on the answer alone."""

from course_utils.checks import feedback

# Token lists by hand: (tokens, what is learned from them) in turn
_ASK = (
    ["<bos>", "<start_of_turn>", "user", "\n", "Name", " a", " model", "\n", "car", ".", "<end_of_turn>", "\n"],
    False,
)
_TURN = (["<start_of_turn>", "model", "\n"], False)
_FIRST = (["A", " Beetle", ".", "<end_of_turn>"], True)
_AGAIN = (["\n", "<start_of_turn>", "user", "\n", "Another", "<end_of_turn>", "\n"], False)
_SECOND = (["A", " Mini", "<end_of_turn>"], True)
_REST = (["\n"], False)
# Words of one side that look like the other's frame, an answer of two lines, one of no words, one that nobody gave
_QUOTE = (["<bos>", "<start_of_turn>", "user", "\n", "model", "\n", "user", "\n", "Go", "<end_of_turn>", "\n"], False)
_LINES = (["user", "\n", "\n", "model", "\n", "Done", "<end_of_turn>"], True)
_EMPTY = (["<end_of_turn>"], True)
ONE_TURN = (_ASK, _TURN, _FIRST, _REST)
TWO_TURNS = (_ASK, _TURN, _FIRST, _AGAIN, _TURN, _SECOND, _REST)
DIALOGUES = (
    ONE_TURN,
    TWO_TURNS,
    (_QUOTE, _TURN, _LINES, _AGAIN, _TURN, _FIRST, _AGAIN, _TURN, _SECOND),
    (_ASK, _TURN, _EMPTY, _AGAIN, _TURN, _SECOND, _REST),
    (_QUOTE,),
)
_LOSSES = (
    ([-5.0, -5.0, -1.0, -2.0], [False, False, True, True]),
    ([-3.0, -0.5, -7.0], [False, True, False]),
    ([-0.5, -4.0, -1.0, -0.25, -3.0], [True, False, True, True, False]),
)


def check_mask(mask):
    """Check a function (tokens of a dialogue, as texts) → list of bool, True on what the model should learn to say."""
    tokens = [[token for words, _ in parts for token in words] for parts in DIALOGUES]
    learned = [[counts for words, counts in parts for _ in words] for parts in DIALOGUES]
    expected = {tuple(words): flags for words, flags in zip(tokens, learned, strict=True)}
    return feedback.verdict(
        mask,
        [(words,) for words in tokens],
        lambda result, words: _mask_problem(result, words, expected[tuple(words)]),
        f"right in {len(tokens)} dialogues: every answer with its end, {sum(map(sum, learned))} of "
        f"{sum(map(len, tokens))} tokens, and nothing that somebody else wrote.",
    )


def check_answer_loss(loss):
    """Check a function (log-probabilities of all tokens, mask) → mean loss over the answer, in nats a token."""
    return feedback.verdict(
        loss,
        _LOSSES,
        _loss_problem,
        f"right: {_answer_loss(*_LOSSES[0]):.1f} nats a token where the mean over all would be "
        f"{-sum(_LOSSES[0][0]) / len(_LOSSES[0][0]):.2f}; only the answer counts, however long the question was.",
    )


def _mask_problem(result, tokens, expected):
    given = feedback.numbers(result)
    if given is None or given.shape != (len(tokens),):
        return f"expected a list of {len(tokens)} values, one a token; got {feedback.short(result)}."
    if not set(given) <= {0.0, 1.0}:
        return f"expected True or False for each token; got {feedback.short(result)}."
    wrong = [place for place, learned in enumerate(expected) if given[place] != learned]
    return _mask_slip(tokens, expected, wrong[0]) if wrong else None


def _mask_slip(tokens, expected, place):
    where = f"token {place}, {tokens[place]!r} behind {''.join(tokens[max(0, place - 2) : place])!r},"
    if tokens[place] == "<end_of_turn>" and expected[place]:
        return "the end of the model's turn is not learned. Without it the model never stops."
    if expected[place]:
        return f"{where} belongs to an answer, but is not learned. Does each turn count?"
    return f"{where} is learned, but the model is not to say it: that stands there already."


def _answer_loss(logprobs, mask):
    counted = [-value for value, counts in zip(logprobs, mask, strict=True) if counts]
    return sum(counted) / len(counted)


def _loss_problem(result, logprobs, mask):
    expected = _answer_loss(logprobs, mask)
    if feedback.close(result, expected):
        return None
    slip = "Take the mean over the tokens that count, and turn the sign."
    if feedback.close(result, expected * sum(mask) / len(mask)):
        slip = "You divide by all tokens: then a long question makes the loss small."
    elif feedback.close(result, -sum(logprobs) / len(mask)):
        slip = "The mask has no effect yet."
    elif feedback.close(result, expected * sum(mask)):
        slip = "That is the sum: a longer answer would then be a larger step. Divide by the tokens that count."
    return (
        f"for {logprobs} with mask {mask} you gave {feedback.short(result)}, "
        f"expected {feedback.short(expected)}. {slip}"
    )
