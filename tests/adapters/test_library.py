"""Ours against peft's with the same weights; saving and loading; what is refused, and how."""

import json

import pytest
import torch
from helpers import two_layer_gemma as small
from helpers.two_layer_gemma import CASES, shaken
from safetensors.torch import load_file, save_file

from course_utils.adapters import library, switching, weights
from course_utils.engine.recipe import METHODS
from course_utils.models import model_folder


def loss(logits):
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)) % 7)


def test_agreement_is_what_it_says(case, monkeypatch):
    method, sizes = case
    ids, real, _ = small.batch()
    logits, gradients = library.agreement(small.build, method, ids, real, **sizes)
    assert logits <= 1e-5 and gradients <= 1e-5
    answers, seeds = library._answers, iter((1, 2))
    monkeypatch.setattr(
        library, "_answers", lambda model, drawn, *batch: answers(shaken(model, next(seeds)), {}, *batch)
    )
    assert max(library.agreement(small.build, method, ids, real, **sizes)) > 1e-3, "other weights, other logits"


@pytest.mark.parametrize("key_heads", [1, 2])
def test_logits_and_gradients_equal_pefts(case, ours, logits, key_heads):
    method, sizes = case
    pair = [ours(method, sizes, key_heads=key_heads), library.attach(small.build(key_heads=key_heads), method, **sizes)]
    library.copy(*pair)
    found = [logits(model) for model in pair]
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)
    for out in found:
        loss(out).backward()
    gradients = [library.gradients(model) for model in pair]
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) == len(weights.trained(pair[1]))
    for name, gradient in gradients[0].items():
        assert gradient.abs().sum() > 0, name
        assert (gradient - gradients[1][name]).norm() <= 1e-5 * gradients[1][name].norm(), name


def test_weights_go_back_from_peft_too(case, ours, logits):
    method, sizes = case
    theirs, mine = shaken(library.attach(small.build().eval(), method, **sizes), 3), ours(method, sizes)
    assert not torch.allclose(logits(mine), logits(theirs), atol=1e-2)
    library.copy(theirs, mine)
    torch.testing.assert_close(logits(mine), logits(theirs), rtol=1e-5, atol=1e-5)


def test_saved_and_loaded_it_answers_alike(case, logits, tmp_path):
    method, sizes = case
    adapted = shaken(library.attach(small.build().eval(), method, **sizes)).eval()
    size = library.save(adapted, tmp_path / "adapter")
    names = sorted(path.name for path in (tmp_path / "adapter").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors", "base.json"]
    assert size == sum(path.stat().st_size for path in (tmp_path / "adapter").iterdir())
    loaded = library.load(small.build().eval(), tmp_path / "adapter")
    torch.testing.assert_close(logits(loaded), logits(adapted), rtol=1e-5, atol=1e-5)
    assert not loaded.training and not weights.trained(loaded)


def test_loaded_it_is_counted_taken_put_and_copied(case, ours, logits, tmp_path):
    method, sizes = case
    adapted = shaken(library.attach(small.build().eval(), method, **sizes)).eval()
    library.save(adapted, tmp_path)
    loaded = library.load(small.build().eval(), tmp_path)
    own, expected = weights.own(loaded), logits(loaded).clone()
    assert own and weights.count(loaded) == sum(weight.numel() for weight in own.values())
    plain = weights.count(small.build())
    assert weights.share(loaded) == pytest.approx(100 * weights.count(loaded) / plain)
    task = weights.take(loaded)
    for weight in own.values():
        weight.data += 1
    assert not torch.allclose(logits(loaded), expected, atol=1e-2)
    weights.put(loaded, task)
    assert torch.equal(logits(loaded), expected)
    if method != "p-tuning" and "hidden" not in sizes:  # a network is not saved, so ours is another
        assert weights.count(loaded) == weights.count(adapted)
        mine = ours(method, sizes)
        library.copy(loaded, mine)
        torch.testing.assert_close(logits(mine), expected, rtol=1e-5, atol=1e-5)


def test_of_several_frozen_adapters_the_active_one_counts():
    model = switching.add(small.build(), "first", rank=2)
    switching.add(model, "second", rank=4)
    counted = weights.count(model)
    with switching.using(model, "second"):
        assert weights.count(model) == 2 * counted


def test_a_p_tuning_encoder_is_not_saved(tmp_path):
    sizes = {"tokens": 5, "hidden": 500}
    size = library.save(library.attach(small.build(), "p-tuning", **sizes), tmp_path / "encoder")
    assert size < 4 * 500 * 32 and size < 2 * library.save(library.attach(small.build(), "prompt", tokens=5), tmp_path)


def test_another_base_is_refused(tmp_path):
    library.save(library.attach(small.build(), "lora"), tmp_path)
    other = small.build()
    other.model.layers[0].mlp.up_proj.weight.data += 0.01
    with pytest.raises(ValueError, match=r"trained on another base .fingerprint .*Load the base it was trained on"):
        library.load(other, tmp_path)
    with pytest.raises(ValueError, match=r"holds no adapter of this course .base\.json is missing"):
        library.load(small.build(), tmp_path / "elsewhere")


CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
DEEP = b"[" * 200_000


def set_to(**values):
    return lambda file: file.write_text(json.dumps(json.loads(file.read_text()) | values))


def pickled(file):
    file.rename(file.with_name("adapter_model.bin"))


def emptied(file):
    save_file({}, file)


def one_less(file):
    state = load_file(file)
    state.pop(next(iter(state)))
    save_file(state, file)


BROKEN = {  # file, what is done to it → the message
    "deep base": ("base.json", lambda file: file.write_bytes(DEEP), "base.json is nested too deeply"),
    "deep settings": (CONFIG, lambda file: file.write_bytes(DEEP), f"{CONFIG} is nested too deeply"),
    "a list": (CONFIG, lambda file: file.write_text("[]"), f"{CONFIG} holds a list"),
    "no settings": (CONFIG, lambda file: file.unlink(), f"{CONFIG} is missing"),
    "a pickle": (WEIGHTS, pickled, f"{WEIGHTS} is missing"),
    "cut off": (WEIGHTS, lambda file: file.write_bytes(file.read_bytes()[:-9]), f"{WEIGHTS} is cut off"),
    "no tensor": (WEIGHTS, emptied, f"{WEIGHTS} holds no weight"),
    "a tensor fewer": (WEIGHTS, one_less, "does not load as an adapter: Found missing adapter keys"),
    "directions without end": (CONFIG, set_to(r=10**9), rf"{CONFIG} asks for 1000000000 .*; {WEIGHTS} has \[8\]"),
    "directions of a layer": (CONFIG, set_to(rank_pattern={"q_proj": 10**9}), f"{CONFIG} asks for 1000000000"),
    "directions in a list": (CONFIG, set_to(r=[8]), rf"{CONFIG} asks for \[8\]"),
    "an unknown kind": (CONFIG, set_to(peft_type="MINE"), "does not load as an adapter: .*MINE"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_adapter_ends_in_one_sentence(case, tmp_path):
    library.save(library.attach(small.build(), "lora"), tmp_path)
    name, spoil, says = BROKEN[case]
    spoil(tmp_path / name)
    with pytest.raises(ValueError, match=says) as caught:
        library.load(small.build(), tmp_path)
    assert type(caught.value) in (ValueError, model_folder.FolderError) and len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "attach", [library.attach, lambda model, method, **sizes: library.OURS[method](model, **sizes)]
)
@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_an_unknown_layer_is_refused_with_what_there_is(attach, method):
    with pytest.raises(
        ValueError, match=r"no linear layer named 'query'. Choose from: down_proj, gate_proj, k_proj, lm_h"
    ):
        attach(small.build(), method, targets=("q_proj", "query"))


@pytest.mark.parametrize(
    "attach", [library.attach, lambda model, method, **sizes: library.OURS[method](model, **sizes)]
)
def test_a_rank_above_the_width_is_refused(attach):
    model = small.build()
    with pytest.raises(ValueError, match=r"Rank 17 does not fit model.layers.0.self_attn.v_proj, a matrix of 16 × 32"):
        attach(model, "lora", rank=17)
    assert all(weight.requires_grad for weight in model.parameters()), "refused before anything is changed"
    attach(model, "lora", rank=16)


@pytest.mark.parametrize(
    "attach", [library.attach, lambda model, method, **sizes: library.OURS[method](model, **sizes)]
)
def test_a_prefix_and_activation_checkpointing_exclude_each_other(attach):
    model = small.build()
    model.gradient_checkpointing_enable()
    with pytest.raises(ValueError, match=r"lives in the key-value cache, and activation checkpointing"):
        attach(model, "prefix", tokens=3)


def test_an_unknown_method_and_two_kinds_are_refused():
    with pytest.raises(ValueError, match=r"no method 'adapter'. Choose from: lora, ia3, prompt, p-tuning, prefix"):
        library.attach(small.build(), "adapter")
    with pytest.raises(ValueError, match=r"of two kinds or sizes"):
        library.copy(library.OURS["prompt"](small.build(), tokens=4), library.attach(small.build(), "prompt", tokens=5))
    assert {"full", *library.METHODS} == set(METHODS) and {method for method, _ in CASES.values()} == set(
        library.METHODS
    )


def test_the_file_names_its_base(tmp_path):
    library.save(library.attach(small.build(), "ia3"), tmp_path)
    assert json.loads((tmp_path / "base.json").read_text()) == {"fingerprint": weights.fingerprint(small.build())}


@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_started_from_a_text_it_is_that_text(method, base, logits):
    text = [2, 17, 35, 99]
    sizes = {"text_ids": text, "tokens": 4} if method == "prompt" else {"prompt_ids": text}
    ids, real, _ = small.batch()
    whole = torch.cat([torch.tensor(text).expand(4, -1), ids], dim=1)
    mask = torch.cat([torch.ones(4, 4, dtype=torch.bool), real], dim=1)
    expected = base(input_ids=whole, attention_mask=mask.long()).logits[:, 4:][real].detach()
    torch.testing.assert_close(logits(library.attach(base, method, **sizes)), expected, rtol=1e-4, atol=1e-5)


def test_alpha_and_rank_reach_both_and_scale_the_update(logits):
    for attach in (library.attach, lambda model, method, **sizes: library.OURS[method](model, **sizes)):
        answers = {}
        for alpha in (4, 8):
            model = shaken(attach(small.build().eval(), "lora", rank=4, alpha=alpha))
            scales = {
                layer.scaling["default"] if isinstance(layer.scaling, dict) else layer.scaling
                for layer in model.modules()
                if hasattr(layer, "scaling") and "Lora" in type(layer).__name__ + str(type(layer).__module__).title()
            }
            assert scales == {alpha / 4}
            answers[alpha] = logits(model)
        assert not torch.allclose(answers[4], answers[8], atol=1e-2)
