import pytest
import torch
from helpers import two_layer_gemma as small

from course_utils.adapters import prefix_tuning, weights


@pytest.mark.parametrize("key_heads", [1, 2])
def test_a_real_prompt_turned_into_a_prefix_gives_equal_logits(logits, key_heads):
    prompt = [2, 17, 35, 60]
    model = small.build(key_heads=key_heads).eval()
    ids, real, _ = small.batch()
    whole = torch.cat([torch.tensor(prompt).expand(4, -1), ids], dim=1)
    mask = torch.cat([torch.ones(4, 4, dtype=torch.bool), real], dim=1)
    expected = model(input_ids=whole, attention_mask=mask.long()).logits[:, 4:][real].detach()
    prefix_tuning.inject(model, prompt_ids=prompt)
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-5)
    assert weights.count(model) == 4 * 2 * 2 * key_heads * 16


def test_keys_and_values_have_the_shape_that_the_docstring_says():
    prefix = prefix_tuning.Prefix((3, 2, 5, 4))
    learned = prefix()
    assert learned.shape == (3, 2, 2, 5, 4)
    assert torch.equal(prefix_tuning.flat(learned), prefix.embedding.weight)


def test_dropping_the_network_changes_nothing(ours, logits):
    model = ours("prefix", {"tokens": 4, "hidden": 9})
    expected, trained = logits(model), weights.count(model)
    prefix_tuning.drop_encoder(model)
    assert torch.equal(logits(model), expected)
    assert weights.count(model) == 4 * 2 * 2 * 16 and trained != weights.count(model)


def test_remove_restores_the_base(ours, logits):
    model = ours("prefix", {"tokens": 4})
    assert not torch.allclose(logits(model), logits(small.build().eval()), atol=1e-2)
    prefix_tuning.remove(model)
    assert torch.equal(logits(model), logits(small.build().eval()))


def test_checkpointing_switched_on_later_is_refused_too(ours, logits):
    model = ours("prefix", {"tokens": 4}).train()
    model.gradient_checkpointing_enable()
    with pytest.raises(ValueError, match="activation checkpointing switches that cache off"):
        logits(model)
    logits(model.eval())  # without gradients nothing is switched off


def test_a_prompt_and_a_network_exclude_each_other(base):
    with pytest.raises(ValueError, match="leave out hidden"):
        prefix_tuning.inject(base, prompt_ids=[2, 3], hidden=4)
