"""Checkers of notebook 05: the calibrated threshold, and four true examples that make the model worse."""

import torch

from course_utils.checks import feedback
from course_utils.data import prompts
from course_utils.evaluation import classification

SHOTS = 4


def check_threshold(threshold):
    """Check a function (log-odds of unlabelled reviews) → the threshold that calls half of them positive."""
    for scores in ([3.0, 1.0, 2.0], [-1.0, 4.0, 0.5, 10.0, 2.0], [2.0] * 3 + [9.0] * 2):
        result, problem = feedback.attempt(threshold, torch.tensor(scores))
        if problem:
            return feedback.failed(problem)
        expected = torch.tensor(scores).median().item()
        if not feedback.close(result, expected):
            slip = (
                "That is the mean, which one extreme review can drag anywhere."
                if feedback.close(result, sum(scores) / len(scores), 1e-5)
                else "Half of the scores should lie above it."
            )
            return feedback.failed(
                f"for {scores} you gave {feedback.short(result)}, expected {feedback.short(expected)}. {slip}"
            )
    return feedback.passed("right: half of the unlabelled reviews lie on each side, whatever the prompt leans to.")


def check_worse_examples(judge, pool, questions, chosen):
    """Check four true examples that make the model worse than four drawn at random; neither side is calibrated.

    Args:
        judge: an `in_context.Judge`.
        pool: the labelled examples to choose from.
        questions: `in_context.Questions`.
        chosen: four positions in the pool; the labels stay as people gave them.
    """
    chosen = list(chosen) if isinstance(chosen, list | tuple | range) else None
    problem = _not_four(chosen, len(pool))
    if problem:
        return feedback.failed(problem)
    examples = [pool[position] for position in chosen]
    with_four = _accuracy(judge, examples, questions)
    usual = _accuracy(judge, prompts.draw_examples(pool, SHOTS, seed="usual"), questions)
    chance = max(sum(questions.labels), len(questions.labels) - sum(questions.labels)) / len(questions.labels)
    if with_four >= usual:
        return feedback.failed(
            f"with your four {with_four:.0%} are right, with four drawn at random {usual:.0%}. "
            "Look at what a prompt can teach by accident: which label comes most often, and which comes last?"
        )
    return feedback.passed(
        f"with your four {with_four:.0%} are right, with four drawn at random {usual:.0%}, with one answer for all "
        f"{chance:.0%}. Every label you showed was true."
    )


def _accuracy(judge, examples, questions):
    return classification.correct(judge.scores(examples, questions.texts), questions.labels).mean().item()


def _not_four(chosen, size):
    if chosen is None or len(chosen) != SHOTS:
        return f"expected a list of {SHOTS} positions in the pool, as [0, 1, 2, 3]; got {chosen or 'none yet'}."
    if any(isinstance(c, bool) or not isinstance(c, int) or not 0 <= c < size for c in chosen):
        return f"expected whole numbers from 0 to {size - 1}, got {chosen}."
    if len(set(chosen)) != SHOTS:
        return f"an example may be shown once only, got {chosen}."
    return None
