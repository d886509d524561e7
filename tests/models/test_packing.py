"""Packed rows get exactly what they would get alone, in value and in gradient."""

import pytest
import torch
import transformers

from course_utils.models import packing, row_attention
from course_utils.models.logprobs import linear_cross_entropy, next_token_targets


def padded_hidden(model, ids, real):
    trunk = model.get_base_model() if hasattr(model, "get_base_model") else model
    return trunk.model(input_ids=ids, attention_mask=real.long(), use_cache=False).last_hidden_state[real]


def gradients(model):
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("adapter", [True, False], ids=["adapter", "full tuning"])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("row_attention", [True, False], ids=["within rows", "library mask"])
def test_packing_changes_neither_hidden_states_nor_gradients(
    small_gemma, padded_batch, adapter, key_heads, row_attention
):
    ids, real, answer = padded_batch
    model = small_gemma(adapter=adapter, key_heads=key_heads)
    targets = next_token_targets(ids, answer)[real]
    head = model.get_output_embeddings().weight
    results = []
    for packed in (False, True):
        if packed and row_attention:
            packing.use_row_attention(model)
        hidden = (packing.packed_hidden if packed else padded_hidden)(model, ids, real)
        linear_cross_entropy(hidden, head, targets, chunk_size=5).backward()
        results.append((hidden.detach(), gradients(model)))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-4, atol=1e-5)
    assert results[0][1].keys() == results[1][1].keys()
    for name, expected in results[0][1].items():
        torch.testing.assert_close(
            results[1][1][name], expected, rtol=1e-4, atol=2e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_left_padding_gives_the_same(small_gemma, padded_batch):
    ids, real, _ = padded_batch
    model = small_gemma()
    flipped = [
        torch.stack([row.roll(14 - int(n), 0) for row, n in zip(t, real.sum(1), strict=True)]) for t in (ids, real)
    ]
    torch.testing.assert_close(packing.packed_hidden(model, *flipped), packing.packed_hidden(model, ids, real))


def test_a_row_cannot_see_another(small_gemma, padded_batch):
    ids, real, _ = padded_batch
    model = small_gemma()
    packing.use_row_attention(model)
    before = packing.packed_hidden(model, ids, real)
    changed = ids.clone()
    changed[0, :9] = 7
    after = packing.packed_hidden(model, changed, real)
    assert not torch.equal(after[:9], before[:9])
    assert torch.equal(after[9:], before[9:])


def test_a_row_beyond_the_sliding_window_is_left_to_the_library(small_gemma):
    """Window 24: within rows alone, a row of 40 tokens would see too far back."""
    model = small_gemma()
    ids = torch.randint(4, 211, (2, 40), generator=torch.Generator().manual_seed(2))
    real = torch.ones_like(ids, dtype=torch.bool)
    expected = padded_hidden(model, ids, real)
    packing.use_row_attention(model)
    torch.testing.assert_close(packing.packed_hidden(model, ids, real), expected, rtol=1e-4, atol=1e-5)


def test_batches_that_are_not_packed_go_through_sdpa(small_gemma, padded_batch):
    ids, real, _ = padded_batch
    model = small_gemma()
    expected = padded_hidden(model, ids, real)
    packing.use_row_attention(model)
    assert torch.equal(padded_hidden(model, ids, real), expected)
    generated = model.generate(ids[:1, :5], max_new_tokens=4, do_sample=False, attention_mask=real[:1, :5].long())
    assert generated.shape == (1, 9)


def test_activation_checkpointing_changes_nothing(small_gemma, padded_batch):
    ids, real, answer = padded_batch
    model = small_gemma()
    packing.use_row_attention(model)
    targets, head, results = next_token_targets(ids, answer)[real], model.get_output_embeddings().weight, []
    for _ in range(2):
        linear_cross_entropy(packing.packed_hidden(model, ids, real), head, targets, chunk_size=5).backward()
        results.append(gradients(model))
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for name, expected in results[0].items():
        assert torch.equal(results[1][name], expected), name


@pytest.mark.parametrize("library", [packing._attend_by_library, packing._attend_padded])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_by_hand_and_by_library_agree(dtype, library):
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(12, heads, 8, generator=generator).to(dtype) for heads in (4, 2, 2)]
    by_hand = row_attention.RowAttention.apply(*tensors, (5, 1, 6), 0, 0.3)
    by_library = library(*tensors, (5, 1, 6), 0.3)
    torch.testing.assert_close(by_hand, by_library, rtol=2e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-2)


def test_a_gpu_gets_one_call_for_all_rows_and_a_cpu_one_for_each(monkeypatch):
    calls = []
    monkeypatch.setattr(
        packing, "_attend_padded", lambda query, key, value, lengths, scaling: calls.append(lengths) or query
    )
    for device in ("cpu", "meta"):
        packing._attend_by_library(*(torch.zeros(6, heads, 8, device=device) for heads in (4, 2, 2)), (2, 3, 1), 0.3)
    assert calls == [(2,), (3,), (1,), (2, 3, 1)]


def test_padded_rows_teach_what_single_ones_do_also_when_first_read_without_gradients():
    tensors = [torch.randn(6, heads, 8) for heads in (4, 2, 2)]
    with torch.inference_mode():
        packing._attend_padded(*tensors, (2, 3, 1), 0.3)
    alone = [tensor.clone().requires_grad_() for tensor in tensors]
    packed = [tensor.clone().requires_grad_() for tensor in tensors]
    packing._attend_padded(*packed, (2, 3, 1), 0.3).square().sum().backward()
    row_attention.RowAttention.apply(*alone, (2, 3, 1), 0, 0.3).square().sum().backward()
    for ours, theirs in zip(packed, alone, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_mask_of_zeros_and_ones_is_refused(small_gemma, padded_batch):
    ids, real, _ = padded_batch
    with pytest.raises(ValueError, match="Expected a bool mask"):
        packing.packed_hidden(small_gemma(), ids, real.long())


@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("masked", [True, False])
def test_a_single_new_token_sees_what_the_library_shows_it(key_heads, masked):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(3, 4, 1, 8, generator=generator)
    key, value = torch.randn(2, 3, key_heads, 7, 8, generator=generator)
    mask = (torch.arange(7) >= torch.tensor([0, 2, 5])[:, None])[:, None, None] if masked else None
    found, _ = packing.attend_within_rows(None, query, key, value, mask, scaling=0.3)
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=0.3, enable_gqa=True
    )
    torch.testing.assert_close(found, expected.transpose(1, 2), rtol=1e-5, atol=1e-6)


def test_the_decoded_text_is_the_librarys(small_gemma):
    """Past the sliding window of 24 tokens, too."""
    model, ids = small_gemma(), torch.randint(4, 211, (1, 20), generator=torch.Generator().manual_seed(2))
    how = {"max_new_tokens": 12, "do_sample": False, "attention_mask": torch.ones_like(ids)}
    expected = model.generate(ids, **how)
    packing.use_row_attention(model)
    assert torch.equal(model.generate(ids, **how), expected)


@pytest.mark.parametrize("adapter", [True, False], ids=["adapter", "full tuning"])
@pytest.mark.parametrize("key_heads", [1, 2])
def test_what_all_rows_begin_with_is_read_once_and_changes_nothing(
    small_gemma, padded_batch, adapter, key_heads, monkeypatch
):
    ids, real, answer = padded_batch
    ids = ids.clone()
    ids[:, :2] = ids[0, :2]
    shared, model = packing.shared_length(ids, real), small_gemma(adapter=adapter, key_heads=key_heads)
    assert shared == 2
    targets = next_token_targets(ids, answer)[real]
    head, results, attend = model.get_output_embeddings().weight, [], packing.attend_within_rows
    read = []
    monkeypatch.setattr(
        packing, "attend_within_rows", lambda *given, **how: read.append(given[1].shape[2]) or attend(*given, **how)
    )
    for packed in (False, True):
        if packed:
            packing.use_row_attention(model)
        hidden = (packing.packed_hidden if packed else padded_hidden)(model, ids, real)
        linear_cross_entropy(hidden, head, targets, chunk_size=5).backward()
        results.append((hidden.detach(), gradients(model)))
    assert set(read) == {int(real.sum()) - shared * (len(ids) - 1)}
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-4, atol=1e-5)
    for name, expected in results[0][1].items():
        torch.testing.assert_close(
            results[1][1][name], expected, rtol=1e-4, atol=2e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["123", "124", "12"], 1),
        (["123", "123"], 2),
        (["1", "12"], 0),
        (["123", "223"], 0),
        (["123"], 0),
        ([".12", "112"], 0),
        (["1234", "1254", "1236"], 2),
    ],
)
def test_every_row_keeps_a_token_of_its_own(rows, expected):
    """A point is a pad."""
    longest = max(map(len, rows))
    letters = [row.ljust(longest, ".") for row in rows]
    ids = torch.tensor([[int(letter.replace(".", "0")) for letter in row] for row in letters])
    assert packing.shared_length(ids, ids != 0) == expected


def test_rows_beyond_the_sliding_window_share_nothing(small_gemma):
    model = small_gemma()
    ids = torch.randint(4, 211, (1, 40), generator=torch.Generator().manual_seed(2)).repeat(2, 1)
    ids[1, -1] += 1
    real = torch.ones_like(ids, dtype=torch.bool)
    expected = padded_hidden(model, ids, real)
    packing.use_row_attention(model)
    torch.testing.assert_close(packing.packed_hidden(model, ids, real), expected, rtol=1e-4, atol=1e-5)


def test_no_row_and_a_row_without_a_token_are_refused(tiny_model):
    with pytest.raises(ValueError, match="Expected at least one row, got none to read"):
        packing.packed_hidden(tiny_model, torch.zeros(0, 4, dtype=torch.long), torch.zeros(0, 4, dtype=torch.bool))
    mask = torch.tensor([[True, True], [False, False]])
    with pytest.raises(ValueError, match=r"1 of 2 rows have no token \(rows \[1\]\)"):
        packing.packed_hidden(tiny_model, torch.ones(2, 2, dtype=torch.long), mask)


@pytest.mark.parametrize("kind", ["Lfm2Config", "MambaConfig", "Qwen3NextConfig"])
def test_rows_whose_layers_carry_a_state_are_not_packed(kind):
    model, ids, mask = stateful(kind)
    assert packing.rows_apart(model)
    together = packing.packed_hidden(model, ids, mask)
    alone = [
        model.base_model(row[real][None], use_cache=False).last_hidden_state[0]
        for row, real in zip(ids, mask, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


def stateful(kind):
    """(model, token ids, mask) of two layers, one of which carries a state from token to token."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "pad_token_id": 0}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2, "initializer_range": 0.5}
    if kind != "MambaConfig":
        carries = {"Lfm2Config": "conv", "Qwen3NextConfig": "linear_attention"}[kind]
        sizes |= {"layer_types": [carries, "full_attention"]}
    if kind == "Qwen3NextConfig":
        sizes |= {"head_dim": 16, "linear_num_value_heads": 2, "linear_num_key_heads": 2, "linear_key_head_dim": 16}
        sizes |= {"linear_value_head_dim": 16, "num_experts": 2, "num_experts_per_tok": 1}
        sizes |= {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**sizes)).eval()
    mask = torch.arange(5) < torch.tensor([[5], [3]])
    return model, torch.randint(1, 50, (2, 5)) * mask, mask


def test_a_model_that_packing_changes_is_noted():
    model = stateful("Lfm2Config")[0]
    model._rows_apart = False  # as though its name told nothing
    packing.note_rows(model, torch.tensor([[1, 3, 2], [1, 2, 4]]))
    assert packing.rows_apart(model)
