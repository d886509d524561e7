import datasets
import pytest
import torch

from course_utils.data import graded as data
from course_utils.evaluation import graded
from course_utils.reporting import reference
from course_utils.training.graded import GradedLoss

TEXTS = ["the film is good", "bad", "a great movie is great", "the movie"]


def test_expected_rating_by_hand():
    one_hot = torch.eye(9)
    assert graded.expected_rating(one_hot).tolist() == [-4, -3, -2, -1, 0, 1, 2, 3, 4]
    half = torch.tensor([[0.0] * 7 + [0.1, 0.3]])  # the rest of the vocabulary has 0.6
    assert graded.expected_rating(half).item() == pytest.approx(3.75)


def test_predictions_come_in_the_order_of_the_rows(tiny_model, tiny_tokenizer):
    rows = data.encode([{"text": text, "ratings": [1]} for text in TEXTS], tiny_tokenizer)
    module, collate = GradedLoss(tiny_model, data.digit_tokens(tiny_tokenizer)), data.GradedCollator(0)
    expected = torch.cat([module.logprobs(collate([row])).softmax(-1).detach() for row in rows])
    for at_once in (1, 3, 100):
        found = graded.predict(module, rows, collate, at_once=at_once)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert module.training


def test_few_shot_without_examples_is_zero_shot(tiny_model, tiny_tokenizer):
    found = graded.few_shot(tiny_model, tiny_tokenizer, [], TEXTS)
    rows = data.encode([{"text": text, "ratings": [1]} for text in TEXTS], tiny_tokenizer)
    said = graded.predict(GradedLoss(tiny_model, data.digit_tokens(tiny_tokenizer)), rows, data.GradedCollator(0))
    torch.testing.assert_close(found, said, rtol=1e-3, atol=1e-5)
    shown = graded.few_shot(tiny_model, tiny_tokenizer, [{"text": "fine", "mean": 2.2}], TEXTS)
    assert shown.shape == found.shape and not torch.allclose(shown, found, atol=1e-3)


def test_an_exam_calibrates_on_other_reviews(tiny_model, tiny_tokenizer):
    exam = graded.Exam([{"text": text, "ratings": [1], "mean": 1.0} for text in TEXTS], tiny_tokenizer)
    others = graded.Exam([{"text": f"{text} {text}", "ratings": [0]} for text in TEXTS * 3], tiny_tokenizer)
    module = GradedLoss(tiny_model, data.digit_tokens(tiny_tokenizer))
    raw, fair = exam.zero_shot(tiny_model, others)
    torch.testing.assert_close(raw, exam.ratings(module))
    usual = others.probabilities(module).mean(0)
    torch.testing.assert_close(fair, graded.expected_rating(exam.probabilities(module) / usual))
    assert exam.truth.tolist() == [1.0] * 4


def test_an_exam_is_the_head_of_a_split_or_spread_over_it(monkeypatch):
    rows = datasets.Dataset.from_list([{"id": number} for number in range(11)])
    monkeypatch.setattr(graded.reviews, "load", lambda domain, split: rows)

    def drawn(count, **how):
        return [row["id"] for row in graded.Exam.of(count, None, **how).rows]

    assert drawn(3) == [0, 1, 2]
    assert drawn(3, spread=True) == [1, 4, 7], "the middle of 0 1 2, of 3 4 5, of 6 7 8"
    assert drawn(5, spread=True) == [1, 3, 5, 7, 9] and drawn(1, spread=True) == [5]
    assert drawn(99) == drawn(99, spread=True) == list(range(11))


def test_the_middle_of_each_tenth_is_less_often_the_hardest_sample_than_its_first():
    points = reference.load("comparison")["points"]
    truth = graded.from_line(points["baselines"]["truth"])
    hardest = {0: 0, 5: 0}
    for arm in ("full", "ia3", "lora", "lora-r1", "p-tuning", "prefix", "prompt"):
        runs = [graded.from_line(points[f"test-{arm}-{seed}"]["predicted"]) for seed in range(3)]
        means = [sum(graded.correlation(run[first::10], truth[first::10]) for run in runs) for first in range(10)]
        for first in hardest:
            hardest[first] += means[first] <= sorted(means)[1]
    assert hardest == {0: 7, 5: 3}, "what the docstring of Exam.of says of the record"


def test_the_strongest_is_what_correlates_best():
    truth = torch.tensor([0.0, 1.0, 2.0])
    said = {"turned": -truth, "near": torch.tensor([0.0, 1.0, 1.5]), "far": torch.tensor([0.0, 1.0, 0.2])}
    assert graded.strongest(said, truth) == "near"


def test_calibration_takes_away_what_is_always_said():
    generator = torch.Generator().manual_seed(0)
    fair = torch.rand(50, 9, generator=generator)
    leaning = fair * torch.tensor([1.0] * 8 + [50.0])
    graded_fair, graded_leaning = (graded.calibrated(p, p) for p in (fair, leaning))
    torch.testing.assert_close(graded_fair, graded_leaning)
    torch.testing.assert_close(graded_fair.sum(-1), torch.ones(50))
    with pytest.raises(ValueError, match="at least 10 unlabelled"):
        graded.calibrated(fair, fair[:9])


def test_scores_by_hand():
    truth = torch.tensor([-1.0, 0.0, 1.0])
    assert graded.correlation(torch.tensor([-4.0, 0.0, 4.0]), truth) == pytest.approx(1)
    assert graded.correlation(torch.tensor([1.0, 0.0, 1.0]), truth) == pytest.approx(0)
    assert graded.mean_absolute_error(torch.tensor([-4.0, 0.0, 4.0]), truth) == 2
    with pytest.raises(ValueError, match="two vectors that vary"):
        graded.correlation(torch.ones(3), truth)


def test_one_person_is_not_in_the_mean_that_is_predicted():
    rows = [{"id": str(number), "ratings": [4, -2, -2]} for number in range(20)]
    one, rest = graded.one_person(rows)
    assert {(a, b) for a, b in zip(one.tolist(), rest.tolist(), strict=True)} == {(4.0, -2.0), (-2.0, 1.0)}


def test_ridge_learns_words_and_knows_nothing_of_unseen_ones():
    draw = torch.Generator().manual_seed(0)
    values = {"good": 2.0, "bad": -2.0, "film": 0.0, "plot": 0.5}
    names = list(values)
    rows = []
    for _ in range(60):
        words = [names[place] for place in torch.randint(4, (3,), generator=draw).tolist()]
        rows.append({"text": " ".join(words), "mean": sum(values[word] for word in set(words))})
    found = graded.ridge(rows[:50], rows[50:], ["good film", "bad film", "unknown words", ""])
    assert found[0] > 1 and found[1] < -1
    assert found[2] == found[3] == pytest.approx(sum(row["mean"] for row in rows[:50]) / 50, abs=1e-5)


def test_ratings_are_kept_to_a_hundredth():
    assert graded.to_line(torch.tensor([1.234, -0.5])) == "123 -50"
    assert graded.from_line("123 -50").tolist() == pytest.approx([1.23, -0.5])
