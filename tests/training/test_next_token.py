import pytest
import torch
from torch.nn.functional import cross_entropy

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


def test_what_does_not_count_does_not_matter(tiny_model):
    made, other = batch(), batch()
    other["input_ids"][~other["mask"]] = 3
    loss = NextTokenLoss(tiny_model)
    assert torch.equal(loss(made), loss(other))


def test_soft_prompts_are_refused(tiny_model):
    from peft import PromptTuningConfig, get_peft_model

    tuned = get_peft_model(tiny_model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    with pytest.raises(ValueError, match="virtual tokens before the input"):
        NextTokenLoss(tuned)


def test_gradients_reach_every_trained_weight_while_training(tiny_model):
    loss = NextTokenLoss(tiny_model.requires_grad_(True))
    with loss.while_training():
        loss(batch()).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in loss.parameters())
