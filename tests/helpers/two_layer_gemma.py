"""A Gemma 3 of two layers, with every feature of the real one: sliding and full attention, grouped heads, tied head."""

import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from course_utils.adapters import weights

# Every adapter method with small sizes
CASES = {
    "lora": ("lora", {"rank": 4, "targets": ("q_proj", "v_proj", "down_proj")}),
    "ia3": ("ia3", {}),
    "prompt": ("prompt", {"tokens": 5}),
    "p-tuning": ("p-tuning", {"tokens": 5}),
    "p-tuning by LSTM": ("p-tuning", {"tokens": 5, "hidden": 6, "kind": "lstm"}),
    "p-tuning with an anchor": ("p-tuning", {"anchors": [None, 17, None, None, 35]}),
    "prefix": ("prefix", {"tokens": 5}),
    "prefix by MLP": ("prefix", {"tokens": 5, "hidden": 7}),
}


def build(dtype=torch.float32, *, key_heads=1, window=24):
    """The bare model, the same weights every time."""
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=211,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=key_heads,
        head_dim=16,
        query_pre_attn_scalar=16,
        layer_types=["sliding_attention", "full_attention"],
        sliding_window=window,
        initializer_range=0.3,
        pad_token_id=0,
        attn_implementation="sdpa",
    )
    return Gemma3ForCausalLM(config).to(dtype)


def batch():
    """Token ids (B, T), the mask of real tokens and the mask of answer tokens, rows of four lengths."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([9, 3, 14, 6])
    real = torch.arange(14) < lengths[:, None]
    ids = torch.randint(4, 211, (4, 14), generator=generator) * real
    answer = real & (torch.arange(14) >= lengths[:, None] // 2)
    return ids, real, answer


def shaken(model, seed=0):
    """The model with its trained weights drawn at random, so that the adapter does something."""
    generator = torch.Generator().manual_seed(seed)
    for weight in weights.trained(model).values():
        weight.data = torch.randn(weight.shape, generator=generator) * 0.3
    return model
