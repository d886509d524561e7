"""Checkers of notebook 09: advantages, what is wrong with four broken runs, and a reward of one's own."""

import math

from course_utils.checks import feedback

_CASES = (([0.0, 0.0, 1.0], [0.2, 0.5, 0.4], 0.95), ([-0.1, 0.3, -0.2, 2.0], [0.0, 1.0, -1.0, 0.5], 0.5))
# the causes, in the order of the letters A to D, and where each patient shows it
CAUSES = ("reward not centred", "too fast", "reward blind", "leash too short")
_SIGNS = {
    "A": "Look at the reward of the first step: what an average text is paid is far from 0, whatever it says.",
    "B": "Look at the KL: within a few steps it is far above that of any other.",
    "C": "Look at the reward beside the KL: it strays, and is paid no better for it.",
    "D": "Look at the KL: it stays near 0, and kl_coef says why: a nat costs 5 points.",
}
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
    first = feedback.short(_gae(*_CASES[0]))
    return feedback.verdict(
        gae,
        _CASES,
        _gae_problem,
        f"right: the score at the end reaches every token before it; the first answer has {first}.",
    )


def patients(runs):
    """The broken runs of the clinic under letters that say nothing: {"A": metrics, one dictionary a step, …}.

    Args:
        runs: {cause: metrics}, from the record of the experiment "rlhf".

    Raises:
        ValueError: a cause has no run.
    """
    if missing := [cause for cause in CAUSES if not (isinstance(runs, dict) and runs.get(cause))]:
        raise ValueError(
            f"The clinic has no run for {missing[0]!r}. Pass the runs of the record, a list of each cause."
        )
    return {letter: runs[cause] for letter, cause in zip("ABCD", CAUSES, strict=True)}


def check_clinic(diagnose, runs):
    """Check a function metrics of one run, a dictionary a step → one of CAUSES, on all four runs."""
    for letter, metrics in patients(runs).items():
        result, problem = feedback.attempt(diagnose, metrics)
        if problem:
            return feedback.failed(f"patient {letter}: {problem}")
        cause = CAUSES["ABCD".index(letter)]
        if not isinstance(result, str) or result not in CAUSES:
            came = feedback.short(result)
            return feedback.failed(f"patient {letter}: {came} is none of the causes {', '.join(CAUSES)}.")
        if result != cause:
            return feedback.failed(f"patient {letter} does not suffer from {result!r}. {_SIGNS[letter]}")
    ends = ", ".join(f"{letter} {metrics[-1]['kl']:.1f}" for letter, metrics in patients(runs).items())
    return feedback.passed(
        f"right, all four, and no line of code had failed in any of them. Their KL at the end, in nats: {ends}."
    )


def check_reward(reward):
    """Check a reward function of one's own: (prompts, texts: lists of B strings) → B finite numbers that differ."""
    result, problem = feedback.attempt(reward, [PROMPT] * len(TEXTS), list(TEXTS))
    if problem:
        return feedback.failed(f"{problem} (it was given {len(TEXTS)} texts, one of them empty, as a policy may write)")
    scores = feedback.numbers(result)
    problem = _unusable(scores, result)
    if problem:
        return feedback.failed(problem)
    again, problem = feedback.attempt(reward, [PROMPT] * len(TEXTS), list(TEXTS)[::-1])
    if problem or not feedback.close(again, scores[::-1]):
        return feedback.failed(
            "the same texts in another order got other scores. A reward must depend on the text alone."
        )
    best = TEXTS[int(scores.argmax())]
    return feedback.passed(
        f"it can be learned from: {scores.min():.3g} to {scores.max():.3g} here, the most for {best!r}. Before you run "
        "it: how would *you* get a high score without merit?"
    )


def _unusable(scores, result):
    """Why no policy can learn from these scores, or None."""
    if scores is None or scores.ndim != 1:
        return f"expected one number for each of {len(TEXTS)} texts, got {feedback.short(result)}."
    if scores.shape != (len(TEXTS),):
        return (
            f"expected {len(TEXTS)} numbers, one for each text in their order, got {scores.size}. Was the mean taken?"
        )
    broken = [text for text, score in zip(TEXTS, scores, strict=True) if not math.isfinite(score)]
    if broken:
        return f"the reward of {broken[0]!r} is not finite. Did you divide by a number of words?"
    if math.isclose(scores.min(), scores.max(), rel_tol=1e-6, abs_tol=1e-6):
        return (
            f"every text gets {scores[0]:g}, whatever it says: no text is better than another, so nothing about texts "
            "can be learned. Other than 0 it still praises some places in a text and blames others, as the −7 above."
        )
    return None


def _gae_problem(result, rewards, values, lam):
    expected = _gae(rewards, values, lam)
    if feedback.close(result, expected, 1e-5):
        return None
    slip = "Go backwards: δ = r + (next value) − (own value), then A = δ + λ · (next A)."
    if feedback.close(result, _gae(rewards, values, 0), 1e-5):
        slip = "Those are the δ alone; a later surprise must reach earlier tokens, damped by λ."
    elif feedback.close(result, [a + v for a, v in zip(expected, values, strict=True)], 1e-5):
        slip = "Those are the returns, A + V: what the value head should have said."
    elif feedback.close(result, _gae(rewards, values, lam, last=values[-1]), 1e-5):
        slip = "After the last token the text is over: the next value there is 0."
    elif feedback.close(result, _gae(rewards, values, 1), 1e-5):
        slip = "λ has no effect yet: a later surprise is damped by it at every token."
    elif feedback.close(result, expected[::-1], 1e-5):
        slip = "They stand the wrong way round: the list begins with the first token."
    return (
        f"for rewards {rewards}, values {values}, λ {lam} you gave {feedback.short(result)}, "
        f"expected {feedback.short(expected)}. {slip}"
    )


def _gae(rewards, values, lam, last=0.0):
    advantages, following, advantage = [], last, 0.0
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        advantage = reward + following - value + lam * advantage
        following = value
        advantages.append(advantage)
    return advantages[::-1]
