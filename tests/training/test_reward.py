"""The reward model learns a preference, scores alike wherever it stands, and never meets an ending it did not learn."""

import math
from dataclasses import replace

import pytest
import torch

from course_utils import recipes, runtime
from course_utils.adapters import switching
from course_utils.data import preference
from course_utils.engine import stages
from course_utils.engine.loop import train
from course_utils.engine.recipe import TrainingRecipe
from course_utils.training import reward, sft

RECIPE = TrainingRecipe(steps=30, batch_size=4, learning_rate=1e-2, max_length=120, warmup_steps=3)
GOOD, BAD = ["good", "a great film", "fine", "great movie"], ["bad", "a bad film", "no", "bad movie is bad"]
PAIRS = [{"prompt": "the film?", "chosen": good, "rejected": bad} for good in GOOD for bad in BAD]


@pytest.fixture
def job(tiny_folder, monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    monkeypatch.setattr(reward, "weights_dtype", lambda recipe: torch.float32)  # bf16 depends on the batch's shape
    return reward.job("cpu", rows=PAIRS, recipe=RECIPE)


@pytest.fixture
def trained(job, tmp_path):
    module = stages.seeded(job.build, 0)
    return module.eval(), train(module, job.rows, job.collate, job.recipe, tmp_path, progress=False), job


def random_head(module):
    torch.nn.init.normal_(module.reward_model.head.weight, generator=torch.Generator().manual_seed(0))
    return module


def test_the_first_loss_is_ln_2_and_it_learns(trained):
    module, result, job = trained
    assert result.losses[0] == pytest.approx(math.log(2)) and result.losses[-1] < 0.1
    chosen, rejected = reward.Scorer(module.reward_model, job.tokenizer).pairs(job.rows)
    assert (chosen > rejected).all()
    learned = [name for name, weight in module.named_parameters() if weight.requires_grad]
    assert all("lora_" in name or name.startswith("reward_model.head") for name in learned)


def test_the_loss_counts_pairs_and_is_that_of_the_texts_read_alone(job):
    module = random_head(stages.seeded(job.build, 0)).eval()
    rows = job.rows[::5]
    batch = job.collate(rows)
    assert module.count(batch) == len(rows) == 4
    scorer = reward.Scorer(module.reward_model, job.tokenizer, batch_size=1)
    chosen, rejected = scorer.pairs(rows)
    torch.testing.assert_close(module(batch), -torch.nn.functional.logsigmoid(chosen - rejected).mean())
    assert chosen.std() > 0.01


def test_scores_do_not_depend_on_what_is_read_beside_them(job):
    module = random_head(stages.seeded(job.build, 0)).eval()
    prompts, texts = ["the film?"] * 6, ["good", "a bad film is a bad film", "", "no", "great movie yes", "fine"]
    alone = reward.Scorer(module.reward_model, job.tokenizer, batch_size=1)(prompts, texts)
    together = reward.Scorer(module.reward_model, job.tokenizer, batch_size=4)(prompts, texts)
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-5)
    assert together.shape == (6,) and not together.requires_grad


def test_a_text_is_cut_where_a_sample_would_be(job):
    module = random_head(stages.seeded(job.build, 0)).eval()
    long = "a bad film is a bad film is a bad movie"
    scorer = reward.Scorer(module.reward_model, job.tokenizer, answer_tokens=6)
    same, other = scorer(["the film?"] * 2, [long, long + " yes yes"])
    torch.testing.assert_close(same, other, rtol=1e-5, atol=1e-5)
    whole, more = reward.Scorer(module.reward_model, job.tokenizer, answer_tokens=60)(
        ["the film?"] * 2, [long, long + " yes"]
    )
    assert abs(whole - more) > 1e-3


def test_centring_moves_the_zero_and_no_difference(trained):
    module, _, job = trained
    scorer = reward.Scorer(module.reward_model, job.tokenizer)
    prompts, texts = ["the film?"] * 8, [*GOOD, *BAD]
    before, identity = scorer(prompts, texts), scorer.identity
    after = scorer.centre(prompts, texts)(prompts, texts)
    assert after.mean().item() == pytest.approx(0, abs=1e-5) and abs(before.mean()) > 0.01
    torch.testing.assert_close(after - after[0], before - before[0], rtol=1e-4, atol=1e-4)
    assert scorer.identity != identity


def test_moved_to_another_backbone_it_scores_the_same_and_leaves_the_others_alone(trained, tiny_model):
    module, _, job = trained
    scorer = reward.Scorer(module.reward_model, job.tokenizer)
    home = switching.add(tiny_model.requires_grad_(False), "sft", rank=4)
    switching.train_only(home, "sft")
    there = reward.Scorer(module.reward_model.move_to(home), job.tokenizer)
    prompts, texts = ["the film?"] * 8, [*GOOD, *BAD]
    flags = [weight.requires_grad for weight in home.parameters()]
    torch.testing.assert_close(there(prompts, texts), scorer(prompts, texts), rtol=1e-5, atol=1e-5)
    assert home.active_adapters == ["sft"] and [weight.requires_grad for weight in home.parameters()] == flags
    assert not any(weight.requires_grad for weight in there.reward_model.head.parameters())


def test_one_prompt_a_text(trained):
    module, _, job = trained
    with pytest.raises(ValueError, match="one prompt for each of 2 texts, got 1"):
        reward.Scorer(module.reward_model, job.tokenizer)(["the film?"], ["good", "bad"])


def test_full_tuning_trains_everything(tiny_folder, monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    job = reward.job("cpu", rows=PAIRS, recipe=replace(RECIPE, method="full"))
    module = job.build()
    assert all(weight.requires_grad for weight in module.parameters())
    scorer = reward.Scorer(module.reward_model, job.tokenizer)
    assert torch.equal(scorer(["the film?"], ["good"]), torch.zeros(1)) and scorer.identity


@pytest.mark.parametrize("tier", runtime.TIERS)
def test_every_tier_has_a_recipe_that_learns_from_each_pair_once(tier):
    size, recipe = recipes.of("08", tier), reward.recipe_of(tier, seed=3)
    assert (recipe.steps, recipe.batch_size, recipe.seed) == (size.steps, size.batch_size, 3)
    assert reward.recipe_of(tier, steps=20).warmup_steps == 2
    assert reward.for_method is sft.for_method and preference.PARTS["gold"] == 0


def test_training_texts_come_once_and_by_the_seed():
    size = replace(recipes.of("08", "cpu"), steps=4, batch_size=10)
    texts = reward.training_texts(size, seed=1)
    assert len(set(texts["id"])) == 40 and set(texts["prompt"]) == {preference.PROMPT}
    assert texts["id"] != reward.training_texts(size, seed=2)["id"]


def test_lists_are_learned_from_as_all_their_pairs(tiny_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    monkeypatch.setattr(reward, "weights_dtype", lambda recipe: torch.float32)
    texts = [{"prompt": "the film?", "text": text, "mean": 1.0} for text in GOOD]
    texts += [{"prompt": "the film?", "text": text, "mean": -1.0} for text in BAD]
    job = reward.job("cpu", rows=texts, recipe=replace(RECIPE, batch_size=8))
    module = random_head(stages.seeded(job.build, 0)).eval()
    batch = job.collate(job.rows)
    assert module.count(batch) == len(PAIRS) == 16
    chosen, rejected = reward.Scorer(module.reward_model, job.tokenizer).pairs(reward.job("cpu", rows=PAIRS).rows)
    torch.testing.assert_close(module(batch), -torch.nn.functional.logsigmoid(chosen - rejected).mean())
    module = stages.seeded(job.build, 0)
    result = train(module, job.rows, job.collate, job.recipe, tmp_path, progress=False)
    assert result.losses[0] == pytest.approx(math.log(2)) and result.losses[-1] < 0.1


def test_a_part_of_a_list_without_a_pair_teaches_nothing_and_breaks_nothing(job):
    module = random_head(stages.seeded(job.build, 0))
    batch = job.collate(job.rows[:1])
    none = torch.zeros(0, dtype=torch.int64)
    loss = module(batch | {"better": none, "worse": none})
    loss.backward()
    assert loss.item() == 0 and not any(w.grad.any() for w in module.parameters() if w.grad is not None)


def test_equal_texts_are_read_once(job, monkeypatch):
    module = random_head(stages.seeded(job.build, 0)).eval()
    scorer, read = reward.Scorer(module.reward_model, job.tokenizer), []
    forward = module.reward_model.forward
    monkeypatch.setattr(
        module.reward_model, "forward", lambda input_ids, mask: read.append(len(mask)) or forward(input_ids, mask)
    )
    scores = scorer(["the film?"] * 5, ["good", "bad", "good", "fine", "good"])
    assert read == [3] and scores[0] == scores[2] == scores[4] != scores[1]


def test_no_text_to_score_and_nothing_to_learn_from_are_refused(job):
    scorer = reward.Scorer(job.build().reward_model, job.tokenizer)
    for ask in (lambda: scorer([], []), lambda: scorer.pairs([]), lambda: scorer.centre([], [])):
        with pytest.raises(ValueError, match="Expected at least one text, got none to score"):
            ask()
    assert scorer.reward_model.centre == 0.0, "no NaN for a zero"
    with pytest.raises(ValueError, match="Expected at least one pair or rated text, got none to learn from"):
        reward.job("cpu", rows=[])
