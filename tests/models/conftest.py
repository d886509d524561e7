"""A Gemma 3 of two layers, with every feature of the real one: sliding and full attention, grouped heads, tied head."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Gemma3ForCausalLM, Gemma3TextConfig


@pytest.fixture
def small_gemma():
    """A function that builds the model in a dtype, with or without LoRA on all linear layers."""

    def build(dtype=torch.float32, *, adapter=True, key_heads=1, **lora):
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
            sliding_window=24,
            initializer_range=0.3,
            pad_token_id=0,
            attn_implementation="sdpa",
        )
        model = Gemma3ForCausalLM(config).to(dtype)
        if not adapter:
            return model
        model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", **lora))
        for name, weight in model.named_parameters():
            if "lora_B" in name:  # zero at first, which would hide half of the gradient
                torch.nn.init.normal_(weight, std=0.1)
        return model.train()

    return build


@pytest.fixture
def padded_batch():
    """Token ids (B, T), the mask of real tokens and the mask of answer tokens, rows of four lengths."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([9, 3, 14, 6])
    real = torch.arange(14) < lengths[:, None]
    ids = torch.randint(4, 211, (4, 14), generator=generator) * real
    answer = real & (torch.arange(14) >= lengths[:, None] // 2)
    return ids, real, answer
