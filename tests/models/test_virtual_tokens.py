"""Virtual tokens before padded, packed and generated rows."""

from types import SimpleNamespace

import pytest
import torch
from helpers import two_layer_gemma as small
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model

from course_utils.models import packing, row_attention, static_cache, virtual_tokens
from course_utils.models.logprobs import linear_cross_entropy, next_token_targets

KINDS = ("embeddings", "cache")
CONFIGS = {"embeddings": PromptTuningConfig, "cache": PrefixTuningConfig}


@pytest.fixture(autouse=True)
def quick(one_thread):
    """Tensors this small are slower on two threads."""


def tuned(kind, *, window=24, key_heads=2, k=3):
    """(model, what is learned, hooks)."""
    model = small.build(key_heads=key_heads, window=window).requires_grad_(False)
    generator = torch.Generator().manual_seed(5)
    shape = (k, 32) if kind == "embeddings" else (2, 2, key_heads, k, 16)
    learned = torch.randn(shape, generator=generator).requires_grad_()
    put = virtual_tokens.before_embeddings if kind == "embeddings" else virtual_tokens.before_cache
    return model, learned, put(model, lambda: learned)


def adapted(kind, **sizes):
    """The same model inside peft's adapter."""
    torch.manual_seed(1)
    heads = {"token_dim": 16 * sizes.get("key_heads", 1), "num_attention_heads": sizes.get("key_heads", 1)}
    config = CONFIGS[kind](task_type="CAUSAL_LM", num_virtual_tokens=3, **(heads if kind == "cache" else {}))
    return get_peft_model(small.build(**sizes), config).eval()


def batch(rows, beginning):
    """Rows that begin alike."""
    ids, real, answer = small.batch()
    ids[:, :beginning] = torch.arange(4, 4 + beginning)
    return ids[:rows], real[:rows], answer[:rows]


def loss_of(model, ids, real, answer, *, packed):
    if packed:
        hidden = packing.packed_hidden(model, ids, real)
    else:
        output = model(input_ids=ids, attention_mask=real.long(), output_hidden_states=True)
        hidden = output.hidden_states[-1][:, -ids.shape[1] :][real]
    targets = next_token_targets(ids, answer)[real]
    return linear_cross_entropy(hidden, model.get_output_embeddings().weight, targets, chunk_size=5), hidden.detach()


@pytest.mark.parametrize("row_attention", [True, False], ids=["within rows", "library mask"])
@pytest.mark.parametrize("window", [24, 7], ids=["wide window", "narrow window"])
@pytest.mark.parametrize(("rows", "beginning"), [(4, 2), (4, 0), (1, 0)], ids=["shared", "unlike", "one row"])
@pytest.mark.parametrize("kind", KINDS)
def test_packed_rows_of_a_peft_model_get_what_padded_rows_get(kind, row_attention, window, rows, beginning):
    results = []
    for packed in (False, True):
        model = adapted(kind, key_heads=2, window=window)
        if packed and row_attention:
            packing.use_row_attention(model)
        loss, hidden = loss_of(model, *batch(rows, beginning), packed=packed)
        loss.backward()
        results.append((hidden, [weight.grad for weight in model.parameters() if weight.requires_grad]))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(results[1][1], results[0][1], rtol=1e-4, atol=2e-6)
    assert results[0][1][0].abs().sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_with_the_adapter_off_the_base_answers(kind):
    model = adapted(kind)
    packing.use_row_attention(model)
    ids, real, _ = batch(4, 2)
    expected = packing.packed_hidden(small.build(), ids, real)
    with model.disable_adapter():
        torch.testing.assert_close(packing.packed_hidden(model, ids, real), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(packing.packed_hidden(model, ids, real), expected, atol=1e-2)


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
    ids, real, _ = small.batch()

    def logits(model):
        return model(input_ids=ids, attention_mask=real.long()).logits

    changed, expected = logits(model), logits(small.build(key_heads=2))
    assert changed.shape == expected.shape and not torch.allclose(changed, expected, atol=1e-2)
    hooks.remove()
    hooks.remove()
    assert torch.equal(logits(model), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_under_autocast_the_loss_is_nearly_the_same(kind):
    model = adapted(kind)
    packing.use_row_attention(model)
    expected = loss_of(model, *batch(4, 2), packed=True)[0]
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model, *batch(4, 2), packed=True)[0]
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=5e-2)
    assert all(weight.grad.abs().sum() > 0 for weight in model.parameters() if weight.requires_grad)


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_trunk_may_call_its_cache_as_it_likes(kind, name):
    """transformers 5.24 renamed it: what stands under the other name is not read, and the prefix would be lost."""
    ids, real, _ = small.batch()
    model, learned, hooks = tuned(kind)
    expected = model.base_model(input_ids=ids, attention_mask=real.long()).last_hidden_state
    hooks.remove()
    inner = model.base_model

    def call(given, **others):
        return inner(**others, **{static_cache.name_in(inner): given})

    class Trunk(torch.nn.Module):
        dtype, get_input_embeddings = inner.dtype, staticmethod(inner.get_input_embeddings)
        if name == "cache":
            forward = lambda self, cache=None, **others: call(cache, **others)  # noqa: E731
        else:
            forward = lambda self, past_key_values=None, **others: call(past_key_values, **others)  # noqa: E731

    holder = SimpleNamespace(base_model=Trunk())
    put = virtual_tokens.before_embeddings if kind == "embeddings" else virtual_tokens.before_cache
    put(holder, lambda: learned)
    given = {"input_ids": ids, "attention_mask": real.long(), name: None}  # as the model around the trunk hands it on
    assert torch.equal(holder.base_model(**given).last_hidden_state, expected)
    started = torch.equal(holder.base_model(**given | {name: one_token_read(inner)}).last_hidden_state, expected)
    assert not started, "a row that goes on from a cache has its virtual tokens there"


def one_token_read(trunk):
    return trunk(torch.full((4, 1), 2), use_cache=True)[static_cache.name_in(trunk)]


def test_in_front_by_hand():
    rows = torch.tensor([[10, 11], [20, 21]])
    assert virtual_tokens.in_front(torch.tensor([1, 2]), rows).tolist() == [[1, 2, 10, 11], [1, 2, 20, 21]]


def test_what_hooks_cannot_serve_is_refused():
    model, _, _ = tuned("embeddings")
    ids, real, _ = small.batch()
    with pytest.raises(ValueError, match="before a hand-made attention mask"):
        model.model(input_ids=torch.ones(1, 2, dtype=torch.long), attention_mask={"full_attention": None})
    with pytest.raises(ValueError, match="from a peft model alone"):
        packing.packed_hidden(model, ids, real)


@pytest.mark.parametrize("shared", [0, 2], ids=["one row", "rows behind a shared one"])
def test_attention_behind_a_prefix_passes_gradcheck(shared):
    generator = torch.Generator().manual_seed(0)
    # 2 + 3 tokens, the first two shared by the others or all of one row, behind three learned keys
    shapes = [(5, 4, 3), (8, 2, 3), (8, 2, 3)]
    tensors = [torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in shapes]
    lengths = (2, 2, 1) if shared else (5,)
    assert torch.autograd.gradcheck(lambda *t: row_attention.RowAttention.apply(*t, lengths, shared, 0.7), tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_padded_on_the_left_get_what_they_get_alone(kind):
    """peft's own forward pass does not: it counts the pads between virtual and real tokens."""
    model, _, _ = tuned(kind, window=64)
    row = torch.tensor([[2, 17, 35, 99, 41]])
    padded, mask = (torch.cat([torch.zeros(1, 6, dtype=torch.long), part], 1) for part in (row, torch.ones_like(row)))
    expected = model(input_ids=row).logits
    torch.testing.assert_close(model(input_ids=padded, attention_mask=mask).logits[:, 6:], expected)
    embeds = model.get_input_embeddings()(padded)
    torch.testing.assert_close(model(inputs_embeds=embeds, attention_mask=mask).logits[:, 6:], expected)
    first = model(input_ids=padded[:, :9], attention_mask=mask[:, :9], use_cache=True)  # and on from a cache
    rest = model(input_ids=padded[:, 9:], attention_mask=mask, past_key_values=first.past_key_values)
    torch.testing.assert_close(rest.logits, expected[:, 3:])


def test_pefts_own_pass_counts_the_pads():
    model = adapted("embeddings", window=64)
    torch.nn.init.normal_(model.prompt_encoder["default"].embedding.weight)
    row = torch.tensor([[2, 17, 35, 99, 41]])
    padded, mask = (torch.cat([torch.zeros(1, 6, dtype=torch.long), part], 1) for part in (row, torch.ones_like(row)))
    theirs, alone = model(input_ids=padded, attention_mask=mask).logits[:, -5:], model(input_ids=row).logits[:, -5:]
    assert (theirs - alone).abs().max() > 0.1, "else the docstring is out of date"
    ours = packing.packed_hidden(model, padded, mask.bool())
    torch.testing.assert_close(model.get_base_model().lm_head(ours), alone[0], rtol=1e-4, atol=1e-5)
