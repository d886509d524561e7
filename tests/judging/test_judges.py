"""A judge that sees only the place, or only the length, is found out, and what is taken out is taken out."""

import pytest
import torch

from course_utils.evaluation.prompting import Asked
from course_utils.judging import judges

GAP = torch.tensor([3.0, -2.0, 1.0, 0.0])


def test_a_model_is_asked_in_both_orders(monkeypatch):
    read = []

    def scores(self, prompt, words, texts):
        read.append((prompt, words, texts))
        return torch.tensor([[0.7, 0.3]]).log()

    monkeypatch.setattr(Asked, "scores", scores)
    found = judges.pair_odds(Asked(None, None, turns=False), ["one"], ["two"])
    assert found.item() == pytest.approx(torch.tensor(0.7 / 0.3).log().item())
    assert read == [(judges.PAIR, (" A", " B"), ["A: one\nB: two"])]


def test_a_grade_is_the_mean_digit(monkeypatch):
    shares = torch.tensor([[0, 0, 0.5, 0, 0, 0, 0, 0, 0.5]])
    monkeypatch.setattr(Asked, "scores", lambda self, prompt, words, texts: (shares + 1e-12).log())
    assert judges.grades(Asked(None, None, turns=False), ["x"]).item() == pytest.approx(6.0)


def test_a_judge_of_places_says_nothing_over_both_orders():
    always = torch.ones(4)
    assert judges.first_place(always, always) == 1.0
    assert judges.both_orders(always, always).tolist() == [0.5] * 4
    assert judges.averaged(always, always).tolist() == [0.0] * 4
    assert judges.first_place(always, -always) == 0.5
    assert judges.both_orders(always, -always).tolist() == [1.0] * 4 and judges.averaged(always, -always)[0] == 1


def test_a_judge_of_length_has_nothing_left_without_it():
    assert judges.without_length(2 * GAP.double(), GAP).tolist() == pytest.approx([0, 0, 0, 0])
    assert judges.without_length(torch.ones(2).double(), torch.zeros(2)).tolist() == [1, 1]


def test_liking_for_length_is_held_against_people():
    longer = torch.tensor([1.0, 0.0, 1.0, 0.5])
    people = torch.tensor([1.0, 1.0, 0.0, 1.0])
    assert judges.longer_taken(longer, GAP).tolist() == [1, 1, 1]
    assert judges.liking_for_length(longer, people, GAP).mean == pytest.approx(1 - 1 / 3)
    assert judges.liking_for_length(people, people, GAP).interval == (0, 0)
