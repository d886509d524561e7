"""Answers are paired, judged by three judges, and as far from the reference as their own tokens say."""

import pytest
import torch
from helpers import toy_rlhf

from course_utils import runtime
from course_utils.evaluation import policies, preference
from course_utils.training import rlhf

SIZE = {"samples_each": 4, "answer_tokens": 5}


@pytest.fixture
def pieces(monkeypatch, tiny_folder, one_thread):
    toy_rlhf.arrange(monkeypatch, tiny_folder)
    return rlhf.pieces(runtime.start(quiet=True), progress=False, say=lambda line: None)


@pytest.fixture
def judged(pieces):
    prompts = rlhf.prompts_of(pieces.tokenizer, "test")
    return lambda adapter, **how: policies.judge_policy(pieces, adapter, prompts, **SIZE | how)


def test_the_untrained_policy_writes_what_its_reference_writes(judged):
    policy, reference = judged("policy"), judged("sft")
    assert policy.texts == reference.texts and not policy.kl.any()
    assert policy.gain(reference).interval == (0, 0) and policy.wins(reference).mean == 0.5
    assert judged("sft", seed=1).texts != reference.texts


def test_each_group_of_answers_draws_anew(pieces, monkeypatch):
    monkeypatch.setattr(policies, "GROUP", 4)
    same = 2 * rlhf.prompts_of(pieces.tokenizer, "test")[:1]
    first, second = policies.judge_policy(pieces, "sft", same, **SIZE).texts
    assert first != second


def test_numbers_belong_to_their_answers(pieces, judged):
    found = judged("sft")
    assert all(getattr(found, name).shape == (4, 4) for name in vars(found) if name != "texts")
    assert len(found.texts) == 4
    assert all(len(row) == 4 for row in found.texts)
    assert all(text.startswith(words["opening"]) for row, words in zip(found.texts, toy_rlhf.OPENINGS, strict=True)
               for text in row)  # fmt: skip
    again = pieces.gold(["a film"], [found.texts[2][3]])
    assert found.gold[2, 3].item() == pytest.approx(again.item(), abs=0.05)
    assert ((found.length >= 1) & (found.length <= SIZE["answer_tokens"])).all()


def test_another_policy_has_strayed(pieces, judged):
    for name, weight in pieces.actor.model.named_parameters():
        if ".policy." in name and "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(0))
    assert judged("policy").kl.mean() > 0.1 and not judged("sft").kl.any()


def matrices(**found):
    blank = torch.zeros(2, 4)
    return policies.Written(**{name: found.get(name, blank) for name in policies.Written.__annotations__})


def test_gain_and_wins_are_paired_by_hand():
    ours, theirs = matrices(gold=torch.full((2, 4), 1.5)), matrices(gold=torch.ones(2, 4))
    assert ours.gain(theirs).mean == 0.5 and ours.gain(theirs).interval == (0.5, 0.5)
    assert ours.wins(theirs).mean == 1 and ours.wins(ours).mean == 0.5
    assert ours.gain(theirs, "lexicon").mean == 0


def test_best_of_n_starts_at_nothing_and_stops_at_the_samples():
    scores = torch.arange(8.0).view(2, 4)
    lines = policies.best_of_curve(matrices(proxy=scores, gold=-scores))
    assert [n for n, *_ in lines] == [1, 2, 4]
    assert lines[0] == (1, 0, 0, 0) and lines[-1][1] == preference.best_of_kl(4)
    assert lines[-1][2] == pytest.approx(1.5) and lines[-1][3] == pytest.approx(-1.5)


def test_the_kl_is_read_of_some_answers_only(judged, pieces):
    for name, weight in pieces.actor.model.named_parameters():
        if ".policy." in name and "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(0))
    some, every = judged("policy", kl_samples=1), judged("policy")
    assert some.kl.shape == (4, 1) and some.gold.shape == (4, 4) and some.texts == every.texts
    assert torch.allclose(some.kl[:, 0], every.kl[:, 0], atol=0.1)


def test_a_look_on_the_way_has_one_answer_to_each_opening(pieces, judged):
    prompts = rlhf.prompts_of(pieces.tokenizer, "test")
    seen = policies.watch(pieces, prompts, answer_tokens=5)(None)
    assert sorted(seen) == ["gold", "kl", "proxy"] and seen["kl"] == 0
    assert seen["gold"].item() == pytest.approx(judged("policy", samples_each=1).gold.mean().item())


def test_a_blind_pair_calls_the_policys_answer_chosen():
    ours, theirs = matrices(texts=(("a", "b"), ("c", "d"))), matrices(texts=(("x", "b"), ("c", "y")))
    assert policies.blind_pairs(ours, theirs, count=12) == [
        {"chosen": "a", "rejected": "x", "chosen_id": "policy: a", "rejected_id": "reference: x"}
    ]  # the second opening's first answers are equal
