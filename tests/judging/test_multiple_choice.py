"""log p of a choice equals the plain reading of the whole text; every rule and interval by hand."""

import pytest
import torch

from course_utils.data.exams import Item
from course_utils.evaluation.prompting import Asked
from course_utils.judging import multiple_choice

KNOWN = {
    "letter": [[-1.0, -2.0], [-1.0, -1.5]], "likelihood": [[-4.0, -6.0], [-3.0, -2.0]],
    "alone": [[-1.0, -5.0], [-2.0, -2.5]], "bytes": [[2, 6], [1, 4]], "answer": [0, 1],
}  # fmt: skip


def test_a_choice_is_scored_as_one_text_is_read(tiny_model, tiny_tokenizer):
    encode = lambda text: tiny_tokenizer(text, add_special_tokens=False).input_ids  # noqa: E731
    before = [[2, *encode("the film is")], [2, *encode("a movie")]]
    choices = [[encode(" good"), encode(" a bad film")], [encode(" is fine"), encode(" bad")]]
    found = multiple_choice.continuations(tiny_model, before, choices)
    for start, own, sums in zip(before, choices, found, strict=True):
        for tokens, came in zip(own, sums, strict=True):
            with torch.no_grad():
                logits = tiny_model(torch.tensor([[*start, *tokens]])).logits[0].log_softmax(-1)
            places = range(len(start) - 1, len(start) + len(tokens) - 1)
            assert came == pytest.approx(
                sum(logits[p, t].item() for p, t in zip(places, tokens, strict=True)), abs=1e-4
            )


def test_what_predicts_nothing_is_refused(tiny_model):
    with pytest.raises(ValueError, match="needs two tokens"):
        multiple_choice.continuations(tiny_model, [[2]], [[[5]]])
    with pytest.raises(ValueError, match="needs two tokens"):
        multiple_choice.continuations(tiny_model, [[2, 3]], [[[]]])


def test_an_exam_is_read_three_ways(tiny_model, tiny_tokenizer):
    items = [Item("the film is", ("good", "a bad film"), 0), Item("a movie is", ("fine", "bad", "good"), 2)]
    known = multiple_choice.read(Asked(tiny_model, tiny_tokenizer, turns=False), items)
    assert [len(row) for row in known["letter"]] == [2, 3] and known["answer"] == [0, 2]
    assert known["bytes"] == [[4, 10], [4, 3, 4]]
    assert known["alone"][0][0] == pytest.approx(known["alone"][1][2], abs=1e-3), "the question is not read"
    assert known["likelihood"][0][0] != known["likelihood"][1][2]
    assert known["letter"] == multiple_choice.letters(Asked(tiny_model, tiny_tokenizer, turns=False), items)


def test_rules_by_hand():
    assert multiple_choice.scores(KNOWN, "byte") == [[-2.0, -1.0], [-3.0, -0.5]]
    assert multiple_choice.scores(KNOWN, "surprise") == [[-3.0, -1.0], [-1.0, 0.5]]
    right = {rule: multiple_choice.right(KNOWN, rule).tolist() for rule in multiple_choice.RULES}
    assert right == {
        "letter": [1, 0], "likelihood": [1, 1], "byte": [0, 1], "surprise": [0, 1], "no question": [1, 0],
    }  # fmt: skip
    with pytest.raises(ValueError, match="There is no rule 'vote'"):
        multiple_choice.scores(KNOWN, "vote")


def test_confidence_and_its_error():
    sure = multiple_choice.confidence(KNOWN, "letter")
    assert sure.tolist() == pytest.approx([1 / (1 + 2.718281828**-1), 1 / (1 + 2.718281828**-0.5)])
    always = torch.tensor([0.9, 0.9, 0.6, 0.6])
    right = torch.tensor([1.0, 0.0, 1.0, 1.0])
    parts = multiple_choice.reliability(always, right, bins=2)
    assert [number for part in parts for number in part] == pytest.approx([0.6, 1.0, 2, 0.9, 0.5, 2])
    assert multiple_choice.calibration_error(always, right, bins=2) == pytest.approx(0.4)


def test_wilson_stays_inside_and_shrinks():
    low, high = multiple_choice.wilson(0, 10)
    assert low == pytest.approx(0) and high == pytest.approx(0.2775, abs=1e-3)
    assert multiple_choice.wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-3)
    with pytest.raises(ValueError, match="0 to 3 successes"):
        multiple_choice.wilson(4, 3)


def test_the_best_of_equals_looks_better():
    assert multiple_choice.best_of_equals(0.3, 50, 1) == pytest.approx(0.3)
    assert multiple_choice.best_of_equals(0.5, 1, 2) == pytest.approx(0.75)
    draws = torch.distributions.Binomial(40, torch.tensor(0.3)).sample((20000, 10)).max(1).values.mean() / 40
    assert multiple_choice.best_of_equals(0.3, 40, 10) == pytest.approx(draws.item(), abs=0.005)
