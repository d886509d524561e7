"""A Gemma 3 of two layers whose sizes every block format divides, in a dtype of choice."""

import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig


@pytest.fixture
def blocky():
    """A function that builds the model: widths are multiples of 64, weights are normal."""

    def build(dtype=torch.float32):
        torch.manual_seed(0)
        config = Gemma3TextConfig(
            vocab_size=320,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=64,
            query_pre_attn_scalar=64,
            layer_types=["sliding_attention", "full_attention"],
            sliding_window=64,
            initializer_range=0.1,
            pad_token_id=0,
            attn_implementation="sdpa",
        )
        return Gemma3ForCausalLM(config).to(dtype).eval().requires_grad_(False)

    return build


@pytest.fixture
def normal_weight():
    """(96, 128) normal weights of a real layer's size."""
    return torch.randn(96, 128, generator=torch.Generator().manual_seed(0)) * 0.03


@pytest.fixture
def token_rows():
    """(3, 20) token ids."""
    return torch.randint(4, 320, (3, 20), generator=torch.Generator().manual_seed(1))
