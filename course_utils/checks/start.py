"""Checkers of notebook 00: a softmax with temperature, and perplexity."""

import math

from course_utils.checks import feedback

_LOGITS = [([0.0, 0.0], 1.0), ([2.0, 1.0, 0.0], 1.0), ([2.0, 1.0, 0.0], 0.5), ([2.0, 1.0, 0.0], 2.0)]
_LOGPROBS = [[math.log(0.5)] * 4, [math.log(0.5), math.log(0.125)], [0.0, 0.0, 0.0]]


def check_softmax(softmax):
    """Check a function (logits, temperature) → probabilities."""
    low, high = (max(_softmax(_LOGITS[1][0], temperature)) for temperature in (0.5, 2.0))
    return feedback.verdict(
        softmax,
        _LOGITS,
        _softmax_problem,
        f"right at every temperature: of the logits 2, 1, 0 the favourite gets {low:.2f} at 0.5 and {high:.2f} at 2.",
    )


def check_perplexity(perplexity):
    """Check a function (log-probabilities in nats) → perplexity."""
    return feedback.verdict(
        perplexity,
        [(logprobs,) for logprobs in _LOGPROBS],
        _perplexity_problem,
        "right: a perplexity of k means as unsure as among k equally likely tokens; four times ½ gave 2.",
    )


def _softmax(logits, temperature):
    exps = [math.exp(x / temperature) for x in logits]
    return [x / sum(exps) for x in exps]


def _softmax_problem(result, logits, temperature):
    expected = _softmax(logits, temperature)
    if feedback.close(result, expected, 1e-5):
        return None
    return (
        f"softmax({logits}, temperature={temperature}) gave {feedback.short(result)}, "
        f"expected {feedback.short(expected)}. {_softmax_slip(result, logits, temperature)}"
    )


def _softmax_slip(result, logits, temperature):
    if feedback.close(result, _softmax(logits, 1 / temperature), 1e-5):
        return "You multiply by the temperature; divide, so that a low temperature sharpens."
    if feedback.close(result, _softmax(logits, 1), 1e-5):
        return "The temperature has no effect yet."
    if feedback.close(result, [math.exp(x / temperature) for x in logits], 1e-5):
        return "Probabilities must sum to 1: divide every exponential by their sum."
    if feedback.close(result, [math.log(p) for p in _softmax(logits, temperature)], 1e-5):
        return "Those are log-probabilities: take exp."
    return "Divide each logit by the temperature, take exponentials, divide each by their sum."


def _perplexity_problem(result, logprobs):
    expected = math.exp(-sum(logprobs) / len(logprobs))
    if feedback.close(result, expected, 1e-5):
        return None
    slip = "Average the log-probabilities first, turn the sign, then exp: the mean of 1/p is another number."
    if feedback.close(result, 2 ** math.log(expected), 1e-5):
        slip = "These logarithms are natural: the power is of e, not of 2."
    return (
        f"for tokens of probability {feedback.short([math.exp(x) for x in logprobs])} you gave "
        f"{feedback.short(result)}, expected {feedback.short(expected)}. {slip}"
    )
