"""PPO on a policy of two layers: what must hold before the first update, that it learns, that it stops and goes on."""

from types import SimpleNamespace

import pytest
import torch
from helpers.toy_loss import Stop, stop_at
from helpers.toy_policy import PROMPTS, SmallTurns, evens, make_loss, make_recipe

from course_utils.engine import checkpoint, loop
from course_utils.engine.checkpoint import CheckpointError
from course_utils.training import ppo, rollout

RUN = SimpleNamespace(device="cpu", autocast=None, grad_scaler=False)


@pytest.fixture
def fit(tmp_path):
    """fit(folder, reward, **recipe fields) -> (result, module, lines said)."""

    def call(folder="run", reward=evens, prompts=PROMPTS, evaluate=None, **fields):
        recipe = make_recipe(**fields)
        module, said = make_loss(recipe), []
        result = ppo.train(
            module, prompts, reward, recipe, tmp_path / folder, turns=SmallTurns(), run=RUN, evaluate=evaluate,
            progress=False, say=said.append,
        )  # fmt: skip
        return result, module, said

    return call


@pytest.fixture
def trainer(tmp_path):
    """A trainer that has begun, with recipe fields."""
    made = []

    def begin(reward=evens, **fields):
        recipe = make_recipe(**fields)
        module = make_loss(recipe)
        made.append(ppo.Trainer(module, PROMPTS, reward, recipe, tmp_path / "run", RUN, None, print, SmallTurns()))
        made[-1].begin(True, False)
        return made[-1]

    yield begin
    for one in made:
        one.clean_up()


def learned(module):
    return torch.cat([weight.detach().flatten() for weight in module.parameters() if weight.requires_grad])


def test_before_the_first_update_ratio_is_one_and_kl_zero_exactly(trainer):
    made = trainer(micro_batch=2)
    trajectory = made.roll_out(1)
    mask = trajectory.answers.answer_mask
    assert torch.equal(trajectory.logprobs, trajectory.reference_logprobs) and rollout.diagnose(trajectory)["kl"] == 0
    made.rows = trajectory
    for group in made._groups(len(trajectory)):
        made._gradients(group)
    assert len(made.module.noted) == 4 and sum(count for count, _ in made.module.noted) == mask.sum()
    assert all(parts["ratio"] == 1.0 and parts["clip_fraction"] == 0.0 for _, parts in made.module.noted)
    made.module.noted = [(1, {"ratio": 1.0}), (3, {"ratio": 2.0})]  # a token counts as much in each part
    assert made._noted() == {"ratio": 1.75}


def test_in_any_shape_the_ratio_is_one_to_rounding(trainer):
    made = trainer(micro_batch=4)
    trajectory = made.roll_out(1)
    for row in range(len(trajectory)):
        again, _ = made.module.actor.read(trajectory.answers.batch([row]))
        torch.testing.assert_close(again[0], trajectory.logprobs[row], rtol=1e-6, atol=1e-5)


def test_the_gradient_at_ratio_one_is_that_of_reinforce(trainer):
    made = trainer(value_coef=0.0)
    trajectory = made.roll_out(1)
    batch = made.collate([trajectory[row] for row in range(len(trajectory))])
    module, mask = made.module, batch["answer_mask"]
    weights = [weight for weight in module.actor.model.parameters() if weight.requires_grad]
    clipped = torch.autograd.grad(module(batch), weights)
    logprobs, _ = module.actor.read(batch)
    # REINFORCE: −E[A · ∇ log π]
    plain = torch.autograd.grad(-(batch["advantages"] * logprobs)[mask].mean(), weights)
    assert max(grad.abs().max() for grad in plain) > 1e-4
    for one, other in zip(clipped, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_a_toy_reward_is_learned_and_every_diagnostic_is_there(fit):
    result, _, _ = fit(steps=60, batch_size=16, kl_coef=0.01, learning_rate=2e-2, epochs=3)
    rewards = [line["reward"] for line in result.metrics]
    assert sum(rewards[-20:]) / 20 > sum(rewards[:4]) / 4 + 0.2
    assert set(rollout.DIAGNOSTICS) < set(result.metrics[0]) and result.metrics[-1]["kl"] > 0.1
    assert all(value is not None for line in result.metrics for value in line.values())
    assert result.metrics[0]["kl"] == 0 and result.metrics[0]["kl_k3"] == 0


@pytest.fixture
def readings(monkeypatch):
    """What the policy was asked to read: (rows, whether with a graph), in the order of asking."""
    asked, read = [], ppo.Actor.read

    def noted(self, batch):
        asked.append((len(batch["input_ids"]), torch.is_grad_enabled()))
        return read(self, batch)

    monkeypatch.setattr(ppo.Actor, "read", noted)
    return asked


@pytest.mark.parametrize(("parts", "expected"), [(1, [(4, True)] * 3), (2, [(2, False)] * 2)])
def test_the_first_pass_learns_from_the_reading_that_the_advantages_came_from(fit, readings, parts, expected):
    result, module, _ = fit(steps=1, batch_size=4, minibatches=parts, epochs=3)
    assert readings[: len(expected)] == expected and module.kept is None
    assert len(readings) == {1: 3, 2: 8}[parts] and result.metrics[0]["kl"] == 0


def test_reading_once_changes_nothing(fit, monkeypatch):
    first, once, _ = fit("once", steps=2, batch_size=4, minibatches=1)
    monkeypatch.setattr(ppo.PPOLoss, "kept", property(lambda self: None, lambda self, found: None), raising=False)
    again, twice, _ = fit("twice", steps=2, batch_size=4, minibatches=1)
    assert torch.equal(learned(once), learned(twice)) and first.losses == again.losses


def test_where_memory_ends_the_advantages_are_read_without_a_graph(trainer, readings, monkeypatch):
    made, read = trainer(batch_size=4, minibatches=1), ppo.Actor.read

    def short_of_memory(self, batch):
        found = read(self, batch)
        if torch.is_grad_enabled():
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return found

    monkeypatch.setattr(ppo.Actor, "read", short_of_memory)
    assert made.roll_out(1, keep=True).logprobs.isfinite().all() and made.module.kept is None
    assert readings == [(4, True), (4, False)]


def test_a_reading_of_the_whole_batch_does_not_outlive_its_halving(trainer):
    made = trainer(batch_size=4, minibatches=1)
    made.rows, collate = made.roll_out(1, keep=True), made.collate
    failures = [RuntimeError("CUDA out of memory")]

    def short_of_memory(rows):
        if failures:
            raise failures.pop()
        return collate(rows)

    made.collate = short_of_memory
    made._gradients(range(4))
    assert made.micro_batch == 2 and len(made.module.noted) == 2


def test_a_strong_penalty_keeps_the_policy_at_home(fit):
    strayed = {}
    for kl_coef in (0.0, 0.5):
        result, _, _ = fit(f"run-{kl_coef}", steps=20, batch_size=16, kl_coef=kl_coef)
        strayed[kl_coef] = sum(line["kl_k3"] for line in result.metrics[-8:])
    assert strayed[0.5] < 0.6 * strayed[0.0]


def test_the_reference_and_the_backbone_stay_as_they_were(fit):
    recipe = make_recipe()
    before = {name: weight.clone() for name, weight in make_loss(recipe).named_parameters() if not weight.requires_grad}
    _, module, _ = fit(steps=2)
    after = dict(module.named_parameters())
    assert before and all(torch.equal(after[name], weight) for name, weight in before.items())
    assert not torch.equal(learned(module), learned(make_loss(recipe)))


def test_each_step_draws_its_own_answers_and_its_own_order_of_minibatches(trainer, monkeypatch):
    one, seeds, orders = trainer(minibatches=4, epochs=3), [], []
    sample = one.module.actor.sample
    monkeypatch.setattr(
        one.module.actor, "sample", lambda *a, seed, **how: seeds.append(seed) or sample(*a, seed=seed, **how)
    )
    monkeypatch.setattr(one, "_noted", dict)
    monkeypatch.setattr(one, "_update", lambda rows, rate: orders[-1].append(rows[0] // 2) or (0.0, 1, 0.0))
    for step in (1, 2, 3, 1):
        orders.append([])
        one._train_step(step)
    assert seeds[0] == seeds[3] and len(set(seeds)) == 3
    assert orders[0] == orders[3] and len(set(map(tuple, orders))) == 3
    assert all(sorted(order) == sorted(3 * [0, 1, 2, 3]) for order in orders)


def test_a_resumed_run_is_bit_identical(fit, tmp_path):
    fields = {"steps": 7, "evaluate_every": 1, "micro_batch": 2, "kl_target": 0.5, "kl_coef": 0.3}
    whole, whole_module, _ = fit("whole", evaluate=stop_at(-1), **fields)
    for step in (3, 2):
        with pytest.raises(Stop):
            fit("cut", evaluate=stop_at(step), **fields)
    cut, cut_module, said = fit("cut", evaluate=stop_at(-1), **fields)
    assert cut.resumed_from == 2 and said == []
    assert cut.metrics == whole.metrics and torch.equal(learned(cut_module), learned(whole_module))
    assert cut.checkpoint.name == whole.checkpoint.name
    assert (tmp_path / "cut/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()
    assert len({line["kl_coef"] for line in cut.metrics}) > 3


def test_another_reward_function_is_another_run(fit):
    fit(steps=2)
    with pytest.raises(CheckpointError, match="another reward function"):
        fit(steps=2, reward=lambda prompts, texts: torch.zeros(len(texts)))


BONUS = 1


def test_a_reward_is_its_code_with_what_it_names_or_what_it_says_it_is(monkeypatch):
    def first(prompts, texts):
        return [len(text) + BONUS for text in texts]

    def second(prompts, texts):
        return [len(text) - BONUS for text in texts]

    second.__qualname__ = first.__qualname__
    found = ppo.reward_identity(first)
    assert found == ppo.reward_identity(first) != ppo.reward_identity(second)
    monkeypatch.setitem(globals(), "BONUS", 2)
    assert ppo.reward_identity(first) != found
    assert ppo.reward_identity(SimpleNamespace(identity="x")) == "x"


def failing_at(step, how):
    """A reward that does something else when called for the step-th time."""
    calls = []

    def reward(prompts, texts):
        calls.append(1)
        return how(texts) if len(calls) == step else evens(prompts, texts)

    return reward


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (lambda texts: torch.full((len(texts),), torch.nan), "reward of 8 of 8 texts is not finite"),
        (lambda texts: torch.zeros(len(texts), 2), r"shape \(8, 2\) for 8 texts"),
        (lambda texts: [].pop(), "raised IndexError: pop from empty list"),
    ],
)
def test_a_failing_reward_stops_the_run_with_its_checkpoint_kept(fit, tmp_path, how, says):
    with pytest.raises(loop.TrainingStopped, match=says) as caught:
        fit(reward=failing_at(4, how))
    text = str(caught.value)
    assert text.startswith("Training stopped at step 4, before its update: the reward")
    assert "The checkpoint of step 2 is kept" in text and "Try the function on a few texts" in text
    assert checkpoint.steps(tmp_path / "run/checkpoints") == [2]


def test_a_kl_that_explodes_stops_the_run(fit, monkeypatch):
    kept, clean_up = [], ppo.Trainer.clean_up
    monkeypatch.setattr(ppo.Trainer, "clean_up", lambda made: (clean_up(made), kept.append(made.module.kept)))
    with pytest.raises(loop.TrainingStopped, match=r"KL to the reference is .* above max_kl = 0.001") as caught:
        fit(max_kl=1e-3, minibatches=1)
    assert kept == [None]  # nothing is left that a later call of the loss would take for its own
    assert "step 2" in str(caught.value) and "ten times the kl_coef (now 0.05)" in str(caught.value)


def test_empty_prompts_are_refused_before_anything_runs(fit):
    prompts = [*PROMPTS[:3], {"prompt": "", "prompt_ids": [], "opening_length": 0}]
    with pytest.raises(ValueError, match=r"1 of 4 prompts are empty \(rows \[3\]\)"):
        fit(prompts=prompts)


def test_the_adaptive_coefficient_by_hand():
    assert ppo.adapted(0.1, 6.0, 6.0) == 0.1
    assert ppo.adapted(0.1, 6.6, 6.0) == pytest.approx(0.1 * (1 + 0.1 * 0.1))
    assert [ppo.adapted(0.1, kl, 6.0) for kl in (60.0, 0.0)] == pytest.approx([0.102, 0.098])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"minibatches": 3}, "divides batch_size = 8"),
        ({"epochs": 0}, "epochs=0"),
        ({"temperature": 0}, "temperature=0"),
        ({"kl_target": 0}, "kl_target=0"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        make_recipe(**fields)


def test_rewards_read_the_opening_with_what_was_sampled(trainer):
    seen = []

    def reward(prompts, texts):
        seen.extend(zip(prompts, texts, strict=True))
        return evens(prompts, texts)

    answers = trainer(reward).roll_out(1).answers
    opening = {row["prompt"]: str(row["prompt_ids"][-1]) for row in PROMPTS}
    assert len(seen) == 8 and all(text.split()[0] == opening[prompt] for prompt, text in seen)
    assert answers.texts == tuple(text for _, text in seen)
