"""The reserved cache holds what transformers' own holds, and copies as little as it can."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import DynamicCache

from course_utils.models import prefix, static_cache

pytestmark = pytest.mark.usefixtures("one_thread")


def states(rows, tokens, seed=0):
    return torch.randn(2, rows, 2, tokens, 4, generator=torch.Generator().manual_seed(seed))


def test_tokens_stand_where_the_library_puts_them():
    ours, theirs = static_cache.ReservedLayer(9), DynamicCache()
    for number, tokens in enumerate((5, 1, 3)):
        keys, values = states(3, tokens, number)
        expected = theirs.update(keys, values, 0)
        found = ours.update(keys, values)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert ours.get_seq_length() == theirs.get_seq_length()
        assert ours.get_mask_sizes(1) == theirs.get_mask_sizes(1, 0)


def test_a_token_is_written_without_moving_the_others():
    layer = static_cache.ReservedLayer(9)
    before, _ = layer.update(*states(3, 5))
    after, _ = layer.update(*states(3, 1))
    assert before.data_ptr() == after.data_ptr()


@pytest.mark.parametrize("kept", [[0, 1, 2, 3], [1, 3], [3, 1, 2], [0], [3, 2, 1, 0]])
def test_rows_are_selected_as_an_index_selects_them(kept):
    layer, indices = static_cache.ReservedLayer(9), torch.tensor(kept)
    keys, values = (tensor.clone() for tensor in layer.update(*states(4, 5)))
    layer.batch_select_indices(indices)
    more = states(len(kept), 1, 1)
    found = layer.update(*more)
    for tensor, first, then in zip(found, (keys, values), more, strict=True):
        assert torch.equal(tensor, torch.cat([first[indices], then], dim=-2))


def test_one_token_too_many_is_refused():
    layer = static_cache.ReservedLayer(5)
    layer.update(*states(1, 5))
    with pytest.raises(ValueError, match="reserved for 5 tokens a row and now needs 6"):
        layer.update(*states(1, 1))


@pytest.mark.parametrize("ended", ["1000", "0001", "0110", "1110", "0111", "1010", "1100"])
def test_rows_that_ended_are_replaced_by_the_last_ones(ended):
    ended = torch.tensor([letter == "1" for letter in ended])
    kept = static_cache.without(ended)
    assert sorted(kept.tolist()) == (~ended).nonzero()[:, 0].tolist()
    moved = sum(row != place for place, row in enumerate(kept.tolist()))
    assert moved == int(ended[: len(kept)].sum())


def test_a_shared_prefix_stands_in_front_of_every_row(tiny_model):
    known = prefix.read_prefix(tiny_model, [2, 5, 6])
    cache = static_cache.reserve(tiny_model, 4, 10, known)
    assert cache.get_seq_length() == 3
    for layer, shared in zip(cache.layers, known.cache.layers, strict=True):
        assert torch.equal(layer.keys[:, :, :3], shared.keys.expand(4, -1, -1, -1))
        layer.update(*(tensor.new_zeros(4, *tensor.shape[1:]) for tensor in (shared.keys, shared.values)))
    assert known.cache.get_seq_length() == 3


def test_the_cache_goes_by_the_name_that_the_trunk_gives_it():
    class Older(torch.nn.Module):
        def forward(self, input_ids=None, past_key_values=None): ...

    class Newer(torch.nn.Module):
        def forward(self, input_ids=None, cache=None): ...

    named = {kind: static_cache.passed(SimpleNamespace(base_model=kind()), 7) for kind in (Older, Newer)}
    assert named == {Older: {"past_key_values": 7, "use_cache": True}, Newer: {"cache": 7, "use_cache": True}}


def test_no_other_module_names_the_cache():
    package = Path(static_cache.__file__).parents[1]
    modules = {path.name for path in package.rglob("*.py") if static_cache.OLDER_NAME in path.read_text("utf-8")}
    assert modules == {"static_cache.py"}
