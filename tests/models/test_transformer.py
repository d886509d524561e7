"""The transformer by hand: equal to transformers' Gemma 3, causal, within its window, inside its documents."""

import math

import pytest
import torch
from helpers import own_transformer as own
from torch.nn import functional as F

from course_utils.models import transformer, transformer_weights
from course_utils.models.kv_cache import pad_left
from course_utils.models.transformer import Transformer, TransformerConfig

SMALL = TransformerConfig(vocabulary=50, width=24, layers=3, heads=4, key_value_heads=2, head_width=8, mlp_width=40,
                          window=6, global_every=3, context=64)  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """(transformers' model, ours) with the same weights. Read only, gradients apart."""
    return own.pair(tmp_path_factory.mktemp("gemma"))


def strong(config=SMALL, seed=0):
    """A transformer of random weights so large that attention is sharp, and a wrong mask changes the logits."""
    model = transformer_weights.initialise(Transformer(config), seed).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    for weight in model.parameters():
        weight.data += 0.3 * torch.randn(weight.shape, generator=generator)
    return model


def text(length, seed=0, config=SMALL):
    return torch.randint(0, config.vocabulary, (1, length), generator=torch.Generator().manual_seed(seed))


# The parts, on numbers to be done again by hand


def test_rms_norm_brings_numbers_to_size_one_and_scales_each():
    norm = transformer.RMSNorm(2, epsilon=0.0)
    x = torch.tensor([[3.0, 4.0]])  # mean square 12.5
    assert norm(x)[0].tolist() == pytest.approx([3 / 12.5**0.5, 4 / 12.5**0.5])
    norm.weight.data = torch.tensor([1.0, -1.0])  # factors 2 and 0
    assert norm(x)[0].tolist() == pytest.approx([6 / 12.5**0.5, 0.0])
    assert norm(torch.zeros(1, 2)).isnan().all()  # 0 / 0, which ε prevents
    assert transformer.RMSNorm(2, epsilon=1e-6)(torch.zeros(1, 2)).tolist() == [[0.0, 0.0]]


def test_rms_norm_computes_in_fp32_whatever_comes_in():
    norm, x = transformer.RMSNorm(512, 1e-6), torch.full((1, 512), 300.0, dtype=torch.float16)  # 300² overflows fp16
    assert norm(x).dtype == torch.float16 and norm(x).unique().tolist() == [1.0]


def test_rotary_angles_turn_the_first_pair_by_one_radian_a_token():
    cos, sin = transformer.rotary_angles(torch.tensor([0, 1, 2]), 4, base=100.0)
    assert cos[:, 0].tolist() == pytest.approx([1.0, math.cos(1), math.cos(2)])
    assert sin[:, 1].tolist() == pytest.approx([0.0, math.sin(0.1), math.sin(0.2)])  # 100^(−2/4) = 0.1


def test_rotate_turns_pairs_and_keeps_lengths():
    quarter = (torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]]))  # by 90° and by 0°
    turned = transformer.rotate(torch.tensor([[[[1.0, 5.0, 2.0, 6.0]]]]), quarter)  # the pairs are (1, 2), (5, 6)
    assert turned.flatten().tolist() == [-2.0, 5.0, 1.0, 6.0]


def test_rotated_products_tell_only_the_distance():
    q, k = torch.randn(2, 1, 1, 1, 16, generator=torch.Generator().manual_seed(0))

    def product(at, other):
        angles = [transformer.rotary_angles(torch.tensor([place]), 16, 10_000.0) for place in (at, other)]
        return float((transformer.rotate(q, angles[0]) * transformer.rotate(k, angles[1])).sum())

    assert product(7, 3) == pytest.approx(product(104, 100), abs=1e-4) != pytest.approx(product(3, 7), abs=1e-2)


def test_visible_keys_are_the_past_within_the_window_and_the_document():
    columns = torch.arange(4)
    assert transformer.visible_keys(columns, columns).tolist() == torch.ones(4, 4).tril().bool().tolist()
    assert transformer.visible_keys(columns, columns, window=2).int().tolist() == [
        [1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1],
    ]  # fmt: skip
    documents = torch.tensor([[1, 1, 2, 2]])
    assert transformer.visible_keys(columns, columns, None, documents, documents)[0, 0].int().tolist() == [
        [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1],
    ]  # fmt: skip


def test_attention_is_the_mean_of_values_where_all_keys_answer_alike():
    q, k = torch.zeros(1, 2, 3, 4), torch.zeros(1, 1, 3, 4)
    v = torch.arange(3.0)[None, None, :, None].expand(1, 1, 3, 4)
    assert transformer.attend(q, k, v)[0, :, :, 0].tolist() == [[0.0, 0.5, 1.0]] * 2  # two heads share one value


# Against transformers


def test_logits_of_a_ragged_batch_equal_transformers(pair):
    library, ours = pair
    tokens, real = pad_left(own.prompts())
    assert own.difference(ours(tokens, real)[real], own.library_logits(library, tokens, real)) <= 1e-5


def test_padding_on_the_right_gives_the_same(pair):
    _, ours = pair
    rows = own.prompts((20, 9))
    tokens, real = (tensor.flip(1) for tensor in pad_left([row[::-1] for row in rows]))
    alone = torch.cat([ours(torch.tensor([row]))[0] for row in rows])
    assert own.difference(ours(tokens, real)[real], alone) <= 1e-5


def test_gradients_of_all_weights_equal_transformers(pair):
    library, ours = pair
    tokens, real = pad_left(own.prompts())
    targets = (tokens[real] * 7 + 1) % own.VOCABULARY
    for model, logits in ((library, own.library_logits(library, tokens, real)), (ours, ours(tokens, real)[real])):
        model.zero_grad()
        F.cross_entropy(logits, targets).backward()
    expected = {name.removeprefix("model."): weight.grad for name, weight in library.named_parameters()}
    found = {name: weight.grad for name, weight in ours.named_parameters()}
    assert expected.keys() == found.keys() and len(found) == 6 * 13 + 2
    wrong = [name for name in found if (found[name] - expected[name]).abs().max() > 1e-4 * expected[name].abs().max()]
    assert wrong == [] and all(grad.abs().max() > 0 for grad in expected.values())


def test_attention_weights_equal_transformers(pair):
    library, ours = pair
    (row,) = own.prompts((20,))
    weights = transformer.attention_weights(ours, row)
    assert weights.shape == (6, 4, 20, 20)
    expected = torch.cat(library(torch.tensor([row]), output_attentions=True).attentions)
    assert torch.allclose(weights, expected, atol=1e-5)
    assert (weights[0, 0] > 0).sum(dim=1).tolist() == [min(t + 1, own.WINDOW) for t in range(20)]
    assert not any(block.self_attn._forward_hooks for block in ours.layers)


# What a decoder promises


@pytest.mark.parametrize("changed", [1, 13, 29])
def test_a_later_token_changes_no_earlier_logit(changed):
    model, tokens = strong(), text(30)
    other = tokens.clone()
    other[0, changed] = (other[0, changed] + 1) % SMALL.vocabulary
    before, after = model(tokens)[0], model(other)[0]
    assert torch.equal(before[:changed], after[:changed])
    assert (before[changed] - after[changed]).abs().max() > 1e-2


@pytest.mark.parametrize("layers", [1, 2])
def test_local_layers_carry_no_further_than_their_windows(layers):
    """A token reaches window − 1 others a layer: through two layers twice as far, and nothing beyond."""
    config = TransformerConfig(**vars(SMALL) | {"layers": layers, "global_every": 9})
    model, tokens = strong(config), text(30)
    other = tokens.clone()
    other[0, 4] = (other[0, 4] + 1) % SMALL.vocabulary
    moved = (model(tokens) - model(other)).abs().amax(dim=-1)[0]
    reach = 4 + layers * (SMALL.window - 1)
    assert torch.equal(moved[reach + 1 :], torch.zeros(29 - reach)) and moved[reach] > 0


def test_a_global_layer_carries_to_the_end():
    model, tokens = strong(), text(30)
    other = tokens.clone()
    other[0, 0] = (other[0, 0] + 1) % SMALL.vocabulary
    assert (model(tokens) - model(other))[0, -1].abs().max() > 1e-4


def test_a_row_of_a_batch_is_what_it_is_alone():
    model = strong()
    rows = [text(length, seed=length)[0].tolist() for length in (3, 17, 30)]
    tokens, real = pad_left(rows)
    logits = model(tokens, real)
    for row, found, kept in zip(rows, logits, real, strict=True):
        assert own.difference(found[kept], model(torch.tensor([row]))[0]) <= 1e-5


def test_what_stands_at_a_pad_changes_nothing():
    model = strong()
    tokens, real = pad_left([text(5)[0].tolist(), text(30)[0].tolist()])
    other = torch.where(real, tokens, 7)
    assert torch.equal(model(tokens, real)[real], model(other, real)[real])


def test_packed_documents_do_not_see_each_other():
    """The trap: positions that start anew would not do it; only the mask keeps documents apart."""
    model, tokens = strong(), text(30)
    documents = torch.tensor([[0] * 11 + [1] * 12 + [2] * 7])
    other = tokens.clone()
    other[0, :11] = text(11, seed=5)
    packed = model(tokens, documents)[0]
    assert torch.equal(model(other, documents)[0, 11:], packed[11:])
    assert (model(other)[0, 11:] - model(tokens)[0, 11:]).abs().max() > 1e-2  # one document: it does see the first
    for part in (slice(0, 11), slice(11, 23), slice(23, 30)):
        assert own.difference(packed[part], model(tokens[:, part])[0]) <= 1e-5


def test_bf16_runs_and_stays_near():
    model, tokens = strong(), text(20)
    exact = model(tokens)
    assert own.difference(model.bfloat16()(tokens).float(), exact) < 0.05


# What goes wrong


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 0}, "Expected layers as int above 0, got 0"),
        ({"width": 64.0}, "Expected width as int above 0, got 64.0"),
        ({"window": None}, "Expected window as int above 0, got None"),
        ({"local_base": math.inf}, "Expected local_base as float above 0, got inf"),
        ({"heads": 4, "key_value_heads": 3}, "4 query heads cannot share 3 key-value heads"),
        ({"head_width": 15}, "head_width must be even, got 15"),
    ],
)
def test_impossible_sizes_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TransformerConfig(**settings)


@pytest.mark.parametrize(
    ("tokens", "documents", "message"),
    [
        (torch.tensor([[0, 50]]), None, r"Token ids reach from 0 to 50, and this model knows 0 to 49"),
        (torch.tensor([[-100, 3]]), None, r"reach from -100 to 3.*targets"),
        (torch.tensor([1, 2]), None, r"Expected token ids \(B, T\) in int64, got \(2,\)"),
        (torch.zeros(1, 2), None, r"got \(1, 2\) in torch.float32"),
        (torch.zeros(1, 0, dtype=torch.int64), None, r"got \(1, 0\)"),
        (torch.zeros(1, 65, dtype=torch.int64), None, "65 tokens a row, and the model's context is 64"),
        (torch.tensor([[1, 2]]), torch.tensor([[1]]), r"a document for each token, \(1, 2\), got \(1, 1\)"),
    ],
)
def test_tokens_that_cannot_be_read_are_refused(tokens, documents, message):
    with pytest.raises(ValueError, match=message):
        Transformer(SMALL)(tokens, documents)
