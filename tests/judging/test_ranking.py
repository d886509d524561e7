"""Strengths are those that made the votes; intervals shrink with items; Elo depends on the order of the games."""

import pytest
import torch

from course_utils.judging import ranking


def test_two_contestants_by_hand():
    strengths = ranking.bradley_terry([[0, 30], [10, 0]])
    assert (strengths[0] - strengths[1]).item() == pytest.approx(torch.tensor(30.5 / 10.5).log().item(), abs=1e-4)
    assert strengths.sum().item() == pytest.approx(0, abs=1e-9)


def test_who_never_lost_stays_finite_and_first():
    strengths = ranking.bradley_terry([[0, 5, 5], [0, 0, 5], [0, 0, 0]])
    assert strengths.isfinite().all() and strengths.argsort(descending=True).tolist() == [0, 1, 2]


def test_true_strengths_come_back_with_their_intervals():
    truth = torch.tensor([1.0, 0.2, -0.2, -1.0])
    votes = ranking.one_person(truth.expand(600, 4), seed=1)
    found = ranking.rank("abcd", votes)
    assert found.strengths.tolist() == pytest.approx(truth.tolist(), abs=0.25)
    for (strength, low, high), name in zip(found.table().values(), found.table(), strict=True):
        assert low < strength < high and low - 0.1 < truth["abcd".index(name)] < high + 0.1
    assert ("a", "d") in found.apart() and next(iter(found.table())) == "a"
    few = ranking.rank("abcd", votes[:8])
    assert few.resampled.std(0).mean() > 3 * found.resampled.std(0).mean() and len(few.apart()) < len(found.apart())


def test_outcomes_and_ties():
    votes = ranking.outcomes([[2.0, 1.0, 1.0]])
    assert votes[0].tolist() == [[0, 1, 1], [0, 0, 0.5], [0, 0.5, 0]]
    coins = ranking.one_person(torch.zeros(50, 3), seed=0)
    assert torch.equal(coins + coins.transpose(1, 2), (1 - torch.eye(3, dtype=torch.float64)).expand(50, 3, 3))


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"Expected votes \(items, 2, 2\)"):
        ranking.rank("ab", torch.zeros(5, 3, 3))


def test_elo_forgets_in_the_order_of_the_games():
    games = [(0, 1)] * 10 + [(1, 0)] * 10
    late, early = ranking.elo(games, 2), ranking.elo(games[::-1], 2)
    assert late[1] > late[0] and early[0] > early[1]
    assert ranking.elo([(0, 1)], 2) == [1016.0, 984.0]


@pytest.mark.parametrize(("one", "two", "tau"), [
    ([1, 2, 3], [10, 20, 30], 1), ([1, 2, 3], [3, 2, 1], -1), ([1, 1, 1], [1, 2, 3], 0), ([1, 2, 3], [1, 3, 2], 1 / 3),
])  # fmt: skip
def test_kendall(one, two, tau):
    assert ranking.kendall(one, two) == pytest.approx(tau)
