import itertools
import math

import pytest
import torch
from datasets import Dataset

from course_utils.data import lexicon
from course_utils.evaluation import comparison, preference


def test_ties_count_half_for_everybody():
    right = preference.ordered_right([2.0, 1.0, 0.0, -1.0], [1.0, 1.0, 3.0, -1.0])
    assert right.tolist() == [1.0, 0.5, 0.0, 0.5]


def test_scores_that_are_broken_are_refused():
    with pytest.raises(ValueError, match="NaN or infinite"):
        preference.ordered_right([float("nan")], [0.0])
    with pytest.raises(ValueError, match=r"chosen \(2,\), rejected \(1,\)"):
        preference.ordered_right([1.0, 2.0], [0.0])


def test_accuracy_by_gap_puts_each_pair_into_one_range():
    gaps, right = [0.2, 0.5, 0.6, 1.0] * 30 + [3.0, 9.0], torch.tensor([1.0, 0.0, 1.0, 1.0] * 30 + [0.5, 1.0])
    pairs = {"gap": gaps, "chosen_id": [f"c{n}" for n in range(122)], "rejected_id": [f"r{n}" for n in range(122)]}
    found = preference.by_gap(right, pairs)
    assert [(low, high, estimate.mean, estimate.items) for low, high, estimate in found] == [
        (0.0, 0.5, 0.5, 60),
        (0.5, 1.0, 1.0, 60),
    ]  # one pair is too few for an interval, and a gap of 9 is in no range


def crossed_pairs(texts, each, generator):
    """Every text beside so many others, and a judge whose mistakes belong to the texts."""
    skill = torch.rand(texts, generator=generator)
    first = torch.arange(texts).repeat_interleave(each)
    second = (first + torch.randint(1, texts, first.shape, generator=generator)) % texts
    right = (skill[first] + skill[second] > 1).double()
    return right, {"chosen_id": first.tolist(), "rejected_id": second.tolist()}


def test_an_interval_over_texts_is_wider_where_texts_come_again_and_alike_where_they_do_not():
    generator = torch.Generator().manual_seed(0)
    right, pairs = crossed_pairs(100, 10, generator)
    wide, narrow = preference.over_texts(right, pairs), comparison.mean_interval(right)
    assert wide.mean == narrow.mean and wide.items == narrow.items == 1000
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    once = {"chosen_id": [f"c{n}" for n in range(400)], "rejected_id": [f"r{n}" for n in range(400)]}
    wide, narrow = preference.over_texts(right[:400], once), comparison.mean_interval(right[:400])
    assert wide.high - wide.low < 2 * (narrow.high - narrow.low)


def test_an_interval_over_texts_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(60):
        right, pairs = crossed_pairs(80, 8, torch.Generator().manual_seed(seed))
        estimate = preference.over_texts(right, pairs)
        held += estimate.low <= 0.5 <= estimate.high
    assert held >= 54


def test_pairs_too_few_for_an_interval_over_texts_are_refused():
    pairs = {"chosen_id": ["a", "b", "c"], "rejected_id": ["d", "e", "f"]}
    with pytest.raises(ValueError, match=r"3 pairs of 6 texts are too few .* some resamples hold no pair"):
        preference.over_texts([1, 0, 1], pairs)


def test_a_number_for_each_pair_is_needed():
    with pytest.raises(ValueError, match="got 3 for 2"):
        preference.over_texts([1, 0, 1], {"chosen_id": ["a", "b"], "rejected_id": ["c", "d"]})


def test_a_calibrated_model_is_right_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    difference = torch.randn(20_000, generator=generator) * 2
    agrees = torch.rand(20_000, generator=generator) < torch.sigmoid(difference)
    chosen = torch.where(agrees, difference, -difference)
    found = preference.calibration(chosen, torch.zeros_like(chosen))
    assert [said for said, _, _ in found] == sorted(said for said, _, _ in found) and len(found) == 5
    assert all(abs(said - right) < 0.03 for said, right, _ in found)
    boastful = preference.calibration(10 * chosen, torch.zeros_like(chosen))
    assert boastful[0][0] - boastful[0][1] > 0.1


def test_naive_bayes_by_hand():
    fitted = preference.NaiveBayes.fit(["good good film", "good"], ["bad film"])
    # counted once a text: good 2, film 1 against bad 1, film 1; three known words, one added to each
    assert fitted.weights["good"] == pytest.approx(math.log(3 / 6) - math.log(1 / 5))
    assert fitted.weights["film"] == pytest.approx(math.log(2 / 6) - math.log(2 / 5))
    scores = fitted.scores(["good unknown", "bad", ""])
    assert scores[0] == pytest.approx(fitted.weights["good"]) and scores[1] < 0 == scores[2]


def test_baselines_order_pairs(monkeypatch):
    monkeypatch.setattr(lexicon, "valences", lambda: {"good": 2.0, "bad": -2.0})
    pairs = Dataset.from_list([{"chosen": "good", "rejected": "so bad"}, {"chosen": "a film", "rejected": "the film"}])
    assert preference.baseline(preference.lexicon_scores, pairs).tolist() == [1.0, 0.5]
    assert preference.baseline(preference.length_scores, pairs).tolist() == [0.0, 0.5]


def test_a_panel_orders_by_its_mean():
    rows = [
        {"chosen_others": [1, 3, -1], "rejected_others": [1, 0, 4]},
        {"chosen_others": [2, 2, 2], "rejected_others": [0, 0, 9]},
    ]
    pairs = Dataset.from_list(rows)
    assert preference.panel_right(pairs, 1).tolist() == [0.5, 1.0]
    assert preference.panel_right(pairs, 2).tolist() == [1.0, 1.0]
    assert preference.panel_right(pairs, 3).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match=r"panel of 1 to 3 people.*got 4"):
        preference.panel_right(pairs, 4)
    assert preference.panel_right(pairs, 1, skip=2).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="panel of 1 to 1 people"):
        preference.panel_right(pairs, 2, skip=2)


def test_judges_agree_where_they_choose_the_same_and_by_half_where_one_is_undecided():
    one, two = torch.tensor([1.0, 1.0, 0.0, 0.5, 0.5]), torch.tensor([1.0, 0.0, 0.0, 1.0, 0.5])
    assert preference.agreement(one, two).tolist() == [1.0, 0.0, 1.0, 0.5, 0.5]


def test_the_kl_of_the_best_of_n():
    assert preference.best_of_kl(1) == 0 and preference.best_of_kl(4) == pytest.approx(math.log(4) - 0.75)
    with pytest.raises(ValueError, match="at least 1"):
        preference.best_of_kl(0)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_best_of_n_is_the_mean_over_every_choice_of_n(n):
    generator = torch.Generator().manual_seed(0)
    proxy, gold = torch.randn(2, 3, 5, generator=generator)
    found = preference.best_of(proxy, gold, n)
    for row in range(3):
        picked = [max(some, key=lambda k: proxy[row, k].item()) for some in itertools.combinations(range(5), n)]
        assert found[row].item() == pytest.approx(sum(gold[row, k].item() for k in picked) / len(picked), abs=1e-6)


def test_more_samples_are_needed_for_a_larger_n():
    with pytest.raises(ValueError, match="n from 1 to the 2 samples"):
        preference.best_of(torch.zeros(1, 2), torch.zeros(1, 2), 3)
