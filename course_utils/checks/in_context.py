"""Checkers of notebook 05: the calibrated threshold, and four true examples that make the model worse."""

import statistics

from course_utils.checks import feedback
from course_utils.data import prompts
from course_utils.evaluation import classification

SHOTS = 4
DRAWS, MARGIN = 8, 0.15  # draws at random to compare with; how far behind their mean
_SCORES = ([3.0, 1.0, 2.0], [-1.0, 4.0, 0.5, 10.0, 2.0], [2.0] * 3 + [9.0] * 2)


def check_threshold(threshold):
    """Check a function (log-odds of unlabelled reviews) → the threshold that calls half of them positive."""
    return feedback.verdict(
        threshold,
        [(scores,) for scores in _SCORES],
        _threshold_problem,
        f"right: half of the unlabelled reviews lie on each side, whatever the prompt leans to; one review at 10 moved "
        f"the mean of five to {sum(_SCORES[1]) / 5:.1f}, the median stayed at {statistics.median(_SCORES[1]):.1f}.",
        first="tensor",
    )


def _threshold_problem(result, scores):
    expected = statistics.median(scores)
    if feedback.close(result, expected):
        return None
    slip = "Half of the scores should lie above it."
    if feedback.close(result, sum(scores) / len(scores), 1e-5):
        slip = "That is the mean, which one extreme review can drag anywhere."
    elif feedback.close(result, scores[len(scores) // 2]):
        slip = "That is the one in the middle of the list; half of the scores should lie above it, so sort them first."
    return f"for {scores} you gave {feedback.short(result)}, expected {feedback.short(expected)}. {slip}"


def check_worse_examples(judge, pool, questions, chosen):
    """Check four true examples that make the model worse than draws at random do; neither side is calibrated.

    A draw is itself better or worse by chance, so the four must be behind the worst of several balanced draws, and
    behind their mean by a margin.

    Args:
        judge: an `in_context.Judge`.
        pool: the labelled examples to choose from.
        questions: `in_context.Questions`.
        chosen: four positions in the pool; the labels stay as people gave them.
    """
    chosen = feedback.plain(chosen)
    chosen = list(chosen) if isinstance(chosen, list | tuple | range) else chosen
    problem = _not_four(chosen, len(pool))
    if problem:
        return feedback.failed(problem)
    with_four = _accuracy(judge, [pool[position] for position in chosen], questions)
    draws = [prompts.draw_examples(pool, SHOTS, seed=f"usual-{draw}") for draw in range(DRAWS)]
    usual = [_accuracy(judge, examples, questions) for examples in draws]
    mean, worst = statistics.mean(usual), min(usual)
    said = (
        f"with your four {with_four:.0%} are right, with four drawn at random {mean:.0%} ({worst:.0%} at the worst of "
        f"{DRAWS} draws)"
    )
    if with_four >= worst or with_four > mean - MARGIN:
        return feedback.failed(
            f"{said}; that may be chance: be worse than all of them, and than their mean by {MARGIN:.0%} of the "
            "questions. Look at what a prompt can teach by accident: which label comes most often, and which last? And "
            "which answer, given to all questions, would be wrong most often?"
        )
    chance = max(sum(questions.labels), len(questions.labels) - sum(questions.labels)) / len(questions.labels)
    return feedback.passed(f"{said}, with one answer for all {chance:.0%} at best. Every label you showed was true.")


def _accuracy(judge, examples, questions):
    return classification.correct(judge.scores(examples, questions.texts), questions.labels).mean().item()


def _not_four(chosen, size):
    if not isinstance(chosen, list) or len(chosen) != SHOTS:
        came = "none yet" if chosen is None or chosen is Ellipsis else feedback.short(chosen)
        return f"expected a list of {SHOTS} positions in the pool, as [0, 1, 2, 3]; got {came}."
    if any(isinstance(c, bool) or not isinstance(c, int) or not 0 <= c < size for c in chosen):
        return f"expected whole numbers from 0 to {size - 1}, got {chosen}."
    if len(set(chosen)) != SHOTS:
        return f"an example may be shown once only, got {chosen}."
    return None
