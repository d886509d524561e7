"""Preparing the base model once, loading it, and loading another through COURSE_MODEL."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import tiny_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer

from course_utils import assets, files
from course_utils.assets import AssetError, AssetMissing
from course_utils.models import base, convert

PREPARE_IN_A_PROCESS = """
import sys
from pathlib import Path
from course_utils import assets
from course_utils.models import base, convert
source, slow = Path(sys.argv[1]), sys.argv[2]
assets.path = lambda name: source
if slow == "hang":
    def hang(gguf, folder):
        (folder / "model.safetensors").write_bytes(b"half")
        print("hanging", flush=True)
        __import__("time").sleep(60)
    convert.write = hang
base.prepare(report=lambda line: print(line, flush=True))
"""


@pytest.fixture
def home(tmp_path, monkeypatch, tiny_gguf):
    """An empty COURSE_HOME where the tiny model stands for the pinned one."""
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COURSE_MODEL", raising=False)
    source = tmp_path / "asset"
    source.mkdir()
    os.link(tiny_gguf, source / "gemma-3-270m.gguf")
    for terms in ("GEMMA_TERMS.html", "NOTICE.md"):
        (source / terms).write_text("terms")
    monkeypatch.setattr(assets, "path", lambda name: source)
    return tmp_path / "home"


def silent(line):
    """A report that nobody reads."""


def in_a_process(home, slow="no"):
    command = [sys.executable, "-c", PREPARE_IN_A_PROCESS, str(home.parent / "asset"), slow]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left_over(home):
    return [path.name for path in (home / "models").glob(".tmp-*")]


def test_prepare_writes_everything_once(home):
    lines = []
    folder = base.prepare(report=lines.append)
    names = {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in folder.iterdir()} == names | {"GEMMA_TERMS.html", "NOTICE.md", "manifest.json"}
    assert len(lines) == 2 and left_over(home) == []
    base.verify()
    assert base.prepare(report=pytest.fail) == folder


def test_a_loaded_model_is_frozen_in_eval_mode_and_as_asked(home, capsys):
    model, tokenizer = base.load_base(dtype=torch.float32)
    assert "model     Gemma 3 270M" in capsys.readouterr().out
    assert model.dtype == torch.float32 and not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.config._attn_implementation == "within_rows"
    assert (tokenizer.padding_side, tokenizer.pad_token, tokenizer("yes").input_ids[0]) == ("right", "<pad>", 2)
    model, _ = base.load_base(dtype=torch.bfloat16, trainable=True)
    assert model.dtype == torch.bfloat16 and all(parameter.requires_grad for parameter in model.parameters())


def test_loading_prints_one_line_and_no_bar(home, capsys):
    base.prepare(report=silent)
    capsys.readouterr()
    base.load_base()
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1 and printed.err == ""


def test_the_quick_tokenizer_is_the_one_of_from_pretrained(home):
    _, ours = base.load_base()
    plain = AutoTokenizer.from_pretrained(base.folder())
    texts = ["the film  is good", "<start_of_turn>user\nyes<end_of_turn>", "é"]
    assert ours(texts).input_ids == plain(texts).input_ids
    for name in ("special_tokens_map", "chat_template", "padding_side", "model_max_length", "name_or_path"):
        assert str(getattr(ours, name)) == str(getattr(plain, name)), name


def test_without_the_asset_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    with pytest.raises(AssetMissing, match="python -m course_utils assets fetch"):
        base.load_base()


def test_the_converted_copy_needs_no_asset(home, monkeypatch):
    base.prepare(report=silent)
    monkeypatch.setattr(assets, "path", None)
    base.load_base()


@pytest.mark.parametrize("spoil", [lambda file: file.unlink(), lambda file: file.write_bytes(b"short")])
def test_an_incomplete_copy_is_made_again(home, spoil):
    folder = base.prepare(report=silent)
    spoil(folder / "tokenizer.json")
    assert not base.is_prepared()
    base.prepare(report=silent)
    base.verify()


def test_verify_reads_the_bytes(home):
    with pytest.raises(AssetError, match="is not complete in"):
        base.verify()
    weights = base.prepare(report=silent) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert base.is_prepared()  # the size is right, so only reading tells
    with pytest.raises(AssetError, match=r"model.safetensors .* has changed.\nRemove that folder and run: python -m"):
        base.verify()


def test_a_disk_that_fills_leaves_nothing(home, monkeypatch):
    def full(gguf, folder):
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert, "write", full)
    with pytest.raises(AssetError, match=r"Converting the base model stopped: the disk of .* is full"):
        base.prepare(report=silent)
    assert left_over(home) == [] and not base.folder().exists()


def test_a_disk_with_too_little_space_stops_before_the_work(home, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10**8}))
    monkeypatch.setattr(convert, "write", None)
    with pytest.raises(AssetError, match=r"Converting the base model needs 637.1 MB .* and 100.0 MB is free"):
        base.prepare(report=silent)


def test_two_processes_convert_once(home):
    processes = [in_a_process(home) for _ in range(2)]
    printed = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    assert sum(out.count("converting it once") for out, _ in printed) == 1
    base.verify()


def test_a_killed_conversion_is_done_again(home):
    process = in_a_process(home, slow="hang")
    while "hanging" not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
    process.kill()
    process.communicate(timeout=10)
    assert len(left_over(home)) == 1 and not base.is_prepared()
    base.prepare(report=silent)
    base.verify()
    assert left_over(home) == []


# The instruct model


@pytest.fixture
def chat_file(home):
    """A tiny model stands for the pinned instruct model."""
    tiny_gguf.write_llama(home.parent / "asset" / base.CHAT.gguf)
    (home.parent / "asset" / "LICENSE").write_text("licence")
    return home


def test_the_chat_model_has_its_own_turns_and_its_own_folder(chat_file, capsys):
    model, tokenizer = base.load_chat(dtype=torch.float32)
    assert "model     SmolLM2 135M Instruct" in capsys.readouterr().out
    assert model.config.model_type == "llama" and not any(p.requires_grad for p in model.parameters())
    assert tokenizer.chat_template == tiny_gguf.LLAMA_TEMPLATE
    assert (tokenizer.padding_side, tokenizer("go").input_ids[0]) == ("right", tokenizer.convert_tokens_to_ids("go"))
    folder = base.folder(base.CHAT)
    assert (folder / "LICENSE").exists() and folder.name.startswith("smollm2-135m-instruct-")
    base.verify(base.CHAT)
    assert not base.is_prepared() and base.is_prepared(base.CHAT)


def test_another_chat_model_keeps_its_template_and_one_without_is_refused(chat_file, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(base.prepare(silent, base.CHAT), tmp_path / "own")
    monkeypatch.setenv("COURSE_CHAT_MODEL", str(folder))
    assert base.load_chat()[1].chat_template == tiny_gguf.LLAMA_TEMPLATE
    assert str(folder) in capsys.readouterr().out
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": None}))
    with pytest.raises(AssetError, match=r"COURSE_CHAT_MODEL=.* has no chat template.*\n.*unset COURSE_CHAT_MODEL"):
        base.load_chat()
    monkeypatch.setenv("COURSE_CHAT_MODEL", "./nowhere")
    with pytest.raises(AssetError, match=r"COURSE_CHAT_MODEL is '\./nowhere'"):
        base.load_chat()


# The real models


@pytest.fixture(scope="module")
def real():
    return base.load_base(dtype=torch.float32)


def test_the_real_file_is_dequantised_exactly(real):
    import gguf

    source = convert.GGUFFile(assets.path("base-model") / "gemma-3-270m.gguf")
    parameters = dict(real[0].named_parameters())
    for name in ("blk.0.attn_q.weight", "blk.9.attn_output.weight", "blk.17.ffn_down.weight", "blk.3.attn_v.weight"):
        tensor = source.tensors[name]
        kind = gguf.GGMLQuantizationType(tensor.kind)
        block, size = gguf.GGML_QUANT_SIZES[kind]
        start = source.data_start + tensor.offset
        rows = source.bytes[start : start + tensor.shape[0] * tensor.shape[1] // block * size]
        expected = gguf.quants.dequantize(rows.reshape(tensor.shape[0], -1), kind)
        came = parameters[convert.parameter_name(name)]
        assert torch.equal(came, torch.from_numpy(expected).bfloat16().float()), name
    assert {source.formats[name] for name in source.tensors} == {"F32", "Q8_0", "Q5_0", "Q4_K", "Q6_K"}


def test_the_real_model_reads_and_writes_english(real):
    model, tokenizer = real
    assert sum(parameter.numel() for parameter in model.parameters()) == 268_098_176
    assert model.lm_head.weight is model.model.embed_tokens.weight
    text = "The Eiffel Tower is a wrought-iron lattice tower on the Champ de Mars in Paris, France."
    tokens = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        perplexity = model(**tokens, labels=tokens["input_ids"]).loss.exp().item()
        assert 8 < perplexity < 20
        made = model.generate(**tokenizer("The capital of France is", return_tensors="pt"), max_new_tokens=12)
    assert tokenizer.decode(made[0]).startswith("<bos>The capital of France is the capital of")


def test_the_real_tokenizer_has_gemmas_ids(real):
    _, tokenizer = real
    assert len(tokenizer) == 262_144
    assert tokenizer("Hello  world\n\nHi").input_ids == [2, 9259, 138, 12392, 108, 10979]
    assert tokenizer.convert_tokens_to_ids(["<start_of_turn>", "<end_of_turn>"]) == [105, 106]


def test_a_cached_load_takes_at_most_half_as_long_again_as_a_plain_one(real):
    def seconds(load):
        start = time.perf_counter()
        load()
        return time.perf_counter() - start

    def plain():
        AutoTokenizer.from_pretrained(base.folder())
        AutoModelForCausalLM.from_pretrained(base.folder(), dtype=torch.bfloat16).eval()

    ours = min(seconds(lambda: base.load_base(dtype=torch.bfloat16)) for _ in range(2))
    theirs = min(seconds(plain) for _ in range(2))
    assert ours <= 1.5 * theirs, f"{ours:.2f} s against {theirs:.2f} s"


def test_the_real_copy_is_as_written():
    base.verify()
    assert Path(base.folder()).parent.name == "models"


def test_the_real_chat_model_answers_and_stops():
    model, tokenizer = base.load_chat(dtype=torch.float32)
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    tokens = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert "You are a helpful AI assistant named SmolLM" in tokenizer.decode(tokens["input_ids"][0])
    made = model.generate(**tokens, max_new_tokens=20)[0, tokens["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(made) and made[-1] == tokenizer.eos_token_id
