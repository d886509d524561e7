"""Loading another model through COURSE_MODEL: a folder, a model of the hub, and each way in which it is not there."""

import json
import os
import subprocess
import sys

import httpx
import pytest
from huggingface_hub import errors
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import hub

from course_utils.models import base, convert, custom_model


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
