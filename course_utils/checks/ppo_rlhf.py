"""Checkers of notebook 09: advantages, the clipped objective, the reward of each token, and a reward of one's own."""

import math

from course_utils.checks import feedback

_CASES = (([0.0, 0.0, 1.0], [0.2, 0.5, 0.4], 0.95), ([-0.1, 0.3, -0.2, 2.0], [0.0, 1.0, -1.0, 0.5], 0.5))
_TOKENS = ((1.5, 1.0, 0.2), (1.1, 1.0, 0.2), (0.5, 1.0, 0.2), (0.5, -1.0, 0.2), (1.5, -1.0, 0.2), (1.5, 2.0, 0.6))
_ANSWERS = (([-1.0, -0.5, -2.0], [-1.2, -0.1, -2.0], 0.7, 0.1), ([-0.3], [-0.8], -1.0, 0.5))
PROMPT = "Write one sentence reviewing a film."
TEXTS = (
    "The big screen has seldom been so well used.",
    "A movie that never finds its feet",
    "Although based on a book, it stands alone.",
    "With a completely wooden lead, this one sinks like a stone in the first ten minutes and stays there.",
    "",
    "Fine!",
)


def check_gae(gae):
    """Check a function (rewards, values, lam) → advantages of one answer, with γ = 1, as a list."""
    for rewards, values, lam in _CASES:
        result, problem = feedback.attempt(gae, list(rewards), list(values), lam)
        if problem:
            return feedback.failed(problem)
        expected = _gae(rewards, values, lam)
        if not feedback.close(result, expected):
            slip = "Go backwards: δ = r + (next value) − (own value), then A = δ + λ · (next A)."
            if feedback.close(result, _gae(rewards, values, 0)):
                slip = "Those are the δ alone; a later surprise must reach earlier tokens, damped by λ."
            elif feedback.close(result, [a + v for a, v in zip(expected, values, strict=True)]):
                slip = "Those are the returns, A + V: what the value head should have said."
            elif feedback.close(result, _gae(rewards, values, lam, last=values[-1])):
                slip = "After the last token the text is over: the next value there is 0."
            return feedback.failed(
                f"for rewards {rewards}, values {values}, λ {lam} you gave {feedback.short(result)}, "
                f"expected {feedback.short(expected)}. {slip}"
            )
    return feedback.passed("right: the score at the end reaches every token before it, a little less with each step.")


def check_clipped(objective):
    """Check a function (ratio, advantage, clip) → PPO's objective of one token, to be made large."""
    results = []
    for token in _TOKENS:
        result, problem = feedback.attempt(objective, *token)
        if problem:
            return feedback.failed(problem)
        results.append(result)
    free = [ratio * advantage for ratio, advantage, _ in _TOKENS]
    near = [min(max(ratio, 1 - clip), 1 + clip) * advantage for ratio, advantage, clip in _TOKENS]
    expected = [min(pair) for pair in zip(free, near, strict=True)]
    slips = {
        "That is the loss, to be made small; asked is the objective.": [-value for value in expected],
        "Clipped always: a token that went the wrong way could then never be brought back.": near,
        "Nothing is clipped: one update may then move a token as far as it likes.": free,
        "That is the larger of the two; PPO is the pessimist and takes the smaller.": list(map(max, free, near)),
    }
    for token, came, wanted in zip(_TOKENS, results, expected, strict=True):
        if not feedback.close(came, wanted):
            found = [slip for slip, values in slips.items() if _all_close(results, values)]
            slip = found[0] if found else "Take the smaller of ratio · A and (ratio clipped to 1 ± ε) · A."
            return feedback.failed(
                f"for ratio {token[0]}, advantage {token[1]}, ε {token[2]} you gave {feedback.short(came)}, "
                f"expected {feedback.short(wanted)}. {slip}"
            )
    return feedback.passed("right: a gain is cut off beyond 1 ± ε, and a loss never is.")


def check_token_rewards(rewards):
    """Check a function (logprobs, reference_logprobs, score, kl_coef) → the reward of each token, as a list."""
    for logprobs, reference, score, kl_coef in _ANSWERS:
        result, problem = feedback.attempt(rewards, list(logprobs), list(reference), score, kl_coef)
        if problem:
            return feedback.failed(problem)
        kl = [a - b for a, b in zip(logprobs, reference, strict=True)]
        expected = _paid(kl, score, -kl_coef)
        if not feedback.close(result, expected):
            slip = "Each token pays β · (log π − log π_reference); the last one also receives the score."
            if feedback.close(result, _paid(kl, score, kl_coef)):
                slip = "The sign of the KL is turned: the policy would be paid for leaving its reference."
            elif feedback.close(result, [score - kl_coef * one for one in kl]):
                slip = "The score at every token pays for length: a long answer would receive it many times."
            elif feedback.close(result, _paid(kl, 0.0, -kl_coef)):
                slip = "The score is missing: nothing would be learned but to stay at home."
            return feedback.failed(
                f"for log π {logprobs}, log π_reference {reference}, score {score}, β {kl_coef} you gave "
                f"{feedback.short(result)}, expected {feedback.short(expected)}. {slip}"
            )
    return feedback.passed("right: straying is paid for where it happens, and the score comes when the text is read.")


def check_reward(reward):
    """Check a reward function of one's own: (prompts, texts: lists of B strings) → B finite numbers that differ."""
    result, problem = feedback.attempt(reward, [PROMPT] * len(TEXTS), list(TEXTS))
    if problem:
        return feedback.failed(f"{problem} (it was given {len(TEXTS)} texts, one of them empty, as a policy may write)")
    try:
        scores = [float(value) for value in (result.tolist() if hasattr(result, "tolist") else result)]
    except (TypeError, ValueError):
        return feedback.failed(f"expected one number for each of {len(TEXTS)} texts, got {feedback.short(result)}.")
    if len(scores) != len(TEXTS):
        return feedback.failed(
            f"expected {len(TEXTS)} numbers, one for each text in their order, got {len(scores)}. Was the mean taken?"
        )
    broken = [text for text, score in zip(TEXTS, scores, strict=True) if not math.isfinite(score)]
    if broken:
        return feedback.failed(f"the reward of {broken[0]!r} is not finite. Did you divide by a number of words?")
    if len(set(scores)) == 1:
        return feedback.failed(
            f"every text gets {scores[0]:g}. All answers being equal, every advantage is 0 and nothing is learned."
        )
    again, problem = feedback.attempt(reward, [PROMPT] * len(TEXTS), list(TEXTS)[::-1])
    if problem or not feedback.close(again, scores[::-1]):
        return feedback.failed(
            "the same texts in another order got other scores. A reward must depend on the text alone."
        )
    return feedback.passed("it can be learned from. Before you run it: how would *you* get a high score without merit?")


def _gae(rewards, values, lam, last=0.0):
    advantages, following, advantage = [], last, 0.0
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        advantage = reward + following - value + lam * advantage
        following = value
        advantages.append(advantage)
    return advantages[::-1]


def _all_close(came, expected):
    return all(map(feedback.close, came, expected))


def _paid(kl, score, coefficient):
    paid = [coefficient * one for one in kl]
    return [*paid[:-1], paid[-1] + score]
