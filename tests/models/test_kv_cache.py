"""The cache holds what is needed and no more; text written with it is what is written without, and transformers'."""

import pytest
import torch
from helpers import own_transformer as own

from course_utils.models import kv_cache
from course_utils.models.kv_cache import KeyValueCache, LayerCache, generate, pad_left


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """(transformers' model, ours) with the same weights. Read only."""
    return own.pair(tmp_path_factory.mktemp("gemma"))


def states(count, start=0):
    """(1, 1, count, 1) of the numbers from start on, as keys and as values."""
    numbers = torch.arange(start, start + count, dtype=torch.float32)[None, None, :, None]
    return numbers, numbers + 100


def held(states):
    return states.flatten().int().tolist()


def test_a_global_layer_keeps_everything():
    cache = LayerCache()
    assert held(cache.append(*states(3))[0]) == [0, 1, 2]
    keys, values = cache.append(*states(1, start=3))
    assert (held(keys), held(values), held(cache.keys)) == ([0, 1, 2, 3], [100, 101, 102, 103], [0, 1, 2, 3])


def test_a_local_layer_keeps_what_the_next_token_can_see():
    cache = LayerCache(window=3)
    assert held(cache.append(*states(5))[0]) == [0, 1, 2, 3, 4]  # the new tokens still see one another
    assert (held(cache.keys), held(cache.values)) == ([3, 4], [103, 104])
    assert held(cache.append(*states(1, start=5))[1]) == [103, 104, 105]
    assert held(cache.keys) == [4, 5]
    assert cache.keys.untyped_storage().nbytes() == cache.keys.nbytes  # the rest is not held on to by a view


def test_a_window_of_one_keeps_nothing():
    cache = LayerCache(window=1)
    cache.append(*states(4))
    assert cache.keys.shape[2] == 0 and held(cache.append(*states(1, start=4))[0]) == [4]


@pytest.mark.parametrize("parts", [[33], [1] * 33, [4, 11, 1, 1, 16], [20, 13]])
def test_read_in_parts_gives_the_logits_of_the_whole(pair, parts):
    _, ours = pair
    tokens, real = pad_left(own.prompts())
    cache = KeyValueCache(ours.config)
    pieces = zip(tokens.split(parts, dim=1), real.split(parts, dim=1), strict=True)
    logits = torch.cat([ours(piece, mask, cache) for piece, mask in pieces], dim=1)
    assert own.difference(logits[real], ours(tokens, real)[real]) <= 1e-5
    assert cache.length == 33


@pytest.mark.parametrize("parts", [[1] * 33, [12, 1, 20]])
def test_read_in_parts_without_documents(pair, parts):
    _, ours = pair
    tokens, cache = torch.tensor(own.prompts((33,))), KeyValueCache(ours.config)
    logits = torch.cat([ours(piece, None, cache) for piece in tokens.split(parts, dim=1)], dim=1)
    assert own.difference(logits, ours(tokens)) <= 1e-5


def test_logits_with_a_cache_equal_transformers_with_its_own(pair):
    library, ours = pair
    tokens, real = pad_left(own.prompts())
    cache, output = KeyValueCache(ours.config), None
    positions = (real.cumsum(dim=1) - 1).clamp(min=0)
    for part in (slice(0, 30), slice(30, 31), slice(31, 32), slice(32, 33)):
        output = library(
            tokens[:, part], attention_mask=real[:, : part.stop].long(), position_ids=positions[:, part],
            past_key_values=output and output.past_key_values, use_cache=True,
        )  # fmt: skip
        found = ours(tokens[:, part], real[:, part], cache)
        assert own.difference(found[real[:, part]], output.logits[real[:, part]]) <= 1e-5


def test_the_bytes_of_a_cache_are_as_computed(pair):
    _, ours = pair
    for length in (1, own.WINDOW - 1, own.WINDOW, 33):
        tokens, cache = torch.tensor(own.prompts((length,) * 2)), KeyValueCache(ours.config)
        assert cache.bytes == 0
        ours.hidden(tokens, None, cache)
        assert cache.bytes == kv_cache.cache_bytes(ours.config, length, rows=2, dtype=torch.float32)
    # 2 global layers of 33 tokens, 4 local ones of 7; keys and values, 2 heads of 16 numbers of 4 bytes; 2 rows
    assert cache.bytes == (2 * 33 + 4 * 7) * 2 * 2 * 16 * 4 * 2
    assert [layer.keys.shape for layer in cache.layers[1:3]] == [(2, 2, 7, 16), (2, 2, 33, 16)]


def test_pads_stand_on_the_left():
    tokens, real = pad_left([[5, 6, 7], [8]])
    assert tokens.tolist() == [[5, 6, 7], [0, 0, 8]] and real.int().tolist() == [[1, 1, 1], [0, 0, 1]]


def test_greedy_text_equals_transformers(pair):
    library, ours = pair
    tokens, real = pad_left(own.prompts())
    expected = library.generate(
        tokens, attention_mask=real.long(), max_new_tokens=20, do_sample=False, eos_token_id=None
    )
    assert generate(ours, own.prompts(), max_new_tokens=20) == expected[:, 33:].tolist()


def test_rows_end_at_their_stop_token(pair):
    _, ours = pair
    free = generate(ours, own.prompts(), max_new_tokens=12)
    stops = {free[0][2], free[1][5]}
    expected = [row[: next((n + 1 for n, token in enumerate(row) if token in stops), 12)] for row in free]
    assert generate(ours, own.prompts(), max_new_tokens=12, stop_tokens=stops) == expected
    assert len(expected[0]) <= 3


def test_the_next_token_is_as_it_is_picked(pair):
    _, ours = pair
    seen = []

    def third(logits):
        seen.append(logits)
        return logits.topk(3).indices[:, 2]

    written = generate(ours, own.prompts(), max_new_tokens=2, pick=third)
    assert [row[0] for row in written] == [
        int(ours(torch.tensor([p]))[0, -1].topk(3).indices[2]) for p in own.prompts()
    ]
    assert seen[0].shape == (3, own.VOCABULARY) and len(seen) == 2


def test_what_cannot_be_continued_is_refused(pair):
    _, ours = pair
    for prompts, lengths in (([], r"\[\]"), ([[4], []], r"\[1, 0\]")):
        with pytest.raises(ValueError, match=f"at least one token.*{lengths}"):
            generate(ours, prompts, max_new_tokens=1)
    with pytest.raises(ValueError, match="this model knows 0 to 96"):
        generate(ours, [[97]], max_new_tokens=1)
    with pytest.raises(ValueError, match="has 250 tokens and 7 shall follow: more than the 256"):
        generate(ours, own.prompts((250,)), max_new_tokens=7, pick=pytest.fail)  # before anything is written


def test_a_cache_refuses_what_does_not_go_on_from_it(pair):
    _, ours = pair
    two, one = torch.tensor(own.prompts((4, 4))), torch.tensor(own.prompts((4,)))
    cache = KeyValueCache(ours.config)
    ours.hidden(two, None, cache)
    with pytest.raises(ValueError, match="holds 2 rows, and 1 go on"):
        ours.hidden(one, None, cache)
    with pytest.raises(ValueError, match="4 tokens without documents, and the new ones come with"):
        ours.hidden(two, torch.ones_like(two), cache)
    assert cache.length == 4
