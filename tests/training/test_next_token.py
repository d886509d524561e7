import pytest
import torch
from torch.nn.functional import cross_entropy

from course_utils.adapters import library
from course_utils.training.next_token import NextTokenLoss


def batch():
    ids = torch.randint(20, 60, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(9) < torch.tensor([[9], [5], [7]])
    return {"input_ids": ids, "mask": mask, "completion_mask": mask & (torch.arange(9) >= 2)}


def test_it_is_plain_cross_entropy_on_the_answer(tiny_model):
    made = batch()
    loss = NextTokenLoss(tiny_model)(made)
    logits = tiny_model(input_ids=made["input_ids"], attention_mask=made["mask"]).logits[:, :-1]
    counted = made["completion_mask"][:, 1:]
    expected = cross_entropy(logits[counted], made["input_ids"][:, 1:][counted])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert NextTokenLoss(tiny_model).count(made) == int(counted.sum()) == 7 + 3 + 5


def test_where_every_token_counts_the_first_of_a_row_is_predicted_by_nothing(tiny_model):
    made = batch()
    made["completion_mask"] = made["mask"]
    assert NextTokenLoss(tiny_model).count(made) == (9 - 1) + (5 - 1) + (7 - 1)


def test_what_does_not_count_does_not_matter(tiny_model):
    made, other = batch(), batch()
    other["input_ids"][~other["mask"]] = 3
    loss = NextTokenLoss(tiny_model)
    assert torch.equal(loss(made), loss(other))


@pytest.mark.parametrize("method", ["prompt", "p-tuning", "prefix"])
def test_soft_prompts_get_pefts_own_loss_and_gradients(tiny_model, method):
    made = batch()
    tuned = library.attach(tiny_model, method, tokens=3)
    loss = NextTokenLoss(tuned)
    with loss.while_training():
        loss(made).backward()
    found = {name: weight.grad.clone() for name, weight in tuned.named_parameters() if weight.requires_grad}
    tuned.zero_grad()
    logits = tuned(input_ids=made["input_ids"], attention_mask=made["mask"].long()).logits[:, -9:-1]
    counted = made["completion_mask"][:, 1:]
    cross_entropy(logits[counted], made["input_ids"][:, 1:][counted]).backward()
    for name, weight in tuned.named_parameters():
        if weight.requires_grad:
            assert (found[name] - weight.grad).norm() <= 1e-4 * weight.grad.norm(), name


def test_gradients_reach_every_trained_weight_while_training(tiny_model):
    loss = NextTokenLoss(tiny_model.requires_grad_(True))
    with loss.while_training():
        loss(batch()).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in loss.parameters())
