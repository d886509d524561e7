import pytest
import torch

from course_utils.data import lexicon


@pytest.fixture(autouse=True)
def small_list(monkeypatch):
    monkeypatch.setattr(lexicon, "valences", lambda: {"good": 2.0, "bad": -2.5, "great": 3.0})


def test_words_add_up_and_negation_turns_them():
    assert lexicon.score("A GOOD film.") == pytest.approx(2 / (4 + 15) ** 0.5)
    assert lexicon.score("good and great") == pytest.approx(5 / (25 + 15) ** 0.5)
    assert lexicon.score("not at all good") == pytest.approx(-1.48 / (1.48**2 + 15) ** 0.5)
    assert lexicon.score("isn't bad") > 0 > lexicon.score("not one of the many good ones, bad")
    assert lexicon.score("") == lexicon.score("a film") == 0


def test_a_negation_reaches_three_words():
    assert lexicon.score("not x y good") < 0 < lexicon.score("not x y z good")


def test_as_a_reward_it_gives_one_number_a_text():
    scores = lexicon.reward(["p"] * 3, ["good", "bad", "film"])
    assert scores.shape == (3,) and scores.dtype == torch.float32 and scores[0] > scores[2] == 0 > scores[1]


def test_neutral_is_without_any_word_of_the_list():
    assert lexicon.is_neutral("the film is") and not lexicon.is_neutral("the GOOD film")
