"""Turning the pinned GGUF file into what transformers loads in a second: safetensors, config, tokenizer.json.

Nothing here depends on how a version of transformers reads GGUF. The weights are what the blocks stand for, rounded to
bfloat16, the precision in which the model was published.
"""

import json

import torch
from safetensors.torch import save_file

from course_utils.models.gguf_file import GGUFFile

# llama.cpp's name of a layer's part → transformers' name
_PARTS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_LLAMA_PARTS = _PARTS | {"ffn_norm": "post_attention_layernorm"}  # no norms behind attention and MLP
_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}

# Gemma's turns. A system message goes before the first user message, since Gemma knows no system turn. What stands
# between the generation marks, the end of the turn included, is what the assistant mask counts.
CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- set start = 1 if messages[0]['role'] == 'system' else 0 -%}
{%- for message in messages[start:] -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception('Roles must alternate: user, assistant, user, … after at most one system message.') -}}
    {%- endif -%}
    {%- if message['role'] == 'user' -%}
        {{- '<start_of_turn>user\\n' -}}
        {%- if start and loop.first -%}{{- messages[0]['content'] | trim + '\\n\\n' -}}{%- endif -%}
        {{- message['content'] | trim + '<end_of_turn>\\n' -}}
    {%- else -%}
        {{- '<start_of_turn>model\\n' -}}
        {%- generation -%}{{- message['content'] | trim + '<end_of_turn>' -}}{%- endgeneration -%}
        {{- '\\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}
"""


def parameter_name(name, parts=_PARTS):
    """llama.cpp's tensor name → transformers' parameter name: "blk.3.attn_q.weight" → "model.layers.3.self_attn…"."""
    stem = name.removesuffix(".weight")
    if stem in _OUTSIDE:
        return f"{_OUTSIDE[stem]}.weight"
    _, layer, part = stem.split(".")
    return f"model.layers.{layer}.{parts[part]}.weight"


def is_llama(source):
    """True for a file of the Llama family, as SmolLM2; False for Gemma 3. ValueError for any other."""
    family = source.metadata["general.architecture"]
    if family not in ("gemma3", "llama"):
        raise ValueError(f"{source.path.name} holds a model of the family {family!r}; expected gemma3 or llama.")
    return family == "llama"


def weights(source):
    """All parameters of the file as {transformers' name: bfloat16 tensor}; the head is the embedding itself."""
    if is_llama(source):
        return _llama_weights(source)
    state = {}
    for name in source.tensors:
        values = torch.from_numpy(source.array(name))
        if "norm" in name:
            values = values - 1  # llama.cpp stores 1 + w; Gemma's RMSNorm in transformers adds the 1 itself
        state[parameter_name(name)] = values.to(torch.bfloat16)
    return state


def _llama_weights(source):
    heads = {"attn_q": "llama.attention.head_count", "attn_k": "llama.attention.head_count_kv"}
    state = {}
    for name in source.tensors:
        values = torch.from_numpy(source.array(name))
        if (part := name.split(".")[-2]) in heads:
            values = half_by_half(values, source.metadata[heads[part]])
        state[parameter_name(name, _LLAMA_PARTS)] = values.to(torch.bfloat16)
    return state


def half_by_half(rows, heads):
    """Undo llama.cpp's order of a query or key matrix, in which the two numbers that RoPE turns stand side by side.

    Args:
        rows: (heads · width, D), in each head r₀ r₁ r₂ … as pairs (r₀ r₁) (r₂ r₃) ….
        heads: how many.

    Returns:
        The same rows as transformers wants them: in each head all first numbers, then all second ones.
    """
    return rows.unflatten(0, (heads, -1, 2)).transpose(1, 2).reshape(rows.shape)


def config(source):
    """The model's configuration from the file's metadata."""
    return _llama_config(source) if is_llama(source) else _gemma_config(source)


def _llama_config(source):
    from transformers import LlamaConfig

    values = {key.removeprefix("llama."): value for key, value in source.metadata.items()}
    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=source.tensors["token_embd.weight"].shape[0],
        hidden_size=values["embedding_length"],
        intermediate_size=values["feed_forward_length"],
        num_hidden_layers=values["block_count"],
        num_attention_heads=values["attention.head_count"],
        num_key_value_heads=values["attention.head_count_kv"],
        max_position_embeddings=values["context_length"],
        rms_norm_eps=values["attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": values["rope.freq_base"]},
        bos_token_id=values["tokenizer.ggml.bos_token_id"],
        eos_token_id=values["tokenizer.ggml.eos_token_id"],
        pad_token_id=values["tokenizer.ggml.padding_token_id"],
        tie_word_embeddings=True,
        dtype="bfloat16",
    )


def _gemma_config(source):
    """What the metadata says, and what they leave out.

    What GGUF leaves out is Gemma 3's own: every sixth layer sees all tokens, and the others use RoPE with base 10,000.
    """
    from transformers import Gemma3TextConfig

    values = {key.removeprefix("gemma3."): value for key, value in source.metadata.items()}
    layers = values["block_count"]
    return Gemma3TextConfig(
        architectures=["Gemma3ForCausalLM"],
        vocab_size=source.tensors["token_embd.weight"].shape[0],
        hidden_size=values["embedding_length"],
        intermediate_size=values["feed_forward_length"],
        num_hidden_layers=layers,
        num_attention_heads=values["attention.head_count"],
        num_key_value_heads=values["attention.head_count_kv"],
        head_dim=values["attention.key_length"],
        query_pre_attn_scalar=values["attention.key_length"],
        max_position_embeddings=values["context_length"],
        sliding_window=values["attention.sliding_window"],
        layer_types=["full_attention" if (n + 1) % 6 == 0 else "sliding_attention" for n in range(layers)],
        rms_norm_eps=1e-6,
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": values["rope.freq_base"]},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        },
        bos_token_id=values["tokenizer.ggml.bos_token_id"],
        eos_token_id=values["tokenizer.ggml.eos_token_id"],
        pad_token_id=values["tokenizer.ggml.padding_token_id"],
        tie_word_embeddings=True,
        dtype="bfloat16",
    )


def merges(tokens):
    """The merges of a byte-pair encoding whose vocabulary is in merge order, as Gemma's is.

    Args:
        tokens: the vocabulary, in order.

    Returns:
        [(left, right)]: every way to cut a token into two tokens; earlier tokens first, of one token the longest left
        part first.
    """
    known = set(tokens)
    pairs = []
    for token in tokens:
        for cut in range(len(token) - 1, 0, -1):
            if token[:cut] in known and token[cut:] in known:
                pairs.append((token[:cut], token[cut:]))
    return pairs


def tokenizer(source):
    """The fast tokenizer that the file's vocabulary describes: byte-pair encoding with byte fallback, bos in front."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    kinds = source.metadata["tokenizer.ggml.token_type"]
    # the file writes runs of spaces as spaces, the encoding as ▁
    tokens = ["▁" * len(t) if t and not t.strip(" ") else t for t in source.metadata["tokenizer.ggml.tokens"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    fast = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges(tokens), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    fast.normalizer = normalizers.Replace(" ", "▁")
    fast.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    fast.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    fast.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos>:1 $B:1", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    control, user_defined = 3, 4
    fast.add_special_tokens(
        [AddedToken(t, normalized=False) for t, kind in zip(tokens, kinds, strict=True) if kind == control]
    )
    fast.add_tokens(
        [AddedToken(t, normalized=False) for t, kind in zip(tokens, kinds, strict=True) if kind == user_defined]
    )
    return fast


def byte_level_tokenizer(source):
    """The fast tokenizer of a vocabulary in GPT-2's manner: bytes as letters, merges in order, each digit alone."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens, kinds = (source.metadata[f"tokenizer.ggml.{name}"] for name in ("tokens", "token_type"))
    pairs = [tuple(pair.split(" ")) for pair in source.metadata["tokenizer.ggml.merges"]]
    fast = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=pairs))
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    fast.decoder = decoders.ByteLevel()
    control = 3
    fast.add_special_tokens(
        [AddedToken(t, normalized=False) for t, k in zip(tokens, kinds, strict=True) if k == control]
    )
    return fast


def _words_of(source):
    """(fast tokenizer, its special tokens, its chat template, the token beside <eos> that ends an answer)."""
    if is_llama(source):
        tokens, settings = source.metadata["tokenizer.ggml.tokens"], source.metadata
        numbers = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
        special = {f"{n}_token": tokens[settings[f"tokenizer.ggml.{long}_token_id"]] for n, long in numbers.items()}
        return byte_level_tokenizer(source), special, settings["tokenizer.chat_template"], special["unk_token"]
    special = {f"{name}_token": f"<{name}>" for name in ("bos", "eos", "pad", "unk", "mask")}
    return tokenizer(source), special, CHAT_TEMPLATE, "<end_of_turn>"


def write(gguf, folder):
    """Write the converted model into an empty folder.

    Args:
        gguf: path of the GGUF file.
        folder: receives model.safetensors, config.json, generation_config.json, tokenizer.json and its config.
    """
    source = GGUFFile(gguf)
    settings = config(source)
    save_file(weights(source), folder / "model.safetensors", metadata={"format": "pt"})
    settings.save_pretrained(folder)
    fast, special, template, also_ends = _words_of(source)
    fast.save(str(folder / "tokenizer.json"))
    also_ends = source.metadata["tokenizer.ggml.tokens"].index(also_ends)
    generation = {
        "bos_token_id": settings.bos_token_id,
        "eos_token_id": [settings.eos_token_id, also_ends],
        "pad_token_id": settings.pad_token_id,
        "do_sample": False,
    }
    tokenizer_settings = {
        **special,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "padding_side": "right",
        "clean_up_tokenization_spaces": False,
        "model_max_length": settings.max_position_embeddings,
        "chat_template": template,
    }
    for name, values in (("generation_config", generation), ("tokenizer_config", tokenizer_settings)):
        (folder / f"{name}.json").write_text(json.dumps(values, indent=2), encoding="utf-8")
