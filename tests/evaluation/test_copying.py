"""Copies of a model that knows what it will write: right or wrong by construction, spans counted by hand."""

import math

import pytest
import torch

from course_utils.evaluation import copying


class Follows(torch.nn.Module):
    """Says with certainty that token t + 1 follows token t, of eight."""

    def __init__(self):
        super().__init__()
        self.embed_tokens = torch.nn.Embedding.from_pretrained(torch.eye(8) * 10)

    def hidden(self, tokens, documents=None):
        return torch.nn.functional.one_hot((tokens + 1) % 8, 8).float() * 3


def test_spans_are_right_only_together():
    rows = torch.tensor(
        [[0, 2, 3, 4, 6, 7, 2, 3, 4, 6, 7]]
    )  # inside the copy 2 → 3 → 4 and 6 → 7 follow, 4 → 6 does not
    found = copying.copied(Follows(), rows, (1, 2, 3))
    assert found["exact"] == {"1": 3 / 4, "2": 1 / 3, "3": 0}
    sure, wrong = -math.log(math.e**30 / (math.e**30 + 7)), 30
    assert found["nats"] == pytest.approx((3 * sure + wrong) / 4, rel=1e-3) and found["first"] == found["nats"]


def test_rows_are_known_from_the_column_that_is_asked_for_on():
    rows = torch.tensor([[0, 1, 2, 5], [3, 4, 5, 6]])
    assert copying.known(Follows(), rows, (1, 3))["exact"] == {"1": 5 / 6, "3": 1 / 2}
    assert copying.known(Follows(), rows, (1,), after=3)["exact"] == {"1": 1 / 2}


class Seen(Follows):
    def hidden(self, tokens, documents=None):
        self.documents = documents
        return super().hidden(tokens)


def test_documents_of_a_row_do_not_see_each_other():
    model, rows = Seen(), torch.tensor([[7, 1, 7, 3]])
    copying.known(model, rows, (1,), boundary=7)
    assert model.documents.tolist() == [[1, 1, 2, 2]]
    copying.known(model, rows, (1,))
    assert model.documents is None


def test_texts_are_said_twice_behind_their_boundary():
    rows = copying.said_twice([[9, 1, 2, 3], [9, 4], [9, 5, 6]], 2)
    assert rows.tolist() == [[9, 1, 2, 1, 2], [9, 5, 6, 5, 6]]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="None of 1 texts has 5 tokens"):
        copying.said_twice([[9, 1]], 5)
    with pytest.raises(ValueError, match="from 1 to the 1 tokens asked for"):
        copying.copied(Follows(), torch.tensor([[0, 1, 2, 1, 2]]), (2,))
