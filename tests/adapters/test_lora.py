import pytest
import torch
from helpers import two_layer_gemma as small

from course_utils.adapters import layers, library, lora, weights


def test_by_hand_on_numbers():
    linear = torch.nn.Linear(2, 2, bias=False)
    linear.weight.data = torch.eye(2)
    layer = lora.LoraLinear(linear, rank=2, alpha=6)
    layer.update["A"].data = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    layer.update["B"].data = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    # x = (1, 1): W x = (1, 1), A x = (3, 0), B A x = (3, −3), times α / r = 3
    assert layer(torch.ones(2)).tolist() == [10.0, -8.0]
    assert layer.delta().tolist() == [[3.0, 6.0], [-3.0, -6.0]]
    assert layer.merged_weight().tolist() == [[4.0, 6.0], [-3.0, -5.0]]


def test_b_of_zero_changes_nothing(base, logits):
    expected = logits(base)
    model = lora.inject(base, rank=4)
    assert torch.equal(logits(model), expected)
    assert all(layer.update["A"].abs().min() > 0 for layer in layers.wrapped(model).values())


def test_an_update_has_the_rank_that_was_asked_for(ours):
    model = ours("lora", {"rank": 3})
    for layer in layers.wrapped(model).values():
        assert torch.linalg.matrix_rank(layer.delta()) == 3


def test_only_a_and_b_get_a_gradient(ours, logits):
    model = ours("lora", {"rank": 2})
    logits(model).sum().backward()
    assert {name.split(".")[-1] for name, weight in model.named_parameters() if weight.grad is not None} == {"A", "B"}


@pytest.mark.parametrize("rank", [0, 17])
def test_a_rank_must_fit(base, rank):
    with pytest.raises(ValueError, match=f"Rank {rank} does not fit .*v_proj, .*Take 1 to 16"):
        lora.inject(base, rank=rank, targets=("v_proj",))


SIZES = {"rank": 4, "alpha": 6, "targets": ("q_proj", "down_proj")}


def tasks_and_logits():
    """{task: (its weights, its logits of a padded batch when it is alone)}, the batch."""
    ids, real, _ = small.batch()
    batch, found = {"input_ids": ids, "attention_mask": real.long()}, {}
    for seed, name in enumerate(("critic", "contrarian")):
        model = small.shaken(lora.inject(small.build().eval(), **SIZES), seed)
        found[name] = (weights.take(model), model(**batch).logits.detach())
    return found, batch, real


def test_each_row_of_a_mixed_batch_is_what_its_adapter_says_alone(base):
    found, batch, real = tasks_and_logits()
    model = lora.inject_mixed(base, {name: task for name, (task, _) in found.items()}, alpha=6)
    for names in (["critic", "contrarian", "contrarian", "critic"], ["contrarian"] * 4):
        lora.choose(model, names)
        mixed = model(**batch).logits
        for row, name in enumerate(names):
            for other, (_, alone) in found.items():
                apart = (mixed[row] - alone[row])[real[row]].abs().max()
                assert apart <= 1e-4 if other == name else apart > 0.1
    assert not weights.trained(model)
    lora.remove(model)
    assert torch.equal(model(**batch).logits, small.build().eval()(**batch).logits)


def test_a_mixed_batch_equals_pefts(base):
    found, batch, real = tasks_and_logits()
    names = ["critic", "contrarian", "contrarian", "critic"]
    theirs = library.attach(small.build().eval(), "lora", **SIZES)
    mine = lora.inject(small.build().eval(), **SIZES)
    weights.put(mine, found["critic"][0])
    library.copy(mine, theirs)
    theirs.add_adapter("contrarian", theirs.peft_config["default"])
    for key, weight in theirs.named_parameters():
        if ".contrarian." in key:
            ours = key.removeprefix("base_model.model.").replace("lora_", "update.")
            weight.data = found["contrarian"][0][ours.replace(".contrarian.weight", "")].clone()
    told = [{"critic": "default"}.get(name, name) for name in names]
    expected = theirs.eval()(**batch, adapter_names=told).logits
    model = lora.inject_mixed(base, {name: task for name, (task, _) in found.items()}, alpha=6)
    lora.choose(model, names)
    torch.testing.assert_close(model(**batch).logits[real], expected[real], rtol=1e-5, atol=1e-5)


def test_what_a_mixed_batch_cannot_be_is_refused(base):
    found, batch, _ = tasks_and_logits()
    tasks = {name: task for name, (task, _) in found.items()}
    with pytest.raises(ValueError, match="the same layers and rank, got none"):
        lora.inject_mixed(base, {})
    with pytest.raises(ValueError, match="the same layers and rank, got critic, other"):
        lora.inject_mixed(base, {"critic": tasks["critic"], "other": weights.take(lora.inject(small.build(), rank=2))})
    with pytest.raises(ValueError, match="no task critic, only none"):
        lora.choose(base, ["critic"])
    model = lora.inject_mixed(base, tasks)
    with pytest.raises(ValueError, match=r"chosen for 0 rows, and \(4, 14, 32\) came"):
        model(**batch)
    with pytest.raises(ValueError, match="no task judge, only critic, contrarian"):
        lora.choose(model, ["critic", "judge"])
    with pytest.raises(ValueError, match="critic, contrarian have no one matrix"):
        lora.merge(model)
    lora.choose(model, ["critic"] * 3)
    with pytest.raises(ValueError, match="chosen for 3 rows"):
        model(**batch)
