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
    "D": "Look at the KL: it stays near 0, so no more can change than in a run that learns nothing.",
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


def patients(runs):
    """The broken runs of the clinic under letters that say nothing: {"A": metrics, one dictionary a step, …}.

    Args:
        runs: {cause: metrics}, from the record of the experiment "rlhf".
    """
    return {letter: runs[cause] for letter, cause in zip("ABCD", CAUSES, strict=True)}


def check_clinic(diagnose, runs):
    """Check a function metrics of one run, a dictionary a step → one of CAUSES, on all four runs."""
    for letter, metrics in patients(runs).items():
        result, problem = feedback.attempt(diagnose, metrics)
        if problem:
            return feedback.failed(f"patient {letter}: {problem}")
        cause = CAUSES["ABCD".index(letter)]
        if result not in CAUSES:
            return feedback.failed(f"patient {letter}: {result!r} is none of the causes {', '.join(CAUSES)}.")
        if result != cause:
            return feedback.failed(f"patient {letter} does not suffer from {result!r}. {_SIGNS[letter]}")
    return feedback.passed("right, all four; and no line of code had failed in any of them.")


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
            f"every text gets {scores[0]:g}, so nothing can be learned from what a text says. Away from 0 such a "
            "reward still moves the policy, by where in an answer it falls. Let the number depend on the text."
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
