"""DPO begins at ln 2, learns the pairs, leaves the reference alone, and counts the answers' tokens and no other."""

import math

import pytest
import torch
from datasets import Dataset

from course_utils.adapters import switching
from course_utils.data import preference
from course_utils.engine import loop
from course_utils.engine.recipe import TrainingRecipe
from course_utils.models.base import load_base
from course_utils.training import actor, dpo, objectives

PAIRS = [
    {"prompt": "the film?", "chosen": good, "rejected": bad}
    for good, bad in (
        ("good", "bad"),
        ("a great film", "a bad film"),
        ("fine", "no"),
        ("great movie", "bad movie is bad"),
    )
]


@pytest.fixture
def made(monkeypatch, tiny_folder, one_thread):
    """(DPOLoss, collator, encoded pairs) on the tiny model, in fp32."""
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    model, tokenizer = load_base(dtype=torch.float32)
    module = dpo.DPOLoss(actor.make(model, rank=4))
    rows = preference.encode(Dataset.from_list(PAIRS), tokenizer, answer_tokens=12)
    return module, preference.PairCollator(tokenizer.pad_token_id), rows


def test_an_untrained_policy_loses_ln_2(made):
    module, collate, rows = made
    assert module(collate(rows)).item() == pytest.approx(math.log(2), abs=1e-6)


def test_the_loss_is_that_of_whole_texts(made):
    """The instruction that is left out would have cancelled."""
    module, collate, rows = made
    model = module.actor.model
    for name, weight in model.named_parameters():
        if ".policy." in name:
            weight.data += 0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name)))
    batch, sums = collate(rows), []
    for adapter in (actor.POLICY, actor.REFERENCE):
        with switching.using(model, adapter), torch.no_grad():
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["mask"].long()).logits.float()
        found = logits.log_softmax(-1)[:, :-1].gather(2, batch["input_ids"][:, 1:, None])[..., 0]
        sums.append((found * batch["mask"][:, 1:]).sum(dim=1))
    half = len(rows)
    expected, _ = objectives.dpo_loss(sums[0][:half], sums[0][half:], sums[1][:half], sums[1][half:])
    assert module(batch).item() == pytest.approx(expected.item(), rel=1e-4) != pytest.approx(math.log(2), rel=1e-3)


def test_it_learns_the_pairs_and_the_reference_stays(made, tmp_path):
    module, collate, rows = made
    before = switching.weights_of(module.actor.model, actor.REFERENCE)
    recipe = TrainingRecipe(steps=12, batch_size=4, learning_rate=2e-2, max_length=64)
    losses = loop.train(module, rows, collate, recipe, tmp_path, progress=False).losses
    assert losses[0] == pytest.approx(math.log(2), abs=1e-4) and losses[-1] < 0.4
    after = switching.weights_of(module.actor.model, actor.REFERENCE)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_masks_are_of_what_follows_the_shared_beginning():
    input_ids = torch.tensor([[5, 6, 7, 8], [5, 6, 9, 0]])
    masks = dpo.answer_masks(input_ids, torch.tensor([[True] * 4, [True] * 3 + [False]]))
    assert masks["completion_mask"].tolist() == [[False, False, True, True], [False, False, True, False]]
    assert masks["answer_mask"].tolist() == [[True, True], [True, False]]


def test_no_pair_is_refused(made):
    module, collate, rows = made
    batch = {name: tensor[:0] for name, tensor in collate(rows).items()}
    with pytest.raises(ValueError, match="Expected at least one pair, got none"):
        module(batch)


def test_the_value_head_learns_nothing(made):
    module, collate, rows = made
    module(collate(rows)).backward()
    assert not any(weight.requires_grad for weight in module.actor.value.parameters())
    assert all(weight.grad is None for weight in module.actor.value.parameters())
