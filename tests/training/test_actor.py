"""Policy and value read in one pass over packed rows, equal to the plain reading of each row alone."""

import pytest
import torch
from helpers.toy_policy import END, PROMPTS, make_actor

from course_utils.training import actor as actor_module
from course_utils.training import rollout
from course_utils.training.actor import POLICY

IDS = [row["prompt_ids"] for row in PROMPTS]


@pytest.fixture
def actor():
    made = make_actor(temperature=0.7)
    torch.nn.init.normal_(made.value.weight, generator=torch.Generator().manual_seed(0))
    return made


@pytest.fixture
def answers(actor):
    samples = actor.sample(IDS, max_new_tokens=6, stop_tokens=[END], seed=3)
    return rollout.assemble(IDS, samples, torch.zeros(len(IDS)), [""] * len(IDS))


def stray(actor):
    """Move the policy away from its reference."""
    for name, weight in actor.named_parameters():
        if "lora_B" in name and f".{POLICY}." in name:
            torch.nn.init.normal_(weight, std=0.2, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def plainly(actor, answers, row):
    """(log-probabilities, values) of one row's answer, read alone with full logits."""
    tokens = answers.input_ids[row, answers.mask[row]]
    trunk = actor.model.get_base_model()
    hidden = trunk.model(input_ids=tokens[None]).last_hidden_state[0]
    length = int(answers.answer_mask[row].sum())
    states = hidden[-length - 1 : -1]
    logprobs = torch.log_softmax(trunk.lm_head(states) / 0.7, -1).gather(-1, tokens[-length:, None])[:, 0]
    return logprobs, actor.value(states)


def test_logprobs_and_values_are_those_of_each_row_alone(actor, answers):
    stray(actor)
    logprobs, values = actor.read(answers.batch(list(range(len(IDS)))))
    assert logprobs.shape == values.shape == answers.answer_mask.shape
    for row, counts in enumerate(answers.answer_mask):
        expected = plainly(actor, answers, row)
        torch.testing.assert_close(logprobs[row, counts], expected[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(values[row, counts], expected[1], rtol=1e-4, atol=1e-4)
    assert (logprobs[~answers.answer_mask] == 0).all() and (values[~answers.answer_mask] == 0).all()


def test_before_the_first_update_the_kl_is_zero_exactly_in_one_shape_and_nearly_in_any(actor, answers):
    batch = answers.batch(list(range(len(IDS))))
    logprobs, _ = actor.read(batch)
    assert torch.equal(logprobs, actor.reference_logprobs(batch))
    alone = torch.cat([actor.reference_logprobs(answers.batch([row])) for row in range(len(IDS))])
    torch.testing.assert_close(logprobs, alone, rtol=0, atol=1e-6 * 20)
    stray(actor)
    assert not torch.allclose(actor.read(batch)[0], logprobs, atol=1e-2)
    assert torch.equal(logprobs, actor.reference_logprobs(batch)), "the reference stays where it is"


def test_padding_changes_nothing(actor, answers):
    batch = answers.batch(list(range(len(IDS))))
    wide = {name: torch.nn.functional.pad(value, (0, 3)) for name, value in batch.items()}
    wide["input_ids"][~wide["mask"]] = 77
    for narrow, other in zip(actor.read(batch), actor.read(wide), strict=True):
        torch.testing.assert_close(other[:, :-3], narrow, rtol=0, atol=1e-6)
        assert (other[:, -3:] == 0).all()


def test_the_last_token_of_each_row_is_not_read(actor, answers, monkeypatch):
    read, hidden = [], actor_module.packed_hidden
    monkeypatch.setattr(actor_module, "packed_hidden", lambda *given: read.append(given[2]) or hidden(*given))
    batch = answers.batch(list(range(len(IDS))))
    actor.read(batch)
    places = torch.arange(batch["mask"].shape[1])
    assert torch.equal(read[0], places < batch["mask"].sum(dim=1, keepdim=True) - 1)


def test_only_the_policy_and_the_value_learn(actor, answers):
    logprobs, values = actor.read(answers.batch([0, 1]))
    (logprobs.sum() + values.sum()).backward()
    learned = {name for name, weight in actor.named_parameters() if weight.grad is not None}
    assert learned == {name for name, weight in actor.named_parameters() if weight.requires_grad}
    assert {"value.weight", "value.bias"} < learned
    assert all(f".{POLICY}." in name or name.startswith("value.") for name in learned)


def test_the_reference_samples_itself_and_leaves_the_policy_active(actor):
    how = {"max_new_tokens": 5, "stop_tokens": [END], "seed": 0}
    before = actor.sample(IDS, **how)
    stray(actor)
    assert actor.sample(IDS, reference=True, **how) == before != actor.sample(IDS, **how)
    assert actor.model.active_adapters == [POLICY]


def test_dropout_stays_off_in_training_mode(actor):
    actor.add_module("dropout", torch.nn.Dropout(0.5))
    assert actor.train().training and not actor.dropout.training
