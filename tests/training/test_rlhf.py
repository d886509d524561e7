"""All parts stand on one backbone, each is what its stage trained, and a policy begins as its reference."""

from dataclasses import replace

import pytest
import torch
from helpers import toy_rlhf

from course_utils import runtime
from course_utils.adapters import switching
from course_utils.data import lexicon
from course_utils.engine import stages
from course_utils.training import ppo, reward, rlhf, sft


@pytest.fixture
def size(monkeypatch, tiny_folder, one_thread):
    return toy_rlhf.arrange(monkeypatch, tiny_folder)


@pytest.fixture
def pieces(size):
    return rlhf.pieces(runtime.start(quiet=True), progress=False, say=lambda line: None)


def weights(pieces, name):
    return switching.weights_of(pieces.actor.model, name)


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in two)


def test_one_backbone_carries_four_adapters_of_which_one_learns(pieces):
    model = pieces.actor.model
    assert pieces.gold.reward_model.model is pieces.proxy.reward_model.model is model
    assert set(model.peft_config) == {"sft", "policy", "gold", "proxy"}
    learned = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert learned and all(".policy." in name for name in learned)
    assert not same(weights(pieces, "gold"), weights(pieces, "proxy"))


def test_the_parts_are_those_of_their_stages(pieces):
    """Read back under the same names and recipes as notebooks 07 and 08 use."""
    run, texts = runtime.current(), ["good", "a bad film"]
    job = sft.job("cpu", recipe=sft.recipe_of("cpu"))
    policy = stages.run_stage("sft", job.build, job.rows, job.collate, job.recipe, run=run)
    assert policy.cached and same(weights(pieces, "sft"), switching.weights_of(policy.module.model))
    job = reward.job("cpu", recipe=reward.recipe_of("cpu"))
    gold = stages.run_stage("reward", job.build, job.rows, job.collate, job.recipe, run=run)
    alone = reward.Scorer(gold.module.reward_model, job.tokenizer)(["a film"] * 2, texts)
    moved = pieces.gold(["a film"] * 2, texts)
    assert gold.cached
    torch.testing.assert_close(moved[0] - moved[1], alone[0] - alone[1], rtol=0.05, atol=0.05)


def test_known_reviews_score_zero_on_average(pieces):
    known = toy_rlhf.PAIRS[: rlhf.CENTRE]
    for scorer in (pieces.proxy, pieces.gold):
        scores = scorer(2 * known["prompt"], known["chosen"] + known["rejected"])
        assert scores.mean().item() == pytest.approx(0, abs=0.02)


def test_a_policy_learns_and_begins_again_as_its_reference(pieces):
    recipe, prompts = rlhf.recipe_of("cpu"), rlhf.prompts_of(pieces.tokenizer)
    frozen = {name: weights(pieces, name) for name in ("sft", "gold", "proxy")}
    first = pieces.train("ppo", prompts, recipe, progress=False)
    assert not first.cached and len(first.result.metrics) == recipe.steps and first.result.metrics[0]["kl"] == 0
    learned = weights(pieces, "policy")
    module = pieces.begin(recipe)
    assert same(weights(pieces, "policy"), frozen["sft"]) and not module.actor.value.weight.any()
    assert not same(learned, frozen["sft"]) and all(same(weights(pieces, name), frozen[name]) for name in frozen)


def test_a_rollout_shows_the_first_step_and_learns_nothing(pieces):
    recipe, prompts = rlhf.recipe_of("cpu"), rlhf.prompts_of(pieces.tokenizer)
    module = pieces.begin(recipe)
    before = weights(pieces, "policy")
    seen = pieces.roll_out(module, prompts, recipe)
    assert len(seen) == recipe.batch_size and same(weights(pieces, "policy"), before)
    assert torch.equal(seen.logprobs, seen.reference_logprobs)
    tokens = rlhf.tokens_of(seen, 0)
    assert len(tokens) == int(seen.answers.answer_mask[0].sum()) and pieces.turns.text(tokens) in seen.answers.texts[0]
    with module.while_training():
        module(seen.batch())
    assert module.noted[-1][1]["ratio"] == 1 and module.noted[-1][0] == int(seen.answers.answer_mask.sum())
    trained = pieces.train("ppo", prompts, recipe, progress=False)
    assert trained.result.metrics[0]["reward"] == pytest.approx(seen.answers.scores.mean().item(), abs=1e-4)


def test_a_run_is_watched_on_the_way(pieces):
    recipe, calls = replace(rlhf.recipe_of("cpu"), evaluate_every=1), []
    prompts = rlhf.prompts_of(pieces.tokenizer)
    stage = pieces.train(
        "ppo", prompts, recipe, watch=lambda module: calls.append(1) or {"gold": len(calls)}, progress=False
    )
    assert [line["evaluate"]["gold"] for line in stage.result.metrics] == [1, 2]


def test_a_policy_is_read_back_and_another_reward_is_another_stage(pieces):
    recipe, prompts = rlhf.recipe_of("cpu"), rlhf.prompts_of(pieces.tokenizer)
    first = pieces.train("ppo", prompts, recipe, progress=False)
    learned = weights(pieces, "policy")
    again = pieces.train("ppo", prompts, recipe, progress=False)
    assert again.cached and again.folder == first.folder and same(weights(pieces, "policy"), learned)
    other = pieces.train("ppo", prompts, recipe, paid_by=lexicon.reward, progress=False)
    assert not other.cached and other.folder != first.folder


def test_the_command_trains_the_stage_of_the_notebook(size):
    runtime.start(quiet=True)
    job = rlhf.job("cpu")
    result = job.trainer(job.build(), job.rows, job.collate, job.recipe, runtime.runs() / "x", progress=False)
    assert len(result.metrics) == size.steps and isinstance(job.recipe, ppo.PPORecipe)


def test_a_writer_is_asked_something_else_than_the_judges_read(pieces):
    usual, praising = (rlhf.prompts_of(pieces.tokenizer, count=2, asks=asks) for asks in (None, "the film is great"))
    assert [row["prompt"] for row in praising] == [row["prompt"] for row in usual]
    assert [row["opening_length"] for row in praising] == [row["opening_length"] for row in usual]
    for ours, theirs in zip(praising, usual, strict=True):
        assert ours["prompt_ids"] != theirs["prompt_ids"]
        assert ours["prompt_ids"][-ours["opening_length"] :] == theirs["prompt_ids"][-ours["opening_length"] :]


def test_full_tuning_is_refused():
    recipe = rlhf.recipe_of("cpu")
    assert rlhf.for_method(recipe, "lora") is recipe
    with pytest.raises(ValueError, match="share one backbone"):
        rlhf.for_method(recipe, "full")


def test_the_proxy_learns_from_its_own_part(monkeypatch):
    asked = {}
    monkeypatch.setattr(rlhf.preference, "rated_rows", lambda role: role)
    monkeypatch.setattr(
        rlhf.preference, "human_pairs", lambda rows, count, **how: asked.update(how, rows=rows, n=count)
    )
    rlhf.proxy_pairs(rlhf.recipes.of("09", "cpu"), seed=3)
    assert asked == {"rows": "proxy", "n": 256, "part": 1, "seed": 3}
