"""Checkers of notebook 00: a softmax with temperature, and perplexity."""

import math

from course_utils.checks import feedback


def check_softmax(softmax):
    """Check a function (logits, temperature) → probabilities."""
    cases = [([0.0, 0.0], 1.0), ([2.0, 1.0, 0.0], 1.0), ([2.0, 1.0, 0.0], 0.5), ([2.0, 1.0, 0.0], 2.0)]
    for logits, temperature in cases:
        result, problem = feedback.attempt(softmax, list(logits), temperature)
        if problem:
            return feedback.failed(problem)
        exps = [math.exp(x / temperature) for x in logits]
        expected = [x / sum(exps) for x in exps]
        if not feedback.close(result, expected, 1e-5):
            hint = _softmax_slip(result, logits, temperature)
            return feedback.failed(
                f"softmax({logits}, temperature={temperature}) gave {feedback.short(result)}, "
                f"expected {feedback.short(expected)}. {hint}"
            )
    return feedback.passed("right at every temperature: below 1 the favourite gains, above 1 it loses.")


def check_perplexity(perplexity):
    """Check a function (log-probabilities in nats) → perplexity."""
    for logprobs in ([math.log(0.5)] * 4, [math.log(0.5), math.log(0.125)], [0.0, 0.0, 0.0]):
        result, problem = feedback.attempt(perplexity, logprobs)
        if problem:
            return feedback.failed(problem)
        expected = math.exp(-sum(logprobs) / len(logprobs))
        if not feedback.close(result, expected, 1e-5):
            shown = feedback.short([math.exp(x) for x in logprobs])
            return feedback.failed(
                f"for tokens of probability {shown} you gave {feedback.short(result)}, "
                f"expected {feedback.short(expected)}. Average the log-probabilities first, turn the sign, then take exp: "
                "the mean of 1/p is another number."
            )
    return feedback.passed("right: a perplexity of k means as unsure as among k equally likely tokens.")


def _softmax_slip(result, logits, temperature):
    exps = [math.exp(x * temperature) for x in logits]
    if feedback.close(result, [x / sum(exps) for x in exps], 1e-5):
        return "You multiply by the temperature; divide, so that a low temperature sharpens."
    plain = [math.exp(x) for x in logits]
    if feedback.close(result, [x / sum(plain) for x in plain], 1e-5):
        return "The temperature has no effect yet."
    raw = [math.exp(x / temperature) for x in logits]
    if feedback.close(result, raw, 1e-5):
        return "Probabilities must sum to 1: divide every exponential by their sum."
    return "Divide each logit by the temperature, take exponentials, divide each by their sum."
