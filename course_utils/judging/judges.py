"""A model as judge: asked about pairs in both orders, and for grades by a rubric; what place and length do to it.

Shapes: N pairs. Odds are log p(A) − log p(B): above zero the judge takes what stands first.
A verdict is read from label words, never from a text, so none is unreadable. Digits have no token with a space of their
own: the space before a grade stands in the prompt.
"""

import torch

from course_utils.evaluation import comparison

PAIR = "Two sentences of film reviews.\n{text}\nWhich of them speaks better of its film, A or B?\nAnswer:"
RUBRIC = (
    "Grade a sentence of a film review from 1 to 9.\n1: scorn, nothing good about the film.\n"
    "5: neither praise nor scorn.\n9: praise without reserve.\nSentence: {text}\nGrade: "
)


def pair_odds(asked, firsts, seconds, prompt=PAIR):
    """(N,) odds that the first of each pair is taken, as it stands there.

    Args:
        asked: an `evaluation.prompting.Asked`. firsts, seconds: N texts each. prompt: with {text}.
    """
    texts = [f"A: {one}\nB: {two}" for one, two in zip(firsts, seconds, strict=True)]
    found = asked.scores(prompt, (" A", " B"), texts).double()
    return found[:, 0] - found[:, 1]


def grades(asked, texts, prompt=RUBRIC):
    """(N,) the mean grade, 1 to 9, over the judge's distribution among the nine digits (LLM-Eval asks for one)."""
    found = asked.scores(prompt, tuple("123456789"), texts).double().exp()
    return found @ torch.arange(1, 10, dtype=torch.float64)


def first_place(forward, backward):
    """The share of all asks in which what stood first was taken; ½ is no liking for a place.

    Args:
        forward: (N,) odds with the pair as it is. backward: (N,) with the two changed about.
    """
    return torch.stack([forward, backward]).gt(0).double().mean().item()


def both_orders(forward, backward):
    """(N,) verdicts over both orders: 1 where the pair's first text is taken both times, 0 never, ½ in one of them."""
    return 0.5 * (forward > 0).double() + 0.5 * (backward < 0).double()


def averaged(forward, backward):
    """(N,) odds for the pair's first text with the place taken out: (forward − backward) / 2."""
    return (forward - backward) / 2


def without_length(odds, gap):
    """(N,) odds with what length explains taken out: odds − b · gap, b by least squares through zero.

    After the length-controlled win rate of AlpacaEval (Dubois et al. 2024), which fits a logistic curve to verdicts.

    Args:
        odds: (N,) for the first text. gap: (N,) its words less those of the second.
    """
    gap = torch.as_tensor(gap).double()
    size = (gap * gap).sum()
    return odds - (odds * gap).sum() / size * gap if size else odds


def longer_taken(verdicts, gap):
    """(K,) of the pairs with unlike lengths: 1 where the longer text is taken, ½ for a tie.

    Args:
        verdicts: (N,) 1 where the first text is taken. gap: (N,) its words less those of the second.
    """
    gap = torch.as_tensor(gap).double()
    unlike = gap != 0
    return torch.where(gap > 0, verdicts, 1 - verdicts)[unlike]


def liking_for_length(verdicts, truth, gap):
    """How much more often than people a judge takes the longer text: a `comparison.Estimate`, paired.

    Args:
        verdicts, truth: (N,) 1 where the first text is taken, by the judge and by people. gap: as above.
    """
    return comparison.paired_difference(longer_taken(verdicts, gap), longer_taken(truth, gap), over="items")
