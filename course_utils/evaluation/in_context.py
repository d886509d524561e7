"""In-context learning measured: the same questions behind different examples, with no weight changed.

Shapes: S draws of examples, N questions; scores are log-odds, log p(positive) − log p(negative).
"""

import hashlib
from dataclasses import dataclass

import torch

from course_utils.data import prompts
from course_utils.evaluation import classification
from course_utils.models import prefix


@dataclass(frozen=True)
class Questions:
    """Reviews to be judged, with the side people took."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]

    def __post_init__(self):
        if len(self.texts) != len(self.labels) or not self.texts:
            raise ValueError(
                f"Expected one label for each review, got {len(self.texts)} reviews, {len(self.labels)} labels."
            )


def clear_cases(reviews, *, least=1.0, words=20):
    """Rows of at most `words` words, rated at least `least` away from zero in the mean: most people took one side."""
    return [row for row in reviews if abs(row["mean"]) >= least and len(row["text"].split()) <= words]


def balanced(rows, count):
    """The first count / 2 rows of each label, in their order: chance is then one half, and a median threshold is fair.

    Raises:
        ValueError: an odd count, or too few rows of a label.
    """
    sides = [[row for row in rows if prompts.label_of(row["mean"]) == label] for label in (0, 1)]
    if count % 2 or min(map(len, sides)) < count // 2:
        raise ValueError(
            f"Expected an even number of rows, at most {2 * min(map(len, sides))} (there are {len(sides[0])} negative "
            f"and {len(sides[1])} positive ones), got {count}."
        )
    kept = {id(row) for side in sides for row in side[: count // 2]}
    return [row for row in rows if id(row) in kept]


def as_questions(rows):
    return Questions(tuple(row["text"] for row in rows), tuple(prompts.label_of(row["mean"]) for row in rows))


def as_examples(rows):
    return [prompts.Example(row["text"], prompts.label_of(row["mean"])) for row in rows]


class Judge:
    """A frozen language model that answers one kind of question behind any examples.

    Args:
        model, tokenizer: as `load_base` returns them.
        template: how examples and questions are written.
    """

    def __init__(self, model, tokenizer, template):
        self.model, self.tokenizer, self.template = model, tokenizer, template
        self.words = prompts.word_tokens(tokenizer, template)

    def scores(self, examples, texts):
        """(N,) log-odds of each text behind the examples; an empty list of examples is zero-shot."""
        tokens = prompts.prompt_tokens(self.tokenizer, self.template, examples)
        questions = prompts.question_tokens(self.tokenizer, self.template, texts)
        logprobs = prefix.label_logprobs(self.model, prefix.read_prefix(self.model, tokens), questions, self.words)
        return classification.log_odds(logprobs)


@dataclass(frozen=True)
class Curve:
    """Scores of the same questions for several numbers of examples.

    scores: shots → (S, N) log-odds; zero shots has one row.
    thresholds: shots → (S,) calibrated thresholds, from unlabelled texts behind the same examples; only for the
        numbers of examples that were calibrated.
    """

    labels: tuple[int, ...]
    scores: dict
    thresholds: dict

    def correct(self, shots, *, calibrated=False):
        """(S, N) float, 1 where the decision was right."""
        threshold = self.thresholds[shots][:, None] if calibrated else 0.0
        return classification.correct(self.scores[shots], self.labels, threshold)

    def accuracy(self, shots, *, calibrated=False):
        return self.correct(shots, calibrated=calibrated).mean().item()


def few_shot_curve(judge, pool, questions, unlabelled, *, shots, draws, seed, calibrate=(0, 16), progress=iter):
    """Judge all questions behind every number of examples, each number with several draws.

    Args:
        judge: a Judge.
        pool: examples to draw from; none may be among the questions.
        questions: Questions.
        unlabelled: texts for calibration, used for nothing else.
        shots: numbers of examples, as (0, 1, 2, 4, 8, 16).
        draws: how many draws of examples for each number above zero.
        seed: the run's seed; draw d of seed s is the same on every machine.
        calibrate: the numbers of examples for which the unlabelled texts are judged too.
        progress: wraps the list of (shots, draw) pairs, as tqdm does.
    """
    _check_disjoint(pool, questions, unlabelled)
    scores, thresholds = {k: [] for k in shots}, {k: [] for k in shots if k in calibrate}
    runs = [(k, draw) for k in shots for draw in range(draws if k else 1)]
    for k, draw in progress(runs):
        examples = prompts.draw_examples(pool, k, seed=f"{seed}-{draw}")
        texts = [*questions.texts, *(unlabelled if k in calibrate else ())]
        both = judge.scores(examples, texts)
        scores[k].append(both[: len(questions.texts)])
        if k in calibrate:
            thresholds[k].append(classification.calibrated_threshold(both[len(questions.texts) :]))
    return Curve(questions.labels, _stacked(scores), _stacked(thresholds))


def _stacked(rows):
    return {name: torch.stack(kept) for name, kept in rows.items()}


def accuracies(judge, variants, questions, *, unlabelled=(), progress=iter):
    """{name: (S, N) float of right decisions} for {name: S lists of examples}.

    Args:
        unlabelled: texts whose median score behind the same examples is the threshold; none: the raw threshold, zero.
    """
    rows, asked = {name: [] for name in variants}, len(questions.texts)
    runs = [(name, draw) for name, draws in variants.items() for draw in draws]
    for name, examples in progress(runs):
        scores = judge.scores(examples, [*questions.texts, *unlabelled])
        threshold = classification.calibrated_threshold(scores[asked:]) if unlabelled else 0.0
        rows[name].append(classification.correct(scores[:asked], questions.labels, threshold))
    return _stacked(rows)


def weights_hash(model):
    """SHA-256 over every weight and buffer, name, shape and bytes: equal exactly when nothing changed."""
    digest = hashlib.sha256()
    for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()], key=lambda named: named[0]):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _check_disjoint(pool, questions, unlabelled):
    shown = {example.text for example in pool}
    leaked = [text for text in (*questions.texts, *unlabelled) if text in shown]
    if leaked:
        raise ValueError(
            f"{len(leaked)} of the questions may also be drawn as examples, so the answer could stand in the prompt "
            f"(first: {leaked[0]!r}). Take examples and questions from different splits."
        )
