import pytest
import torch
from helpers import two_layer_gemma as small

from course_utils.adapters import prompt_tuning, weights


def test_started_from_a_text_it_is_that_text(base, logits):
    text = [2, 17, 35]
    ids, real, _ = small.batch()
    whole = torch.cat([torch.tensor(text).expand(4, -1), ids], dim=1)
    mask = torch.cat([torch.ones(4, 3, dtype=torch.bool), real], dim=1)
    expected = base(input_ids=whole, attention_mask=mask.long()).logits[:, 3:][real]
    torch.testing.assert_close(logits(prompt_tuning.inject(base, tokens=3, text_ids=text)), expected)


def test_a_text_is_repeated_or_cut(base):
    table = base.get_input_embeddings()
    found = prompt_tuning.start(base, 5, [7, 8, 9])
    assert torch.equal(found, table(torch.tensor([7, 8, 9, 7, 8])))
    assert torch.equal(prompt_tuning.start(base, 2, [7, 8, 9]), found[:2])


def test_without_a_text_it_starts_from_words(base):
    torch.manual_seed(1)
    vectors = prompt_tuning.inject(base, tokens=6).virtual_tokens()
    ids, cosines = prompt_tuning.nearest_words(base, vectors)
    torch.testing.assert_close(cosines, torch.ones(6))
    torch.testing.assert_close(base.get_input_embeddings()(ids), vectors)
    assert len(set(ids.tolist())) > 1


def test_remove_restores_the_base(ours, logits):
    model = ours("prompt", {"tokens": 4})
    assert not torch.allclose(logits(model), logits(small.build().eval()), atol=1e-2)
    with pytest.raises(ValueError, match="already has a soft prompt"):
        prompt_tuning.inject(model)
    prompt_tuning.remove(model)
    assert torch.equal(logits(model), logits(small.build().eval()))
    assert model.state_dict().keys() == small.build().state_dict().keys()
    prompt_tuning.remove(model)  # nothing there: nothing to do


def test_nothing_but_the_vectors_is_trained(ours, logits):
    model = ours("prompt", {"tokens": 4})
    assert weights.count(model) == 4 * 32
    logits(model).sum().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is not None] == [
        "virtual_tokens.embedding.weight"
    ]


@pytest.mark.parametrize("wrong", [{"tokens": 0}, {"text_ids": []}])
def test_no_room_and_no_text_are_refused(base, wrong):
    with pytest.raises(ValueError, match="at least one virtual token"):
        prompt_tuning.inject(base, **wrong)
