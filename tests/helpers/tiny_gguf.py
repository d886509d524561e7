"""A tiny Gemma 3 in a GGUF file: two layers, a vocabulary that one can read, weights quantised as in the real file."""

import gguf
import numpy as np

WORDS = ["the", "a", "film", "movie", "is", "was", "good", "bad", "great", "fine", "hello", "world", "yes", "no"]
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
TURNS = ["<start_of_turn>", "<end_of_turn>"]
WIDTH, HIDDEN, HEADS, HEAD, LAYERS = 32, 64, 2, 32, 2


def vocabulary():
    """[(token, kind)]: special tokens, turns, bytes, then pieces of WORDS in merge order."""
    rows = [(token, 3) for token in SPECIAL] + [(token, 3) for token in TURNS] + [("[extra]", 4), ("  ", 4)]
    rows += [(f"<0x{byte:02X}>", 6) for byte in range(256)]
    pieces = []
    for word in WORDS:
        for spelled in (word, "▁" + word):
            pieces += [spelled[:end] for end in range(2, len(spelled) + 1)]
    letters = sorted(set("".join(WORDS)) | {"▁", "\n", ".", "?", "l", "m", "d"})
    return rows + [(piece, 1) for piece in dict.fromkeys(sorted(pieces, key=len) + letters)]


def _metadata(writer, rows):
    writer.add_name("Tiny")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_sliding_window(64)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token for token, _ in rows])
    writer.add_token_scores([-float(n) for n in range(len(rows))])
    writer.add_token_types([kind for _, kind in rows])
    for name, add in {"<pad>": "pad", "<eos>": "eos", "<bos>": "bos", "<unk>": "unk"}.items():
        getattr(writer, f"add_{add}_token_id")(SPECIAL.index(name))


def _shapes():
    yield from {"attn_q": (HEADS * HEAD, WIDTH), "attn_k": (HEAD, WIDTH), "attn_v": (HEAD, WIDTH)}.items()
    yield from {"attn_output": (WIDTH, HEADS * HEAD), "ffn_down": (WIDTH, HIDDEN)}.items()
    yield from {"ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH)}.items()
    yield from {"attn_q_norm": (HEAD,), "attn_k_norm": (HEAD,)}.items()
    yield from dict.fromkeys(("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"), (WIDTH,)).items()


def _add(writer, name, shape, rng):
    """Matrices as Q8_0, vectors as float32, as the real file has them."""
    values = rng.normal(0, 0.3, shape).astype(np.float32)
    if len(shape) == 1:
        writer.add_tensor(name, 1 + values)
        return
    blocks = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor(name, blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)


def write_gguf(path, seed=0):
    """Write the tiny model to the path; give the path."""
    rng, rows = np.random.default_rng(seed), vocabulary()
    writer = gguf.GGUFWriter(path, "gemma3")
    _metadata(writer, rows)
    _add(writer, "token_embd.weight", (len(rows), WIDTH), rng)
    _add(writer, "output_norm.weight", (WIDTH,), rng)
    for layer in range(LAYERS):
        for part, shape in _shapes():
            _add(writer, f"blk.{layer}.{part}.weight", shape, rng)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


LLAMA_TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}: {{ m['content'] }}<|im_end|>{% endfor %}"


def llama_words():
    """(tokens, kinds, merges) of a vocabulary in GPT-2's manner: three marks, letters for bytes, a few merged words."""
    from tokenizers.pre_tokenizers import ByteLevel

    merges = [("Ġ", "f"), ("Ġf", "i"), ("l", "m"), ("Ġfi", "lm"), ("g", "o"), ("1", "2")]
    letters = sorted(ByteLevel.alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, *(a + b for a, b in merges)]
    return tokens, [3] * 3 + [1] * (len(tokens) - 3), [f"{a} {b}" for a, b in merges]


def write_llama(path, seed=0):
    """Write a tiny model of the Llama family, as SmolLM2's file has it, to the path; give the path."""
    rng, (tokens, kinds, merges) = np.random.default_rng(seed), llama_words()
    writer = gguf.GGUFWriter(path, "llama")
    for name, value in {"context_length": 256, "embedding_length": 32, "block_count": 2, "head_count": 2}.items():
        getattr(writer, f"add_{name}")(value)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(100_000.0)
    writer.add_rope_dimension_count(16)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(LLAMA_TEMPLATE)
    shapes = {"attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32)}
    shapes |= {"ffn_down": (32, HIDDEN), "ffn_gate": (HIDDEN, 32), "ffn_up": (HIDDEN, 32)}
    shapes |= {"attn_norm": (32,), "ffn_norm": (32,)}
    _add(writer, "token_embd.weight", (len(tokens), 32), rng)
    _add(writer, "output_norm.weight", (32,), rng)
    for layer in range(2):
        for part, shape in shapes.items():
            _add(writer, f"blk.{layer}.{part}.weight", shape, rng)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
