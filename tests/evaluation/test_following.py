"""The four numbers, on a tiny model: each says what it is said to say, and a model that always stops is found out."""

import pytest
import torch
from transformers import AutoTokenizer

from course_utils.data import dialogue
from course_utils.evaluation import following
from course_utils.models.sampling import Sample

ROWS = [
    {"prompt": "is the film good", "answer": "yes the film is good"},
    {"prompt": "hello", "answer": "hello world"},
    {"prompt": "a bad movie", "answer": "no"},
]


@pytest.fixture
def way(tiny_folder):
    return dialogue.chat(AutoTokenizer.from_pretrained(tiny_folder))


def by_hand(model, way, prompt, answer):
    """Mean log p of the answer's first three tokens, from full logits of the whole text."""
    before, reply = way.beginning + way.question(prompt), way.answer(answer)[:3]
    with torch.no_grad():
        logprobs = model(torch.tensor([before + reply])).logits[0].log_softmax(-1)
    predicted = [logprobs[len(before) - 1 + place, token].item() for place, token in enumerate(reply)]
    return sum(predicted) / len(predicted)


@pytest.mark.parametrize("shown", [0, 2])
def test_own_and_swapped_logprobs_equal_those_from_full_logits(tiny_model, way, shown):
    way = way.showing(ROWS[:shown])
    own, other = following.swapped_logprobs(tiny_model, way, ROWS, scored_tokens=3)
    following_rows = ROWS[1:] + ROWS[:1]
    for row, asked, came, swapped in zip(ROWS, following_rows, own, other, strict=True):
        assert came.item() == pytest.approx(by_hand(tiny_model, way, row["prompt"], row["answer"]), abs=1e-4)
        assert swapped.item() == pytest.approx(by_hand(tiny_model, way, asked["prompt"], row["answer"]), abs=1e-4)


def test_one_row_has_nothing_to_swap_with(tiny_model, way):
    with pytest.raises(ValueError, match="at least 2 rows, got 1"):
        following.swapped_logprobs(tiny_model, way, ROWS[:1], scored_tokens=3)


def test_written_answers_are_what_the_model_writes_behind_the_whole_prompt(tiny_model, way):
    """With examples shown and read once, greedy tokens are those of reading everything anew at every step."""
    way = way.showing(ROWS[:2])
    for row, sample in zip(
        ROWS, following.write(tiny_model, way, [r["prompt"] for r in ROWS], new_tokens=6), strict=True
    ):
        tokens = way.beginning + way.question(row["prompt"])
        for token in sample.tokens:
            with torch.no_grad():
                assert tiny_model(torch.tensor([tokens])).logits[0, -1].argmax().item() == token
            tokens.append(token)


def test_ended_and_length_count_what_was_written(tiny_model, way, monkeypatch):
    tokens = way.answer("yes the")
    written = [Sample((*tokens, way.ends[0]), True), Sample((way.ends[0],), True), Sample(tuple(tokens), False)]
    monkeypatch.setattr(following.sampling, "sample", lambda *_, **__: written)
    answers = following.answer_all(tiny_model, way, ROWS, new_tokens=2, scored_tokens=9)
    assert answers.written == ("yes the", "", "yes the")
    assert answers.ended.tolist() == [1.0, 1.0, 0.0]
    lengths = [len(tokens) / len(way.answer(ROWS[0]["answer"])), 0.0, len(tokens) / len(way.answer("no"))]
    assert answers.length.tolist() == pytest.approx(lengths)
    assert torch.equal(answers.swap, answers.own - answers.other)


def answers(swap, ended, cost=4.0):
    """Answers with this gap between own and other instruction, of this cost behind the other, and share that ended."""
    noise = torch.linspace(-0.1, 0.1, 100)
    stopped = (torch.arange(100) < 100 * ended).float()
    return following.Answers(("",) * 100, stopped, stopped, noise + swap - cost, noise * 0 - cost)


def test_following_takes_both_a_better_fit_and_an_end():
    prompted = answers(1.0, 0.8)
    assert following.follows(answers(1.3, 0.95), prompted)
    assert not following.follows(answers(1.0, 1.0), prompted)  # it always stops and listens no better
    assert not following.follows(answers(0.0, 1.0), prompted)
    assert not following.follows(answers(2.0, 0.8), prompted)
    assert not following.follows(answers(2.0, 0.95, cost=8.0), prompted)  # surer of everything, and that is all
    gain = following.gains(answers(1.3, 0.95), prompted)
    assert gain["removed"].mean == pytest.approx(0.3 / 4, abs=1e-6) and gain["ended"].mean == pytest.approx(0.15)


def test_the_share_removed_has_the_ratio_as_mean_and_does_not_see_the_scale():
    own, other = torch.tensor([-1.0, -2.0, -4.5]), torch.tensor([-3.0, -2.5, -5.0])
    one = following.Answers((), torch.ones(3), torch.ones(3), own, other)
    surer = following.Answers((), torch.ones(3), torch.ones(3), 2 * own, 2 * other)
    assert one.removed.mean().item() == pytest.approx(3.0 / 10.5)
    torch.testing.assert_close(surer.removed, one.removed)
    assert surer.swap.mean() == 2 * one.swap.mean()


def test_the_linearised_share_spreads_as_the_ratio_does():
    generator = torch.Generator().manual_seed(0)
    other = -1 - torch.rand(200, generator=generator)
    own = other * (0.3 + 0.4 * torch.rand(200, generator=generator))
    whole = following.Answers((), other, other, own, other)
    picked = torch.randint(200, (2000, 200), generator=generator)
    ratios = (own - other)[picked].mean(1) / -other[picked].mean(1)
    assert whole.removed[picked].mean(1).std().item() == pytest.approx(ratios.std().item(), rel=0.03)


def test_answers_come_back_from_the_numbers_that_were_kept():
    kept = {"own": [-1.0, -2.0], "swap": [2.0, 0.5], "ended": [1.0, 0.0], "length": [0.5, 1.5]}
    found = following.Answers.of(kept)
    assert {name: getattr(found, name).tolist() for name in kept} == kept and found.other.tolist() == [-3.0, -2.5]
