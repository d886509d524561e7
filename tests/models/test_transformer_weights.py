"""The weights that Gemma 3's files hold, all of them and no others; first weights; the real model once."""

import json
import math

import pytest
import torch
from helpers import own_transformer as own
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from course_utils.models import base, kv_cache, transformer_weights
from course_utils.models.transformer import Transformer, TransformerConfig


@pytest.fixture
def folder(tmp_path):
    """A small Gemma 3 in files."""
    own.library_model().save_pretrained(tmp_path)
    return tmp_path


def test_the_real_weights_give_the_real_logits():
    """A ragged batch, one row longer than the window of 512, in fp32: the last logits, with and without a cache."""
    folder, kept = base.prepare(), 12
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(1000, 200_000, (length,), generator=generator).tolist() for length in (519, 31)]
    tokens, real = kv_cache.pad_left([[2, *row] for row in rows])
    library = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        expected = own.library_logits(library, tokens, real, last=kept)
        del library
        ours = transformer_weights.load(folder)
        assert sum(weight.numel() for weight in ours.parameters()) == 268_098_176
        whole = ours.logits(ours.hidden(tokens, real)[:, -kept:])
        cache = kv_cache.KeyValueCache(ours.config)
        parts = [ours.hidden(tokens[:, part], real[:, part], cache) for part in (slice(0, -1), slice(-1, None))]
        cached = ours.logits(torch.cat(parts, dim=1)[:, -kept:])
    assert own.difference(whole[real[:, -kept:]], expected) <= 1e-4
    assert own.difference(cached[real[:, -kept:]], expected) <= 1e-4
    assert cache.bytes == kv_cache.cache_bytes(ours.config, 520, rows=2, dtype=torch.float32)


def test_the_real_weights_learn_alike():
    """The gradient of every weight of the real model, in fp32."""
    folder = base.prepare()
    tokens = torch.randint(1000, 200_000, (1, 24), generator=torch.Generator().manual_seed(1))
    library = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.nn.functional.cross_entropy(library(tokens).logits[0, :-1], tokens[0, 1:]).backward()
    expected = {name.removeprefix("model."): weight.grad for name, weight in library.named_parameters()}
    del library
    ours = transformer_weights.load(folder)
    torch.nn.functional.cross_entropy(ours(tokens)[0, :-1], tokens[0, 1:]).backward()
    found = {name: weight.grad for name, weight in ours.named_parameters()}
    assert found.keys() == expected.keys()
    off = {name: ((found[name] - expected[name]).abs().max() / expected[name].abs().max()).item() for name in found}
    assert max(off.values()) <= 1e-4, max(off, key=off.get)


def test_sizes_are_read_from_the_configuration(folder):
    assert transformer_weights.read_config(folder) == TransformerConfig(
        vocabulary=97, width=32, layers=6, heads=4, key_value_heads=2, head_width=16, mlp_width=48, window=8,
        global_every=3, local_base=10_000.0, global_base=1_000_000.0, context=256, epsilon=1e-6,
    )  # fmt: skip


def test_the_bases_of_the_positions_are_read_and_not_assumed(folder):
    edit(folder, rope_parameters={"sliding_attention": {"rope_theta": 500}, "full_attention": {"rope_theta": 9000.0}})
    config = transformer_weights.read_config(folder)
    assert (config.local_base, config.global_base) == (500, 9000.0)


def edit(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "llama", "hidden_activation": "silu"}, "model_type = 'llama', hidden_activation = 'silu'"),
        ({"query_pre_attn_scalar": 256}, "query_pre_attn_scalar = 256"),
        (
            {"layer_types": ["full_attention", "sliding_attention"] * 3},
            "layer_types = .*not Gemma 3 as this code has it",
        ),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping = 30.0"),
        ({"rope_parameters": {"sliding_attention": {"rope_theta": 1e4}}}, "no full_attention"),
    ],
)
def test_a_model_of_other_parts_is_refused(folder, values, message):
    edit(folder, **values)
    with pytest.raises(ValueError, match=message):
        transformer_weights.load(folder)


def test_loading_brings_every_weight_in_the_dtype_asked_for(folder):
    model = transformer_weights.load(folder, dtype=torch.bfloat16)
    file = load_file(folder / "model.safetensors")
    assert not model.training and len(file) == len(list(model.parameters())) == len(model.state_dict())
    for name, weight in model.named_parameters():
        assert torch.equal(weight, file[f"model.{name}"].bfloat16()) and weight.requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("model.norm.weight"), r"the model's 80: 1 missing \(norm.weight\)"),
        (lambda w: [w.pop(name) for name in list(w) if ".5." in name],
         r"13 missing \(layers.5.input_layernorm.weight, .* and 10 more\)"),
        (lambda w: w.update({"lm_head.weight": torch.zeros(97, 32)}), r"1 too many \(lm_head.weight\)"),
        (lambda w: w.update({"model.norm.weight": torch.zeros(31)}),
         r"1 of another shape \(norm.weight \(31,\), expected \(32,\)\)"),
    ],
)  # fmt: skip
def test_missing_surplus_and_misshapen_weights_are_named(folder, change, message):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        transformer_weights.load(folder)


def test_first_weights_guess_among_all_tokens_and_follow_the_seed():
    config = TransformerConfig(context=256)
    model = transformer_weights.initialise(Transformer(config))
    tokens = torch.randint(0, 258, (4, 129), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model(tokens[:, :-1])
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(258), abs=0.1)
    names = [name for name, weight in model.named_parameters() if weight.dim() == 1 and weight.any()]
    assert names == []
    again = transformer_weights.initialise(Transformer(config)).state_dict()
    other = transformer_weights.initialise(Transformer(config), seed=1).state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in model.state_dict().items())
    assert not torch.equal(other["embed_tokens.weight"], again["embed_tokens.weight"])
