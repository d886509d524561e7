"""The conversion against transformers' own reading of the same GGUF file, and the chat template by eye."""

import copy
import json

import pytest
import torch
from helpers import tiny_gguf
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from course_utils.models import convert

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " is the film good? "},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": "was it great?"},
    {"role": "assistant", "content": "no"},
]


@pytest.fixture(scope="module")
def theirs(tiny_gguf):
    return AutoModelForCausalLM.from_pretrained(tiny_gguf.parent, gguf_file=tiny_gguf.name, dtype=torch.float32)


def test_weights_are_theirs_rounded_to_bfloat16(tiny_folder, theirs):
    ours, expected = load_file(tiny_folder / "model.safetensors"), theirs.state_dict()
    expected.pop("lm_head.weight")
    assert ours.keys() == expected.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, expected[name].to(torch.bfloat16)), name


def test_logits_are_theirs_with_weights_so_rounded(tiny_model, theirs):
    rounded = copy.deepcopy(theirs).eval()
    for parameter in rounded.parameters():
        parameter.data = parameter.data.bfloat16().float()
    for layer in rounded.model.layers:  # they take the real model's 256 for every file; llama.cpp divides by √head_dim
        layer.self_attn.scaling = tiny_gguf.HEAD**-0.5
    tokens = torch.tensor([[2, 300, 310, 320, 7]])
    with torch.inference_mode():
        torch.testing.assert_close(tiny_model(tokens).logits, rounded(tokens).logits, atol=1e-3, rtol=1e-3)


def test_config_says_what_the_file_says(tiny_model, theirs):
    ours, expected = tiny_model.config, theirs.config
    for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"):
        assert getattr(ours, name) == getattr(expected, name), name
    for name in ("num_key_value_heads", "head_dim", "sliding_window", "max_position_embeddings", "rope_parameters"):
        assert getattr(ours, name) == getattr(expected, name), name
    assert ours.tie_word_embeddings is True and tiny_model.lm_head.weight is tiny_model.model.embed_tokens.weight
    assert getattr(ours, "quantization_config", None) is None


def test_every_sixth_layer_sees_everything(tiny_gguf):
    source = convert.GGUFFile(tiny_gguf)
    source.metadata["gemma3.block_count"] = 18
    full = [n for n, kind in enumerate(convert.config(source).layer_types) if kind == "full_attention"]
    assert full == [5, 11, 17]


def test_parameter_names():
    assert convert.parameter_name("token_embd.weight") == "model.embed_tokens.weight"
    assert convert.parameter_name("blk.3.attn_q.weight") == "model.layers.3.self_attn.q_proj.weight"
    assert convert.parameter_name("blk.17.post_ffw_norm.weight") == "model.layers.17.post_feedforward_layernorm.weight"


def test_merges_by_hand():
    # abc can be cut twice, and the longer left part comes first; "x" and "xy" have no known parts
    assert convert.merges(["a", "b", "c", "bc", "ab", "abc", "xy"]) == [
        ("b", "c"),
        ("a", "b"),
        ("ab", "c"),
        ("a", "bc"),
    ]


def test_tokens_are_theirs(tiny_folder, tiny_gguf):
    ours = AutoTokenizer.from_pretrained(tiny_folder)
    expected = AutoTokenizer.from_pretrained(tiny_gguf.parent, gguf_file=tiny_gguf.name)
    for text in ("hello world", "the film was  great\n", "é 한 <start_of_turn>yes<end_of_turn>", "", " a   movie "):
        # without the <bos> in front, which transformers 5.15 leaves out; ours is in the next test
        pair = [tokenizer(text, add_special_tokens=False).input_ids for tokenizer in (ours, expected)]
        assert pair[0] == pair[1], text


def test_tokenizer_is_what_the_course_relies_on(tiny_tokenizer):
    assert tiny_tokenizer("the film is good").tokens() == ["<bos>", "the", "▁film", "▁is", "▁good"]
    assert tiny_tokenizer("hello  world").tokens() == ["<bos>", "hello", "▁▁", "world"]
    assert (
        tiny_tokenizer.decode(tiny_tokenizer("hello  é world").input_ids, skip_special_tokens=True) == "hello  é world"
    )
    batch = tiny_tokenizer(["yes", "the film"], padding=True)
    assert batch["attention_mask"] == [[1, 1, 0], [1, 1, 1]] and batch["input_ids"][0][2] == tiny_tokenizer.pad_token_id
    assert tiny_tokenizer.is_fast


def test_chat_template_writes_gemmas_turns(tiny_tokenizer):
    assert tiny_tokenizer.apply_chat_template(CHAT, tokenize=False) == (
        "<bos><start_of_turn>user\nBe brief.\n\nis the film good?<end_of_turn>\n"
        "<start_of_turn>model\nyes<end_of_turn>\n"
        "<start_of_turn>user\nwas it great?<end_of_turn>\n<start_of_turn>model\nno<end_of_turn>\n"
    )
    prompt = tiny_tokenizer.apply_chat_template(CHAT[1:2], tokenize=False, add_generation_prompt=True)
    assert prompt == "<bos><start_of_turn>user\nis the film good?<end_of_turn>\n<start_of_turn>model\n"


def test_chat_template_has_one_bos_and_masks_the_answers(tiny_tokenizer):
    made = tiny_tokenizer.apply_chat_template(CHAT, return_dict=True, return_assistant_tokens_mask=True)
    assert made["input_ids"].count(tiny_tokenizer.bos_token_id) == 1
    pairs = zip(made["input_ids"], made["assistant_masks"], strict=True)
    kept = tiny_tokenizer.decode([token for token, mask in pairs if mask])
    assert kept == "yes<end_of_turn>no<end_of_turn>"


def test_chat_template_refuses_two_turns_of_one_side(tiny_tokenizer):
    with pytest.raises(Exception, match="Roles must alternate"):
        tiny_tokenizer.apply_chat_template([CHAT[1], CHAT[1]], tokenize=False)


def test_generation_stops_at_the_end_of_a_turn(tiny_folder):
    made = json.loads((tiny_folder / "generation_config.json").read_text())
    assert made == {"bos_token_id": 2, "eos_token_id": [1, 6], "pad_token_id": 0, "do_sample": False}


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """(file, folder) of a tiny model of the Llama family."""
    folder = tmp_path_factory.mktemp("llama")
    file = tiny_gguf.write_llama(tmp_path_factory.mktemp("file") / "llama.gguf")
    convert.write(file, folder)
    return file, folder


def test_a_llama_has_their_weights_rows_of_the_heads_in_their_order(llama):
    file, folder = llama
    theirs = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    ours, expected = load_file(folder / "model.safetensors"), theirs.state_dict()
    expected.pop("lm_head.weight")
    assert ours.keys() == expected.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, expected[name].to(torch.bfloat16)), name
    model = AutoModelForCausalLM.from_pretrained(folder)
    for name in ("hidden_size", "num_key_value_heads", "rms_norm_eps", "rope_parameters", "max_position_embeddings"):
        assert getattr(model.config, name) == getattr(theirs.config, name), name
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.generation_config.eos_token_id == [2, 0]


def test_pairs_of_a_head_are_taken_apart_by_hand():
    rows = torch.tensor([[0], [2], [1], [3], [4], [6], [5], [7]])  # two heads of four rows
    assert convert.half_by_half(rows, 2)[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_a_llama_reads_bytes_cuts_numbers_into_digits_and_has_its_own_turns(llama):
    tokenizer = AutoTokenizer.from_pretrained(llama[1])
    assert tokenizer.tokenize(" film 12go") == ["Ġfilm", "Ġ", "1", "2", "go"]  # although 12 has a merge
    text = "é 한 \n\ttab"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    turns = tokenizer.apply_chat_template([{"role": "user", "content": "go"}], tokenize=False)
    assert turns == "<|im_start|>user: go<|im_end|>"
    assert tokenizer(turns).input_ids[:: len(tokenizer(turns).input_ids) - 1] == [1, 2]


def test_another_family_is_refused(llama):
    source = convert.GGUFFile(llama[0])
    source.metadata["general.architecture"] = "mamba"
    with pytest.raises(ValueError, match=r"llama\.gguf holds a model of the family 'mamba'; expected gemma3 or llama"):
        convert.config(source)
