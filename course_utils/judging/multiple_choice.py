"""A question with choices, scored several ways from the same model, and how sure one may be of a share right.

    letter        log p of " A", " B" … behind the question with its choices listed
    likelihood    log p of the choice's text behind the question alone: all its tokens, so short choices gain
    byte          the same, divided by the choice's bytes
    surprise      the same, less its log p behind "Answer:" alone: what the question adds (Holtzman et al. 2021)
    no question   log p behind "Answer:" alone: the baseline that has not read the question

All five come from three numbers a choice, so that they are compared on the same readings.
Shapes: N items, C choices.
"""

import math

import torch

from course_utils.data.exams import LETTERS
from course_utils.models import prefix
from course_utils.models.logprobs import token_logprobs

RULES = ("letter", "likelihood", "byte", "surprise", "no question")


def continuations(model, beginnings, choices):
    """log p of each choice's tokens behind its beginning, summed.

    Args:
        model: a causal language model of transformers.
        beginnings: N lists of at least two token ids, <bos> first where the model has one.
        choices: N lists of C lists of token ids, none empty.

    Returns:
        N lists of C floats, in nats.

    Raises:
        ValueError: a choice has no token, or a beginning fewer than two.
    """
    if any(len(row) < 2 for row in beginnings) or any(not tokens for row in choices for tokens in row):
        raise ValueError("Each beginning needs two tokens, and each choice one: nothing would be predicted else.")
    states, tokens, start = [], [], None
    for before, own in zip(beginnings, choices, strict=True):
        if start is None or start.tokens != tuple(before[:-1]):
            start = prefix.read_prefix(model, before[:-1])
        # the state above a token predicts the next, so the beginning's last token is read with each choice
        found = prefix.hidden_states(model, start, [[before[-1], *choice[:-1]] for choice in own])
        states += found
        tokens += [token for choice in own for token in choice]
    head = model.get_output_embeddings().weight
    with torch.no_grad():
        hidden, words = torch.cat(states).to(head.device), torch.tensor(tokens, device=head.device)
        logprobs = token_logprobs(hidden, head, words).cpu()
    sums = [part.sum().item() for part in logprobs.split([len(choice) for own in choices for choice in own])]
    flat = iter(sums)
    return [[next(flat) for _ in own] for own in choices]


def read(asked, items):
    """What every rule is made of: {"letter", "likelihood", "alone": N lists of C log p, "bytes", "answer"}.

    Args:
        asked: an `evaluation.prompting.Asked`. items: N `exams.Item`s.
    """
    texts = [item.choices for item in items]
    return {
        "letter": letters(asked, items),
        "likelihood": _scored(asked, [item.unlisted() for item in items], texts),
        "alone": _scored(asked, ["Answer:"] * len(items), texts),
        "bytes": [[len(text.encode()) for text in own] for own in texts],
        "answer": [item.answer for item in items],
    }


def letters(asked, items):
    """N lists of C log p of the letters behind the questions with their choices listed; arguments as above."""
    return _scored(asked, [item.listed() for item in items], [LETTERS[: len(item.choices)] for item in items])


def _scored(asked, prompts, texts):
    """log p of some texts behind each prompt, with the space that belongs to them where the prompt goes on."""
    wholes = [asked.whole(prompt) for prompt in prompts]
    space = "" if wholes[0].endswith("\n") else " "
    rows = [[asked.tokenizer(space + text, add_special_tokens=False).input_ids for text in own] for own in texts]
    found = continuations(asked.model, [asked.encoded(whole) for whole in wholes], rows)
    return [[round(value, 4) for value in row] for row in found]


def scores(known, rule):
    """N lists of C scores by one of RULES. known: what `read` returned.

    Raises:
        ValueError: no such rule.
    """
    if rule not in RULES:
        raise ValueError(f"There is no rule {rule!r}. Choose from: {', '.join(RULES)}.")
    if rule in ("letter", "likelihood"):
        return known[rule]
    if rule == "no question":
        return known["alone"]
    by = {"byte": lambda own, alone, size: own / size, "surprise": lambda own, alone, size: own - alone}[rule]
    columns = zip(known["likelihood"], known["alone"], known["bytes"], strict=True)
    return [[by(*values) for values in zip(*row, strict=True)] for row in columns]


def right(known, rule):
    """(N,) float64: 1 where the highest score is the right choice's; of equal scores the first counts."""
    found = scores(known, rule)
    return torch.tensor(
        [float(row.index(max(row)) == answer) for row, answer in zip(found, known["answer"], strict=True)],
        dtype=torch.float64,
    )


def confidence(known, rule):
    """(N,) p of the highest choice among the choices: softmax of the scores."""
    rows = [torch.tensor(row, dtype=torch.float64).softmax(-1).max() for row in scores(known, rule)]
    return torch.stack(rows)


def reliability(sure, correct, bins=5):
    """[(mean confidence, share right, items)] in bins of equally many items, the least sure first.

    Args:
        sure: (N,) from 0 to 1. correct: (N,) of 0 and 1.
    """
    order = sure.argsort(stable=True)
    return [(sure[part].mean().item(), correct[part].mean().item(), len(part)) for part in order.chunk(bins)]


def calibration_error(sure, correct, bins=5):
    """The mean distance of confidence and share right over the bins, each with its share of the items (ECE)."""
    parts = reliability(sure, correct, bins)
    return sum(count * abs(mean - share) for mean, share, count in parts) / len(sure)


def wilson(successes, items, z=1.96):
    """(low, high): the 95 % interval of a share (Wilson 1927), which stays within 0 and 1 for few items, too.

    (p + z²/2n ± z √(p (1 − p) / n + z²/4n²)) / (1 + z²/n)

    Raises:
        ValueError: no items, or more successes than items.
    """
    if not 0 <= successes <= items or items < 1:
        raise ValueError(f"Expected 0 to {items} successes of at least one item, got {successes} of {items}.")
    share, extra = successes / items, z * z / items
    middle = (share + extra / 2) / (1 + extra)
    reach = z * math.sqrt(share * (1 - share) / items + extra / (4 * items)) / (1 + extra)
    return middle - reach, middle + reach


def best_of_equals(share, items, tried):
    """The share right that the best of several equally good models shows, on average, on one test.

    E[max] = Σ (1 − F(k)^m) / n over k = 0 … n − 1, F the binomial distribution; the models' errors are independent.

    Args:
        share: what each truly has right. items: n. tried: m models, or checkpoints.
    """
    below, expected = 0.0, 0.0
    for k in range(items):
        below += math.comb(items, k) * share**k * (1 - share) ** (items - k)
        expected += 1 - min(below, 1.0) ** tried
    return expected / items
