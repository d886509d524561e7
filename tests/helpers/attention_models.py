"""Small models of several makes with strong attention, so that a wrong mask, position or cache changes the result."""

import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

VOCABULARY = 97
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 8}
SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024}
SIZES |= {"tie_word_embeddings": False, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
MIXED = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16, "query_pre_attn_scalar": 8}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "tie_word_embeddings": False}
MAKERS = {
    "gemma": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, **MIXED)),  # a layer with a window, one without
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=16)),  # a window in all layers
    "qwen": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**GPT2, bos_token_id=2, eos_token_id=1)),  # absolute positions
}


def model(make):
    """A model in float32 and eval mode, the same at each call."""
    torch.manual_seed(0)
    made = MAKERS[make]().eval()
    for weight in made.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.4)
    return made


def token_lists(lengths, seed=0, vocabulary=VOCABULARY):
    """Random token ids, special ones left out: a list of each length."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, vocabulary, (length,), generator=generator).tolist() for length in lengths]
