"""How well is the panel's mean rating predicted? Correlation, absolute error, and what it has to be compared with.

Shapes: N reviews, nine grades. A prediction is the expected rating, −4 … +4.
"""

from dataclasses import dataclass

import torch

from course_utils.data import graded, reviews, splits
from course_utils.models import prefix
from course_utils.tensors import moved
from course_utils.training.graded import GradedLoss

LAMBDAS = (1.0, 3.0, 10.0, 30.0, 100.0)
ITERATIONS = 1000  # of conjugate gradients, at most; 5,500 reviews take 30 to 270


def expected_rating(probabilities):
    """(N, 9) probabilities, of any sum > 0 a row → (N,) expected rating, −4 … +4."""
    grades = torch.arange(graded.GRADES, dtype=probabilities.dtype) + graded.LOWEST
    # E[r] = Σ r p(r) / Σ p(r)
    return probabilities @ grades / probabilities.sum(dim=-1)


def predict(module, rows, collate, *, at_once=32):
    """What a trained model says of encoded rows.

    Args:
        module: a `training.graded.GradedLoss`.
        rows, collate: of `data.graded`.
        at_once: rows read at a time.

    Returns:
        (N, 9) probabilities among the digits, in the order of the rows, on the CPU.
    """
    found, was_training = torch.empty(len(rows), graded.GRADES), module.training
    module.eval()
    with torch.inference_mode(), module.while_training():
        for part in torch.arange(len(rows)).split(max(1, at_once)):
            batch = moved(collate([rows[row] for row in part]), module.model.device)
            found[part] = module.among_digits(batch).float().softmax(dim=-1).cpu()
    module.train(was_training)
    return found


@dataclass(frozen=True)
class Exam:
    """Held-out reviews, their panels' means, and what a model says of them."""

    rows: list  # of `data.reviews`
    tokenizer: object

    @classmethod
    def of(cls, count, tokenizer, *, domain="movies", split="test", spread=False):
        """The first `count` reviews of a split, or as many spread evenly over it, from the middle of each stretch.

        The first 200 test reviews happen to be the hardest tenth of the first 2,000 for a model without training. And
        of the ten samples that take every tenth of these 2,000, the one that begins with the first is the hardest or
        second hardest for all seven recorded methods, the one that begins in the middle for three.
        """
        rows = reviews.load(domain, split)
        count = min(count, len(rows))
        step = len(rows) // count if spread else 1
        return cls(list(rows.select(range(step // 2, step * count, step))), tokenizer)

    @property
    def truth(self):
        """(N,) mean ratings."""
        return torch.tensor([row["mean"] for row in self.rows])

    def probabilities(self, module):
        """(N, 9) of a GradedLoss."""
        encoded = graded.encode(self.rows, self.tokenizer)
        return predict(module, encoded, graded.GradedCollator(self.tokenizer.pad_token_id))

    def ratings(self, module):
        """(N,) expected ratings of a GradedLoss."""
        return expected_rating(self.probabilities(module))

    def zero_shot(self, model, unlabelled):
        """(as it comes, calibrated): (N,) expected ratings of an untrained model.

        Args:
            unlabelled: an Exam whose ratings are not looked at.
        """
        return self.untrained(GradedLoss(model, graded.digit_tokens(self.tokenizer)), unlabelled)

    def untrained(self, module, unlabelled):
        """The same of a GradedLoss: a model, or an adapter around it before its first step."""
        said = self.probabilities(module)
        return expected_rating(said), expected_rating(calibrated(said, unlabelled.probabilities(module)))


def strongest(said, truth):
    """The name, of {name: (N,) ratings}, whose ratings correlate best with the truth: what has to be beaten."""
    return max(said, key=lambda name: correlation(said[name], truth))


def few_shot(model, tokenizer, examples, texts):
    """(N, 9) probabilities among the digits, behind examples with their digit."""
    behind = prefix.read_prefix(model, graded.prompt_tokens(tokenizer, examples))
    questions = graded.question_tokens(tokenizer, texts)
    return prefix.label_logprobs(model, behind, questions, graded.digit_tokens(tokenizer)).exp()


def calibrated(probabilities, unlabelled):
    """Probabilities over what the model says on average of unlabelled reviews, (N, 9) and (M, 9) → (N, 9).

    A prompted model likes some digits before it has read anything (Zhao et al. 2021, with real reviews in place of
    their content-free input). What remains is how much more often than usual it says a digit here.
    """
    if len(unlabelled) < 10:
        raise ValueError(f"Calibration needs at least 10 unlabelled reviews, got {len(unlabelled)}.")
    return torch.nn.functional.normalize(probabilities / unlabelled.mean(dim=0), p=1, dim=-1)


def correlation(predicted, truth):
    """Pearson's correlation of two (N,) vectors.

    Raises:
        ValueError: they differ in length, or one is constant, for which there is no correlation.
    """
    if predicted.shape != truth.shape or predicted.std() == 0 or truth.std() == 0:
        raise ValueError(f"Expected two vectors that vary, of one length, got {predicted.shape} and {truth.shape}.")
    return torch.corrcoef(torch.stack([predicted.double(), truth.double()]))[0, 1].item()


def mean_absolute_error(predicted, truth):
    """Mean distance of two (N,) vectors, in rating points."""
    return (predicted - truth).abs().mean().item()


def one_person(rows):
    """The human line: (one rating drawn from each panel, the mean of the others), two (N,) tensors."""
    drawn = [splits.stable_number(row["id"], "one person") % len(row["ratings"]) for row in rows]
    ratings = [torch.tensor(list(row["ratings"]), dtype=torch.float64) for row in rows]
    one = torch.stack([given[place] for given, place in zip(ratings, drawn, strict=True)])
    return one, torch.stack([(g.sum() - r) / (len(g) - 1) for g, r in zip(ratings, one, strict=True)])


def ridge(train, validation, texts):
    """The cheap baseline: ridge regression on which words occur, its strength chosen on validation.

    Args:
        train, validation: rows with text and mean.
        texts: N texts to predict.

    Returns:
        (N,) predicted means.
    """
    vocabulary = {}
    for row in train:
        for word in splits.words(row["text"]):
            vocabulary.setdefault(word, len(vocabulary))
    inputs, checked, asked = (
        Bags.of(part, vocabulary) for part in (*([row["text"] for row in rows] for rows in (train, validation)), texts)
    )
    means, wanted = (torch.tensor([row["mean"] for row in rows]) for rows in (train, validation))
    centre = means.mean()
    fitted = [_weights(inputs, means - centre, strength) for strength in LAMBDAS]
    best = min(fitted, key=lambda w: (checked.times(w) + centre - wanted).square().mean().item())
    return asked.times(best) + centre


def _weights(inputs, targets, strength):
    """w = Xᵀ (X Xᵀ + λ I)⁻¹ y by conjugate gradients, so that no matrix has to be held or solved."""
    solution, rest, direction, size = torch.zeros_like(targets), targets, targets, targets @ targets
    for _ in range(ITERATIONS):
        if size <= 1e-10 * len(targets):
            break
        changed = inputs.times(inputs.turned_times(direction)) + strength * direction
        step = size / (direction @ changed)
        solution, rest = solution + step * direction, rest - step * changed
        size, before = rest @ rest, size
        direction = rest + size / before * direction
    return inputs.turned_times(solution)


@dataclass(frozen=True)
class Bags:
    """Which words occur in which of N texts: the matrix X of ones and zeros, by the places of its ones."""

    rows: torch.Tensor
    words: torch.Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, texts, vocabulary):
        found = [
            (row, vocabulary[w])
            for row, t in enumerate(texts)
            for w in dict.fromkeys(splits.words(t))
            if w in vocabulary
        ]
        return cls(*torch.tensor(found, dtype=torch.int64).view(-1, 2).T.contiguous(), (len(texts), len(vocabulary)))

    def times(self, weights):
        """X w, (N,)."""
        return torch.zeros(self.shape[0]).index_add_(0, self.rows, weights[self.words])

    def turned_times(self, values):
        """Xᵀ a, (words,)."""
        return torch.zeros(self.shape[1]).index_add_(0, self.words, values[self.rows])


def to_line(ratings):
    """Ratings as one line of whole hundredths, so that thousands of them do not take thousands of lines."""
    return " ".join(str(round(100 * rating)) for rating in ratings.tolist())


def from_line(line):
    """What `to_line` was given, to a hundredth."""
    return torch.tensor([int(word) / 100 for word in line.split()])
