"""Was a test seen in training? Two detectors that need the model alone, and the gain that only the seen wording has.

    min-k    the mean of an item's least likely tokens: a text that was learned has no surprises left (Shi et al. 2024)
    order    an item in its own order of choices against the same in others: who has not seen the test has no reason to
             prefer the order in which it was published (after Oren et al. 2024, who permute a test's items)

Deviation from both: they judge whole data sets of unknown models; here each item is known to be seen or not.
"""

import re

import torch

from course_utils.data.exams import LETTERS, Item
from course_utils.evaluation import classification
from course_utils.models import prefix
from course_utils.models.logprobs import token_logprobs

_OTHER_WORDS = (
    (r"\bWhich of the following\b", "Which one of these"), (r"\bwhich of the following\b", "which one of these"),
    (r"\bmost likely\b", "probably"), (r"\bAccording to\b", "As stated in"), (r"\bWhat is\b", "Name"),
    (r"\bis called\b", "is known as"), (r"\brefers to\b", "means"), (r"\bdescribes\b", "characterises"),
    (r"\bis an example of\b", "is a case of"), (r"\bbest\b", "most exactly"), (r"\bprimarily\b", "mainly"),
)  # fmt: skip


def reworded(item):
    """The same question by rule: choices moved on by one, other words where a rule has them, another frame."""
    text = item.question
    for pattern, other in _OTHER_WORDS:
        text = re.sub(pattern, other, text)
    return Item(f"Please answer this. {text}", *_moved(item))


def _moved(item):
    moved = item.rotated(1)
    return moved.choices, moved.answer


def whole(item):
    """An item with its answer, as someone who trains on the test would have it."""
    return f"{item.listed()} {LETTERS[item.answer]}"


def token_scores(model, rows):
    """The log p of every token but the first of each text: a list of 1-D tensors, in nats.

    Args:
        model: a causal language model of transformers. rows: lists of at least two token ids, the same first one.
    """
    if not rows or {len(row) > 1 for row in rows} != {True} or len({row[0] for row in rows}) > 1:
        raise ValueError("Expected lists of at least two token ids that begin with the same one, as <bos>.")
    states = prefix.hidden_states(model, prefix.read_prefix(model, rows[0][:1]), [row[1:] for row in rows])
    head = model.get_output_embeddings().weight
    # the first of these tokens is predicted from <bos> alone, and left out
    predicting = torch.cat([hidden[:-1] for hidden in states])
    words = torch.tensor([token for row in rows for token in row[2:]], device=head.device)
    with torch.no_grad():
        logprobs = token_logprobs(predicting.to(head.device), head, words).cpu()
    return list(logprobs.split([len(row) - 2 for row in rows]))


def min_k(logprobs, share=0.2):
    """The mean of the least likely share of a text's tokens, in nats; at least one token.

    Raises:
        ValueError: no token, or a share outside of 0 to 1.
    """
    logprobs = torch.as_tensor(logprobs)
    if not len(logprobs) or not 0 < share <= 1:
        raise ValueError(f"Expected at least one token and a share above 0, up to 1; got {len(logprobs)}, {share}.")
    return logprobs.sort().values[: max(1, round(share * len(logprobs)))].mean().item()


def told_apart(seen, unseen):
    """How well a score tells seen from unseen items: the chance that a seen one scores higher (AUC), ½ for nothing."""
    labels = [1] * len(seen) + [0] * len(unseen)
    return classification.auc(torch.tensor([*seen, *unseen]), labels)


def own_order(own, others):
    """(N,) by how many nats the published order is likelier than others, in the mean; about 0 for an unseen test.

    Args:
        own: (N,) log p of each item in its own order. others: (N, K) in K other orders.
    """
    own, others = torch.as_tensor(own).double(), torch.as_tensor(others).double()
    return own - others.mean(1)
