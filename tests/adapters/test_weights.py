"""Counting, swapping and recognising."""

import pytest
import torch
from helpers import two_layer_gemma as small
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from course_utils.adapters import library, weights

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def gemma_270m():
    """Gemma 3 270M by its sizes alone, without a single weight."""
    config = Gemma3TextConfig(
        vocab_size=262144,
        hidden_size=640,
        intermediate_size=2048,
        num_hidden_layers=18,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
    )
    with torch.device("meta"):
        return Gemma3ForCausalLM(config)


@pytest.mark.parametrize(
    ("method", "sizes", "count", "percent"),
    [
        ("lora", {"rank": 8}, 368_640, 0.1375),
        ("lora", {"rank": 16, "targets": ALL_LINEAR}, 3_796_992, 1.4163),
        ("lora", {"rank": 1}, 46_080, 0.0172),
        ("ia3", {}, 46_080, 0.0172),
        ("prompt", {"tokens": 20}, 12_800, 0.0048),
        ("prefix", {"tokens": 20}, 184_320, 0.0688),
        ("p-tuning", {"tokens": 20}, 1_243_520, 0.4638),
    ],
)
@pytest.mark.parametrize("who", ["ours", "peft"])
def test_the_share_on_gemma_270m(method, sizes, count, percent, who):
    model = gemma_270m()
    assert weights.count(model) == 268_098_176
    with torch.device("meta"):
        model = library.OURS[method](model, **sizes) if who == "ours" else library.attach(model, method, **sizes)
    assert weights.count(model) == count
    assert round(weights.share(model), 4) == percent


def test_two_tasks_swap_on_one_base(case, ours, logits):
    method, sizes = case
    first, second = ours(method, sizes, seed=1), ours(method, sizes, seed=2)
    tasks = [weights.take(model) for model in (first, second)]
    expected = [logits(model) for model in (first, second)]
    assert not torch.allclose(*expected, atol=1e-2)
    for task, wanted in zip(reversed(tasks), reversed(expected), strict=True):
        weights.put(first, task)
        assert torch.equal(logits(first), wanted)
    assert all(torch.equal(tasks[0][name], weight) for name, weight in weights.take(first).items())


def test_another_methods_weights_are_refused(ours):
    task = weights.take(ours("lora", {"rank": 2}))
    with pytest.raises(ValueError, match=r"do not fit this model's adapter: .* \(2, 32\) and should be \(4, 32\)"):
        weights.put(ours("lora", {"rank": 4}), task)
    with pytest.raises(ValueError, match="not there"):
        weights.put(ours("ia3", {}), task)


def test_a_share_needs_a_frozen_base(base):
    with pytest.raises(ValueError, match="no frozen base"):
        weights.share(base)


def test_the_fingerprint_is_the_bases_alone(case, ours, base):
    expected = weights.fingerprint(base)
    assert weights.fingerprint(ours(*case)) == expected
    assert weights.fingerprint(library.attach(small.build(), case[0], **case[1])) == expected
    assert weights.fingerprint(small.build(torch.bfloat16)) == expected
    base.model.norm.weight.data[3] += 0.1
    assert weights.fingerprint(base) != expected
