"""Virtual tokens before padded, packed and generated rows."""

import pytest
import small_gemma as small
import torch
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model

from course_utils.models import packing, virtual
from course_utils.models.logprobs import linear_cross_entropy, next_token_targets

KINDS = ("embeddings", "cache")


@pytest.fixture(autouse=True)
def quick(one_thread):
    """Tensors this small are slower on two threads."""


def tuned(kind, *, window=24, key_heads=2, k=3):
    """(model, what is learned, hooks)."""
    model = small.build(key_heads=key_heads, window=window).requires_grad_(False)
    generator = torch.Generator().manual_seed(5)
    shape = (k, 32) if kind == "embeddings" else (2, 2, key_heads, k, 16)
    learned = torch.randn(shape, generator=generator).requires_grad_()
    put = virtual.before_embeddings if kind == "embeddings" else virtual.before_cache
    return model, learned, put(model, lambda: learned)


def loss_of(model, packed):
    ids, real, answer = small.batch()
    if packed:
        hidden = packing.packed_hidden(model, ids, real)
    else:
        hidden = model.model(input_ids=ids, attention_mask=real.long(), use_cache=False).last_hidden_state[real]
    targets = next_token_targets(ids, answer)[real]
    return linear_cross_entropy(hidden, model.get_output_embeddings().weight, targets, chunk_size=5), hidden.detach()


@pytest.mark.parametrize("row_attention", [True, False], ids=["within rows", "library mask"])
@pytest.mark.parametrize("window", [24, 7], ids=["wide window", "narrow window"])
@pytest.mark.parametrize("kind", KINDS)
def test_packed_rows_get_what_padded_rows_get(kind, row_attention, window):
    results = []
    for packed in (False, True):
        model, learned, _ = tuned(kind, window=window)
        if packed and row_attention:
            packing.use_row_attention(model)
        loss, hidden = loss_of(model, packed)
        loss.backward()
        results.append((hidden, learned.grad))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(results[1][1], results[0][1], rtol=1e-4, atol=2e-6)
    assert results[0][1].abs().sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_generating_with_a_cache_equals_reading_everything_anew(kind):
    model, _, _ = tuned(kind, window=64)
    model.eval()
    ids = torch.randint(4, 211, (2, 6), generator=torch.Generator().manual_seed(2))
    written = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
    anew = ids
    for _ in range(6):
        anew = torch.cat([anew, model(input_ids=anew).logits[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(written, anew)


@pytest.mark.parametrize("kind", KINDS)
def test_removed_the_model_is_as_before(kind):
    model, _, hooks = tuned(kind)
    changed, expected = loss_of(model, True)[1], loss_of(small.build(key_heads=2), True)[1]
    assert not torch.allclose(changed, expected, atol=1e-2)
    hooks.remove()
    hooks.remove()
    assert torch.equal(loss_of(model, True)[1], expected)


@pytest.mark.parametrize("config", [PromptTuningConfig, PrefixTuningConfig])
def test_a_peft_models_virtual_tokens_are_packed_too(config):
    ids, real, _ = small.batch()
    torch.manual_seed(1)
    model = get_peft_model(small.build(), config(task_type="CAUSAL_LM", num_virtual_tokens=3)).eval()
    expected = model(input_ids=ids, attention_mask=real.long()).logits[:, -ids.shape[1] :][real]
    head = model.get_output_embeddings()
    torch.testing.assert_close(head(packing.packed_hidden(model, ids, real)), expected, rtol=1e-4, atol=1e-5)
    with model.disable_adapter():
        plain = packing.packed_hidden(model, ids, real)
    torch.testing.assert_close(plain, packing.packed_hidden(small.build(), ids, real))


@pytest.mark.parametrize("kind", KINDS)
def test_under_autocast_the_loss_is_nearly_the_same(kind):
    model, learned, _ = tuned(kind)
    packing.use_row_attention(model)
    expected = loss_of(model, True)[0]
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model, True)[0]
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=5e-2) and learned.grad.abs().sum() > 0


def test_order_by_hand():
    assert virtual.order(2, (3, 1)).tolist() == [0, 1, 2, 3, 4, 0, 1, 5]
    rows = torch.tensor([[10, 11, 12, 20]])
    assert virtual.in_front(torch.tensor([1, 2]), rows, (3, 1)).tolist() == [[1, 2, 10, 11, 12, 1, 2, 20]]
    assert virtual.in_front(torch.tensor([1, 2]), rows).tolist() == [[1, 2, 10, 11, 12, 20]]


def test_a_hand_made_mask_is_refused():
    model, _, _ = tuned("embeddings")
    with pytest.raises(ValueError, match="before a hand-made attention mask"):
        model.model(input_ids=torch.ones(1, 2, dtype=torch.long), attention_mask={"full_attention": None})


def test_attention_with_a_shared_prefix_passes_gradcheck():
    generator = torch.Generator().manual_seed(0)
    # rows of 2 and 3 tokens, each behind two shared keys
    shapes = [(5, 4, 3), (9, 2, 3), (9, 2, 3)]
    tensors = [torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in shapes]
    assert torch.autograd.gradcheck(lambda *t: packing._RowAttention.apply(*t, (2, 3), 0.7, 2), tensors)
    by_hand = packing._RowAttention.apply(*tensors, (2, 3), 0.7, 2)
    torch.testing.assert_close(by_hand, packing._attend_by_library(*tensors, (2, 3), 0.7, 2))
