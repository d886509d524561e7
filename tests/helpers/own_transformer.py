"""A random Gemma 3 of transformers with every part of the real one, and the same weights in the transformer by hand."""

import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from course_utils.models import transformer_weights

VOCABULARY, WINDOW = 97, 8
LENGTHS = (20, 5, 33)  # longer and shorter than the window


def library_model():
    """Six layers, of which the third and sixth are global; two key-value heads; norms are not at their first values."""
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=6, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, query_pre_attn_scalar=16, sliding_window=WINDOW,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"] * 2, initializer_range=0.3,
        max_position_embeddings=256, pad_token_id=0, attn_implementation="eager",
    )  # fmt: skip
    model = Gemma3ForCausalLM(config).eval()
    for weight in model.parameters():
        if weight.dim() == 1:
            torch.nn.init.normal_(weight, std=0.3)
    return model


def pair(folder):
    """(transformers' model, ours) with the same weights in fp32, which travel through files in the folder."""
    library = library_model()
    library.save_pretrained(folder)
    return library, transformer_weights.load(folder)


def prompts(lengths=LENGTHS, seed=0):
    """Token ids, a list of each length, without the ids below 3, which may be special."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, VOCABULARY, (length,), generator=generator).tolist() for length in lengths]


def library_logits(library, tokens, real, last=0):
    """(N, V) transformers' logits at the real tokens of a padded batch, or at those in its last columns."""
    positions = (real.cumsum(dim=1) - 1).clamp(min=0)
    output = library(tokens, attention_mask=real.long(), position_ids=positions, logits_to_keep=last, use_cache=False)
    return output.logits[real[:, -last:]]


def difference(found, expected):
    """The largest difference, as a share of the range of what is expected."""
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / (expected.max() - expected.min()))
