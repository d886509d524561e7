"""Packed behind a shared prefix, a question reads exactly as it does alone."""

import pytest
import torch
import transformers
from helpers import attention_models
from helpers.attention_models import token_lists
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.models import prefix

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=["gemma", "llama", "mistral", "qwen"])
def model(request):
    """A model of another make each time, whose sliding window, if any, is shorter than the prefixes below."""
    return attention_models.model(request.param)


def alone(model, tokens, query):
    """The last hidden state of the whole text, read without cache, mask or packing."""
    with torch.inference_mode():
        return model.base_model(torch.tensor([tokens + query]), use_cache=False).last_hidden_state[0, -1]


def assert_as_alone(model, tokens, queries, **how):
    states = prefix.final_hidden(model, prefix.read_prefix(model, tokens), queries, **how)
    expected = torch.stack([alone(model, tokens, query) for query in queries])
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("prefix_tokens", [1, 16, 60])
def test_packed_equals_alone(model, prefix_tokens):
    (tokens,) = token_lists([prefix_tokens], seed=1)
    assert_as_alone(model, tokens, token_lists([5, 1, 30, 12, 20, 3, 40, 7, 2]))


@pytest.mark.parametrize("prefix_tokens", [3, 64, 100])
def test_packed_equals_alone_for_the_converted_model(tiny_model, prefix_tokens):
    assert tiny_model.config.sliding_window == 64 and "sliding_attention" in tiny_model.config.layer_types
    (tokens,) = token_lists([prefix_tokens], seed=2, vocabulary=366)
    assert_as_alone(tiny_model, tokens, token_lists([9, 70, 1, 25, 40], vocabulary=366))


def test_a_query_longer_than_a_packed_row(model):
    (tokens,) = token_lists([40], seed=3)
    assert_as_alone(model, tokens, token_lists([4, prefix.PACKED_ROW + 30, 11, 250]))


@pytest.mark.parametrize("batch_rows", [1, 3])
def test_several_rows_at_a_time(model, monkeypatch, batch_rows):
    monkeypatch.setattr(prefix, "PACKED_ROW", 16)
    (tokens,) = token_lists([33], seed=4)
    assert_as_alone(model, tokens, token_lists([5, 12, 7, 3, 16, 2, 9, 6]), batch_rows=batch_rows)


def test_the_order_of_the_queries_is_kept(model):
    (tokens,) = token_lists([20], seed=5)
    queries = token_lists([8, 2, 5, 11, 2, 8])
    read = prefix.read_prefix(model, tokens)
    forth, back = prefix.final_hidden(model, read, queries), prefix.final_hidden(model, read, queries[::-1])
    torch.testing.assert_close(back.flip(0), forth, atol=1e-5, rtol=1e-5)


def test_a_prefix_is_not_changed_by_use(model):
    (tokens,) = token_lists([20], seed=6)
    queries = token_lists([8, 2, 5])
    read = prefix.read_prefix(model, tokens)
    before = [(layer.keys.clone(), layer.values.clone()) for layer in read.cache.layers]
    first, again = (prefix.final_hidden(model, read, queries) for _ in range(2))
    assert torch.equal(first, again)
    for layer, (keys, values) in zip(read.cache.layers, before, strict=True):
        assert torch.equal(layer.keys, keys) and torch.equal(layer.values, values)


def test_label_logprobs_are_those_of_the_label_words_alone(model):
    (tokens,) = token_lists([20], seed=7)
    queries, labels = token_lists([8, 2, 5]), [11, 4, 50]
    came = prefix.label_logprobs(model, prefix.read_prefix(model, tokens), queries, labels)
    with torch.inference_mode():
        rows = [model(torch.tensor([tokens + query])).logits[0, -1] for query in queries]
    expected = torch.stack([row[labels].log_softmax(-1) for row in rows])
    torch.testing.assert_close(came, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(came.exp().sum(1), torch.ones(3))
    assert came.dtype == torch.float32


def test_what_cannot_be_read_is_refused(tiny_model):
    with pytest.raises(ValueError, match="at least the <bos> token"):
        prefix.read_prefix(tiny_model, [])
    read = prefix.read_prefix(tiny_model, [2])
    with pytest.raises(ValueError, match=r"2 of 3 queries have no token \(rows \[0, 2\]\)"):
        prefix.final_hidden(tiny_model, read, [[], [5], []])
    assert prefix.final_hidden(tiny_model, read, []).shape == (0, tiny_model.config.hidden_size)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 60))
def test_packing_loses_nothing_and_fills_rows(lengths, row_tokens):
    queries = token_lists(lengths)
    rows = prefix.pack(queries, row_tokens)
    assert sorted(index for row in rows for index in row) == list(range(len(queries)))
    assert all(row for row in rows)
    assert all(len(row) == 1 or sum(lengths[index] for index in row) <= row_tokens for row in rows)
    tokens, owner, offset = prefix.lay_out(queries, rows)
    assert (owner != prefix.NOBODY).sum() == sum(lengths)
    for index, query in enumerate(queries):
        assert tokens[owner == index].tolist() == query
        assert offset[owner == index].tolist() == list(range(len(query)))


def test_visible_by_hand():
    _, owner, offset = prefix.lay_out([[5, 6], [7]], [[0, 1]])
    seen = prefix.visible(2, owner, offset)[0, 0].int().tolist()
    assert seen == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 1]]
    near = prefix.visible(2, owner, offset, window=2)[0, 0].int().tolist()
    assert near == [[0, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 1, 0, 0, 1]]


def test_a_model_that_carries_a_state_is_refused():
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.MambaConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1)
    )
    with pytest.raises(ValueError, match="MambaForCausalLM carries a state from token to token"):
        prefix.read_prefix(model, [1, 2])
