"""Weights for the transformer by hand: Gemma 3's own, from the folder that transformers reads, or first ones."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from course_utils.models.transformer import Transformer, TransformerConfig

# transformers' name of each size
SIZES = {
    "vocabulary": "vocab_size", "width": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads",
    "key_value_heads": "num_key_value_heads", "head_width": "head_dim", "mlp_width": "intermediate_size",
    "window": "sliding_window", "context": "max_position_embeddings", "epsilon": "rms_norm_eps",
}  # fmt: skip
LOCAL, GLOBAL = "sliding_attention", "full_attention"
# What the code takes for granted
PARTS = {
    "model_type": "gemma3_text", "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True,
    "attention_bias": False, "attn_logit_softcapping": None, "final_logit_softcapping": None,
    "use_bidirectional_attention": False,
}  # fmt: skip


def read_config(folder):
    """The TransformerConfig of a folder that holds a Gemma 3.

    Raises:
        ValueError: its config.json describes other parts than those of `transformer`.
    """
    values = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    kinds = values.get("layer_types") or []
    every, layers = [*kinds, GLOBAL].index(GLOBAL) + 1, values.get("num_hidden_layers", 0)
    expected = PARTS | {
        "query_pre_attn_scalar": values.get("head_dim"),
        "layer_types": [LOCAL if (layer + 1) % every else GLOBAL for layer in range(layers)],
    }
    other = [f"{name} = {values.get(name)!r}" for name, value in expected.items() if values.get(name) != value]
    try:
        rope = values["rope_parameters"]
        bases = {"local_base": rope[LOCAL]["rope_theta"], "global_base": rope[GLOBAL]["rope_theta"]}
        sizes = {own: values[name] for own, name in SIZES.items()}
    except KeyError as error:
        other.append(f"no {error.args[0]}")
    if other:
        raise ValueError(
            f"config.json in {Path(folder).name} has {', '.join(other)}: not Gemma 3 as this code has it. "
            "Take the course's own: base.prepare(), or save the other model again with a current transformers."
        )
    return TransformerConfig(**sizes, **bases, global_every=every)


def load(folder, *, dtype=torch.float32, device="cpu"):
    """The transformer of a folder that holds a Gemma 3, such as `base.prepare()`; in eval mode.

    Args:
        folder: with config.json and model.safetensors.

    Raises:
        ValueError: another architecture, or weights that are missing, too many or of another shape.
    """
    with torch.device("meta"):  # no memory and no first weights: every one comes from the file
        model = Transformer(read_config(folder))
    read = load_file(Path(folder) / "model.safetensors")
    place(model, {name.removeprefix("model."): weight.to(device, dtype) for name, weight in read.items()})
    return model.eval()


def place(model, weights):
    """Give a model its weights by name: every one, and none left over.

    Args:
        weights: {name as in model.named_parameters(): tensor}; the model keeps these tensors.

    Raises:
        ValueError: names or shapes differ; the message lists them.
    """
    wanted = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    given = {name: tuple(weight.shape) for name, weight in weights.items()}
    problems = {
        "missing": sorted(wanted.keys() - given),
        "too many": sorted(given.keys() - wanted),
        "of another shape": [
            f"{name} {given[name]}, expected {wanted[name]}"
            for name in sorted(wanted.keys() & given)
            if given[name] != wanted[name]
        ],
    }
    found = [f"{len(names)} {kind} ({_some(names)})" for kind, names in problems.items() if names]
    if found:
        raise ValueError(
            f"These weights are not the model's {len(wanted)}: {'; '.join(found)}. "
            "Do configuration and file belong together? A head of its own (lm_head) has no place in a tied model."
        )
    model.load_state_dict(weights, assign=True)


def _some(names, count=3):
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


@torch.no_grad()
def initialise(model, seed=0):
    """First weights for a model that is trained from nothing; returns the model.

    The head is the embedding, so its spread decides the first loss: with 0.02 all logits are near 0, and the loss near
    ln V, what a guess costs. Matrices keep the size of what passes through them: D numbers of spread 1/√D sum to one.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.dim() == 1:
            weight.zero_()  # of a norm: the factor is 1 + w
            continue
        spread = 0.02 if name == "embed_tokens.weight" else weight.shape[1] ** -0.5
        weight.copy_(torch.randn(weight.shape, generator=generator) * spread)
    return model
