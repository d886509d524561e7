"""Loading another model through COURSE_MODEL: a folder, a model of the hub, and each way in which it is not there."""

import json
import os
import shutil
import subprocess
import sys

import httpx
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, CohereConfig, LlamaConfig, PhiConfig
from transformers.utils import hub

from course_utils.data import dialogue, graded, prompts
from course_utils.models import base, convert, custom_model, packing


def ask(monkeypatch, model):
    """The message that loading the model gives."""
    monkeypatch.setenv("COURSE_MODEL", str(model))
    with pytest.raises(custom_model.ModelError) as caught:
        base.load_base()
    message = str(caught.value)
    assert "unset COURSE_MODEL" in message
    return message


def test_a_folder_of_ones_own(tiny_folder, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    model, tokenizer = base.load_base()
    assert model.config.hidden_size == 32 and str(tiny_folder) in capsys.readouterr().out
    assert tokenizer.padding_side == "right" and tokenizer.chat_template == convert.CHAT_TEMPLATE


def test_a_folder_without_pad_token_or_template_gets_them(tiny_folder, tmp_path, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    tokenizer.chat_template, tokenizer.pad_token, tokenizer.padding_side = None, None, "left"
    tokenizer.save_pretrained(tmp_path / "own")
    AutoModelForCausalLM.from_pretrained(tiny_folder).save_pretrained(tmp_path / "own")
    monkeypatch.setenv("COURSE_MODEL", str(tmp_path / "own"))
    _, tokenizer = base.load_base()
    assert (tokenizer.pad_token, tokenizer.padding_side) == ("<eos>", "right")
    assert tokenizer.chat_template == convert.CHAT_TEMPLATE


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "a/b/c", "~/nowhere-at-all"])
def test_a_missing_folder(name, monkeypatch):
    assert f"COURSE_MODEL is {name!r}, and there is no folder /" in ask(monkeypatch, name)


def test_a_folder_without_config(tmp_path, monkeypatch):
    assert "no config.json (it holds nothing)" in ask(monkeypatch, tmp_path)
    (tmp_path / "model.gguf").write_text("")
    assert "no config.json (it holds model.gguf)" in ask(monkeypatch, tmp_path)


def test_a_folder_without_weights_or_with_a_broken_config(tiny_folder, tmp_path, monkeypatch):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_folder / name).read_bytes())
    assert "does not load as a causal language model: " in ask(monkeypatch, tmp_path)
    (tmp_path / "config.json").write_text("{broken")
    assert "does not load as a causal language model: " in ask(monkeypatch, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "of-the-future"}))
    assert "does not load as a causal language model: " in ask(monkeypatch, tmp_path)


def answer(status):
    return httpx.Response(status, request=httpx.Request("GET", "https://huggingface.co/some/model"))


HUB = {
    "gated": (lambda: errors.GatedRepoError("403", response=answer(403)), "only to those who accepted its licence"),
    "unknown": (lambda: errors.RepositoryNotFoundError("404", response=answer(404)), "has no model some/model that"),
    "offline": (lambda: errors.OfflineModeIsEnabled("HF_HUB_OFFLINE=1"), "the hub is switched off. Unset COURSE_OFF"),
    "no network": (lambda: errors.LocalEntryNotFoundError("Check your connection"), "The hub cannot be reached, and"),
    "refused": (lambda: httpx.ConnectError("Connection refused"), "The hub cannot be reached, and some/model is not"),
    "slow": (lambda: httpx.ReadTimeout("timed out"), "The hub cannot be reached, and some/model is not"),
}


@pytest.mark.parametrize("case", HUB)
def test_errors_of_the_hub_say_what_to_do(case, monkeypatch):
    error, says = HUB[case]

    def refuse(*args, **kwargs):
        raise error()

    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    assert says in ask(monkeypatch, "some/model")


def test_a_hub_model_while_offline_says_so(tmp_path):
    code = "from course_utils import runtime; runtime.start(quiet=True)\n"
    code += "from course_utils.models import base, custom_model\n"
    code += "try:\n    base.load_base()\nexcept custom_model.ModelError as error:\n    print(error)"
    environment = os.environ | {"COURSE_MODEL": "google/gemma-3-270m", "COURSE_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    came = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=100)
    assert came.stdout.startswith("google/gemma-3-270m is not on this machine, and the hub is switched off."), came


def changed(tiny_folder, tmp_path, change=None, **settings):
    """A copy of the tiny model with a changed config, and what `change` did to its weights."""
    folder = shutil.copytree(tiny_folder, tmp_path / "own")
    config = json.loads((folder / "config.json").read_text()) | settings
    (folder / "config.json").write_text(json.dumps(config))
    if change:
        save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})
    return folder


def test_an_adapter_is_named_as_one(tmp_path, monkeypatch):
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "an adapter, merge it first (peft's merge_and_unload" in ask(monkeypatch, tmp_path)


def test_logits_with_a_cap_are_refused(tiny_folder, tmp_path, monkeypatch):
    message = ask(monkeypatch, changed(tiny_folder, tmp_path, final_logit_softcapping=3.0))
    assert "logits are not hidden · Wᵀ" in message and "they would be off by up to" in message


def test_logits_with_a_scale_or_a_bias_are_refused(tmp_path):
    for kind, settings in {CohereConfig: {"logit_scale": 0.5}, PhiConfig: {}}.items():
        model = small(kind, **settings)
        if model.lm_head.bias is not None:
            torch.nn.init.normal_(model.lm_head.bias)
        with pytest.raises(custom_model.ModelError, match="logits are not hidden · Wᵀ"):
            custom_model.check_loaded("own", model, Words(), {"missing_keys": set()})


def test_logits_of_the_plain_kind_are_taken_in_bfloat16_too():
    for dtype in (torch.float32, torch.bfloat16):
        model = small(LlamaConfig).to(dtype)
        custom_model.check_loaded("own", model, Words(), {"missing_keys": set()})
        assert not packing.rows_apart(model)


def test_another_models_tokenizer_is_refused():
    with pytest.raises(custom_model.ModelError, match=r"ids up to 99, and its embedding 50 rows"):
        custom_model.check_loaded("own", small(LlamaConfig), Words(100), {"missing_keys": set()})


def small(kind, **settings):
    """A causal language model of two layers."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "pad_token_id": 0}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2, "initializer_range": 0.5}
    return AutoModelForCausalLM.from_config(kind(**sizes, **settings)).eval()


class Words:
    """A tokenizer of so many words."""

    def __init__(self, count=50):
        self.count = count

    def get_vocab(self):
        return {f"word{number}": number for number in range(self.count)}


def test_a_tokenizer_without_turns_says_what_will_be_missed(tiny_folder, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(tiny_folder, tmp_path / "own")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (folder / name).read_text().replace("<start_of_turn>", "<other>")
        (folder / name).write_text(text)
    monkeypatch.setenv("COURSE_MODEL", str(folder))
    _, tokenizer = base.load_base()
    assert tokenizer.chat_template is None
    assert "07 to 09 need the turns <start_of_turn> and <end_of_turn>" in capsys.readouterr().out


def test_the_courses_turns_replace_another_template(tiny_folder, tmp_path, monkeypatch):
    folder = shutil.copytree(tiny_folder, tmp_path / "own")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    monkeypatch.setenv("COURSE_MODEL", str(folder))
    assert base.load_base()[1].chat_template == convert.CHAT_TEMPLATE


def test_without_bos_nothing_stands_in_front(tiny_tokenizer):
    tiny_tokenizer.bos_token = None
    chat, template = dialogue.chat(tiny_tokenizer), prompts.Template("{text}:", (" good", " bad"))
    assert None not in chat.beginning and None not in graded.prompt_tokens(tiny_tokenizer, [])
    shown = prompts.prompt_tokens(tiny_tokenizer, template, [prompts.Example("a film", 1)])
    assert None not in shown and shown[0] == tiny_tokenizer("a", add_special_tokens=False).input_ids[0]
    assert prompts.prompt_tokens(tiny_tokenizer, template, []) == [tiny_tokenizer.eos_token_id]
