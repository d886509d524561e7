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
ONE_TURN = (_ASK, _TURN, _FIRST, _REST)
TWO_TURNS = (_ASK, _TURN, _FIRST, _AGAIN, _TURN, _SECOND, _REST)


def check_mask(mask):
    """Check a function (tokens of a dialogue, as texts) → list of bool, True on what the model should learn to say."""
    for parts in (ONE_TURN, TWO_TURNS):
        tokens = [token for words, _ in parts for token in words]
        expected = [learned for words, learned in parts for _ in words]
        result, problem = feedback.attempt(mask, list(tokens))
        if problem:
            return feedback.failed(problem)
        if not isinstance(result, list | tuple) or len(result) != len(tokens):
            return feedback.failed(
                f"expected a list of {len(tokens)} values, one a token; got {feedback.short(result)}."
            )
        wrong = [place for place, pair in enumerate(zip(result, expected, strict=True)) if bool(pair[0]) != pair[1]]
        if wrong:
            return feedback.failed(_mask_slip(tokens, expected, wrong[0]))
    return feedback.passed("right: both answers with their ends, and nothing that somebody else wrote.")


def check_answer_loss(loss):
    """Check a function (log-probabilities of all tokens, mask) → mean loss over the answer, in nats a token."""
    for logprobs, mask in (
        ([-5.0, -5.0, -1.0, -2.0], [False, False, True, True]),
        ([-3.0, -0.5, -7.0], [False, True, False]),
    ):
        result, problem = feedback.attempt(loss, list(logprobs), list(mask))
        if problem:
            return feedback.failed(problem)
        counted = [-value for value, counts in zip(logprobs, mask, strict=True) if counts]
        expected = sum(counted) / len(counted)
        if not feedback.close(result, expected):
            slip = "Take the mean over the tokens that count, and turn the sign."
            if feedback.close(result, sum(counted) / len(mask)):
                slip = "You divide by all tokens: then a long question makes the loss small."
            elif feedback.close(result, -sum(logprobs) / len(mask)):
                slip = "The mask has no effect yet."
            return feedback.failed(
                f"for {logprobs} with mask {mask} you gave {feedback.short(result)}, "
                f"expected {feedback.short(expected)}. {slip}"
            )
    return feedback.passed("right: only the answer counts, however long the question was.")


def _mask_slip(tokens, expected, place):
    where = f"token {place}, {tokens[place]!r} behind {''.join(tokens[max(0, place - 2) : place])!r},"
    if tokens[place] == "<end_of_turn>" and expected[place]:
        return "the end of the model's turn is not learned. Without it the model never stops."
    if expected[place]:
        return f"{where} belongs to an answer, but is not learned. Does each turn count?"
    return f"{where} is learned, but the model is not to say it: that stands there already."
