"""Several adapters on one frozen backbone; nobody's gradient flags change by looking at another's answer."""

import pytest
import torch
from helpers.attention_models import model as strong_model

from course_utils.adapters import switching

IDS = torch.tensor([[2, 5, 9, 11, 4]])


@pytest.fixture
def model():
    """A backbone with a frozen "sft" and a "policy" that learns, both strong enough to show."""
    made = switching.add(strong_model("gemma").requires_grad_(False), "sft", rank=4)
    _strengthen(made, "sft")
    made = switching.add(made, "policy", weights=switching.weights_of(made, "sft"))
    switching.train_only(made, "policy")
    return made


def _strengthen(model, adapter):
    for key, weight in model.named_parameters():
        if "lora_B" in key and f".{adapter}." in key:
            torch.nn.init.normal_(weight, std=0.3)


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


def flags(model):
    return {key: weight.requires_grad for key, weight in model.named_parameters()}


def test_a_copy_answers_alike_and_then_goes_its_own_way(model):
    with switching.using(model, "sft"):
        reference = logits(model)
    assert torch.equal(logits(model), reference)
    with model.disable_adapter():
        assert not torch.equal(logits(model), reference), "after SFT, no adapter is the base model and no reference"
    switching.train_only(model, "policy")
    _strengthen(model, "policy")
    assert not torch.equal(logits(model), reference)
    with switching.using(model, "sft"):
        assert torch.equal(logits(model), reference)


def test_every_flag_is_as_it_was_inside_and_after(model):
    before = flags(model)
    assert sum(before.values()) > 0 and all(".policy." in key for key, learns in before.items() if learns)
    with switching.using(model, "sft"):
        assert flags(model) == before and model.active_adapters == ["sft"]
        with switching.using(model, "policy"):
            assert model.active_adapters == ["policy"]
        assert model.active_adapters == ["sft"]
    assert flags(model) == before and model.active_adapters == ["policy"]


def test_flags_come_back_after_an_error_too(model):
    before = flags(model)
    with pytest.raises(KeyError), switching.using(model, "sft"):
        raise KeyError
    assert flags(model) == before and model.active_adapters == ["policy"]


def test_peft_alone_would_let_the_reference_learn(model):
    model.set_adapter("sft")
    assert any(".sft." in key for key, learns in flags(model).items() if learns), "else `using` has no reason"


def test_only_the_policy_gets_a_gradient(model):
    with switching.using(model, "sft"):
        reference = model(IDS).logits
    assert not reference.requires_grad
    model(IDS).logits.sum().backward()
    learned = [key for key, weight in model.named_parameters() if weight.grad is not None]
    assert learned and all(".policy." in key for key in learned)


def test_a_third_adapter_of_another_rank_comes_frozen_and_changes_nothing(model):
    before = logits(model)
    switching.add(model, "reward", rank=2)
    assert torch.equal(logits(model), before) and model.active_adapters == ["policy"]
    assert not any(learns for key, learns in flags(model).items() if ".reward." in key)
    with model.disable_adapter():
        base = logits(model)
    with switching.using(model, "reward"):
        assert torch.equal(logits(model), base), "an adapter without weights changes nothing"
    again = switching.add(
        strong_model("gemma").requires_grad_(False), "other", weights=switching.weights_of(model, "sft")
    )
    with switching.using(model, "sft"):
        assert torch.equal(logits(again), logits(model))


def test_what_does_not_fit_is_refused(model):
    with pytest.raises(ValueError, match="no adapter 'gold', only policy, sft"), switching.using(model, "gold"):
        pass
    with pytest.raises(ValueError, match="an adapter 'sft' already"):
        switching.add(model, "sft")
    switching.add(model, "reward", rank=2)
    with pytest.raises(ValueError, match="weights do not fit the adapter 'reward'"):
        switching.load(model, "reward", switching.weights_of(model, "sft"))


def test_what_is_added_is_frozen_at_first_and_beside_others():
    first = switching.add(strong_model("gemma"), "first", rank=2)
    assert not any(flags(first).values()), "also when peft makes the model around it"
    switching.add(first, "second", weights=switching.weights_of(first, "first"))
    assert not any(flags(first).values())


def test_an_adapters_alpha_is_twice_its_rank(model):
    switching.add(model, "reward", rank=3)
    assert all(config.lora_alpha == 2 * config.r for config in model.peft_config.values())
