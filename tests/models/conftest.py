"""The small Gemma 3, with LoRA on all its linear layers."""

import pytest
import torch
from helpers import two_layer_gemma as small
from peft import LoraConfig, get_peft_model


@pytest.fixture
def small_gemma():
    """A function that builds the model in a dtype, with or without LoRA on all linear layers."""

    def build(dtype=torch.float32, *, adapter=True, key_heads=1, **lora):
        model = small.build(dtype, key_heads=key_heads)
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
    return small.batch()
