"""Folders and GGUF files that are broken, or made to run code, hang or fill the memory: each ends in one sentence.

Every case starts from a good folder and spoils one thing. None may take long, and none may run what it brings.
"""

import contextlib
import json
import re
import shutil
import struct
import sys
import time
from pathlib import Path

import pytest
import torch
import transformers.models.gemma3.modeling_gemma3  # noqa: F401  the bounds hold after the imports
from safetensors.torch import load_file, save_file

from course_utils.models import base, custom_model
from course_utils.models.gguf_file import GGUFFile

SECONDS, BYTES = 10, 1.5e9
WEIGHTS, CONFIG, TOKENS = "model.safetensors", "config.json", "tokenizer.json"


def replaced(name, text):
    """A spoiler that writes a file anew."""
    return lambda folder: (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def without(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def configured(**values):
    """A spoiler that sets values in config.json."""

    def spoil(folder):
        config = json.loads((folder / CONFIG).read_text()) | values
        (folder / CONFIG).write_text(json.dumps(config))

    return spoil


def tensors(change):
    """A spoiler that writes the weights as `change` returns them."""
    return lambda folder: save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, metadata={"format": "pt"})


def header(change, *, data=b"\0" * 64):
    """A spoiler that writes a safetensors file of this header."""
    text = change if isinstance(change, bytes) else json.dumps(change).encode()
    return replaced(WEIGHTS, struct.pack("<Q", len(text)) + text + data)


def cut(name, keep):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def pickled(folder):
    """Weights as a pickle that leaves a mark when it is read."""
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cbuiltins\nprint\n(S'RAN'\ntR.")


def own_code(folder):
    """A model with code of its own, which leaves a mark when it is imported."""
    (folder / "modeling_own.py").write_text("print('RAN')\nclass Own: pass\n")
    configured(model_type="own", auto_map={"AutoModelForCausalLM": "modeling_own.Own"})(folder)


def own_tokenizer(folder):
    (folder / "tokenization_own.py").write_text("print('RAN')\nclass Own: pass\n")
    settings = {"auto_map": {"AutoTokenizer": ["tokenization_own.Own", None]}, "tokenizer_class": "Own"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def indexed(weight_map):
    def spoil(folder):
        (folder / WEIGHTS).rename(folder / "part.safetensors")
        (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return spoil


def widened(state):
    name = next(name for name in state if name.endswith("q_proj.weight"))
    return state | {name: torch.zeros(7, 32)}


def sparse(folder):
    """A config of a terabyte that takes no room on the disk."""
    with open(folder / CONFIG, "r+b") as file:
        file.truncate(2**40)


DEEP = "[" * 200_000
F32 = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
FOLDERS = {
    "no weights": (without(WEIGHTS), f"{WEIGHTS} is missing"),
    "a pickle instead": (pickled, "pytorch_model.bin is a pickle, which can run code"),
    "code of its own": (own_code, f"{CONFIG} names model_type 'own', which this transformers does not know. It brings"),
    "no tensor": (tensors(lambda state: {}), f"{WEIGHTS} holds no weight (0 tensors)"),
    "empty tensors": (tensors(lambda state: {"a": torch.zeros(0)}), f"{WEIGHTS} holds no weight (1 tensors)"),
    "a tensor fewer": (tensors(lambda s: dict(list(s.items())[:-1])), "1 weights are not in its files"),
    "other names": (tensors(lambda s: {f"x.{name}": t for name, t in s.items()}), "weights are not in its files"),
    "another shape": (tensors(widened), f"{CONFIG} asks for model.layers.0.self_attn.q_proj.weight of shape"),
    "not a number": (tensors(lambda s: {n: t * torch.nan for n, t in s.items()}), "logits are not finite numbers"),
    "all zero": (tensors(lambda s: {n: t * 0 for n, t in s.items()}), "says the same of every word"),
    "an empty file": (replaced(WEIGHTS, b""), f"{WEIGHTS} has 0 bytes and no header"),
    "cut in the header": (cut(WEIGHTS, 100), f"{WEIGHTS} has 100 bytes and no header"),
    "cut in the weights": (cut(WEIGHTS, 20_000), f"{WEIGHTS} is cut off"),
    "a header without end": (replaced(WEIGHTS, struct.pack("<Q", 2**62) + b"{}"), f"{WEIGHTS} has 10 bytes and no"),
    "a deep header": (header(DEEP.encode()), f"{WEIGHTS} has a header that is nested too deeply"),
    "a header that is none": (header(b"{broken"), f"{WEIGHTS} has a header that is not JSON"),
    "a list as header": (header([1]), f"{WEIGHTS} has a header that is no JSON object"),
    "an unknown dtype": (header({"a": F32 | {"dtype": "F33"}}), f"{WEIGHTS} describes 'a' in a way"),
    "negative offsets": (header({"a": F32 | {"data_offsets": [-16, 0]}}), f"{WEIGHTS} describes 'a' in a way"),
    "an absurd shape": (header({"a": F32 | {"shape": [2**40, 2**40]}}), f"{WEIGHTS} gives 'a' the shape"),
    "bytes beyond the file": (header({"a": F32 | {"data_offsets": [2**40, 2**40 + 16]}}), f"{WEIGHTS} is cut off"),
    "an index that leads away": (indexed({"a": "../../../etc/passwd"}), f"{WEIGHTS}.index.json names the file"),
    "an index to a pickle": (indexed({"a": "pytorch_model.bin"}), f"{WEIGHTS}.index.json names the file"),
    "an index to nothing": (indexed({"a": "b.safetensors"}), f"{WEIGHTS}.index.json names b.safetensors, which is"),
    "an index without a map": (indexed([]), f"{WEIGHTS}.index.json has no weight_map"),
    "a broken config": (replaced(CONFIG, "{broken"), f"{CONFIG} is not JSON"),
    "a deep config": (replaced(CONFIG, DEEP), f"{CONFIG} is nested too deeply"),
    "a config that is a list": (replaced(CONFIG, "[]"), f"{CONFIG} holds a list"),
    "a config of a terabyte": (sparse, f"{CONFIG} has 1,099,511,627,776 bytes"),
    "a type of the future": (configured(model_type="of-the-future"), f"{CONFIG} names model_type 'of-the-future'"),
    "layers without end": (configured(num_hidden_layers=10**9), f"{CONFIG} asks for 1,000,000,000 layers"),
    "fewer layers in the files": (configured(num_hidden_layers=20), CONFIG),
    "layers below zero": (configured(num_hidden_layers=-1), f"{CONFIG} gives num_hidden_layers = -1"),
    "a width as text": (configured(hidden_size="32"), f"{CONFIG} gives hidden_size = '32'"),
    "a width without end": (configured(hidden_size=2**30), f"{CONFIG} asks for"),
    "a vocabulary without end": (configured(vocab_size=2**30), f"{CONFIG} asks for vocab_size"),
    "heads without end": (configured(num_attention_heads=2**20), f"{CONFIG} asks for head_dim"),
    "an adapter beside": (replaced("adapter_config.json", "{}"), "an adapter, merge it first"),
    "no tokenizer": (without(TOKENS, "tokenizer_config.json"), "has no tokenizer"),
    "a broken tokenizer": (replaced(TOKENS, "{broken"), f"{TOKENS} or another file of the tokenizer: "),
    "a deep tokenizer": (replaced(TOKENS, DEEP), f"{TOKENS} or another file of the tokenizer: "),
    "a deep tokenizer_config": (replaced("tokenizer_config.json", DEEP), "tokenizer_config.json is nested too deeply"),
    "a template without end": (
        replaced("chat_template.jinja", b"x" * 2**21),
        "chat_template.jinja has 2,097,152 bytes",
    ),
}


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A good folder of one's own."""
    return shutil.copytree(tiny_folder, tmp_path / "own")


def memory(mark):
    """What Linux says of this process's memory, in bytes: "VmRSS" now, "VmHWM" at most."""
    return 1024 * int(re.search(rf"{mark}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def begun_anew():
    """Whether the mark of the most memory could be set back to what is held now; elsewhere than on Linux it cannot."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False


@contextlib.contextmanager
def bounded():
    """Inside, neither time nor memory may grow beyond what a learner waits for and has."""
    before = memory("VmRSS") if begun_anew() else None
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    assert before is None or memory("VmHWM") - before < BYTES, "too many bytes"
    assert seconds < SECONDS


@pytest.mark.skipif(not begun_anew(), reason="this system does not tell")
def test_a_gigabyte_and_a_half_would_be_noticed():
    with pytest.raises(AssertionError, match="too many bytes"), bounded():
        torch.ones(int(1.6e9), dtype=torch.uint8)


def refused(folder, monkeypatch, capfd):
    """The message that loading the folder gives, within time and memory, without running anything."""
    monkeypatch.setenv("COURSE_MODEL", str(folder))
    with bounded(), pytest.raises(custom_model.ModelError) as caught:
        base.load_base()
    assert "RAN" not in capfd.readouterr().out
    message = str(caught.value)
    assert len(message) < 700 and "unset COURSE_MODEL" in message
    return message


@pytest.mark.parametrize("case", FOLDERS)
def test_a_hostile_folder_ends_in_one_sentence(case, folder, monkeypatch, capfd):
    spoil, says = FOLDERS[case]
    spoil(folder)
    assert says in refused(folder, monkeypatch, capfd)


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, TOKENS])
def test_a_pipe_is_never_read(name, folder, monkeypatch, capfd):
    import os

    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert name in refused(folder, monkeypatch, capfd)


def test_a_tokenizers_own_code_is_left_alone(folder, monkeypatch, capfd):
    own_tokenizer(folder)
    monkeypatch.setenv("COURSE_MODEL", str(folder))
    base.load_base()
    assert "RAN" not in capfd.readouterr().out


def test_the_good_folder_loads(folder, monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", str(folder))
    assert base.load_base()[0].config.hidden_size == 32


def test_a_template_of_others_is_never_rendered(folder, monkeypatch):
    (folder / "chat_template.jinja").write_text(
        "{% for a in range(99999) %}{% for b in range(99999) %}x" + "{% endfor %}" * 2
    )
    monkeypatch.setenv("COURSE_MODEL", str(folder))
    with bounded():
        _, tokenizer = base.load_base()
        text = tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False)
    assert text.startswith("<bos><start")


def gguf(*numbers, tail=b""):
    """The bytes of a GGUF file: version 3, how many tensors and values, then what follows."""
    return b"GGUF" + struct.pack("<I", 3) + struct.pack(f"<{len(numbers)}Q", *numbers) + tail


def named(text, kind):
    return struct.pack("<Q", len(text)) + text + struct.pack("<I", kind)


def table(shape, kind=0, offset=0):
    """One tensor in the table."""
    entry = struct.pack("<Q", 1) + b"a" + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
    return entry + struct.pack("<IQ", kind, offset)


GGUF = {
    "an empty file": b"",
    "cut after the magic": b"GGUF",
    "values without end": gguf(0, 2**62),
    "tensors without end": gguf(2**62, 0),
    "a text longer than the file": gguf(0, 1, tail=struct.pack("<Q", 2**60) + b"a"),
    "an array longer than the file": gguf(0, 1, tail=named(b"a", 9) + struct.pack("<IQ", 4, 2**60)),
    "an array of texts without end": gguf(0, 1, tail=named(b"a", 9) + struct.pack("<IQ", 8, 2**60)),
    "arrays in arrays without end": gguf(0, 1, tail=named(b"a", 9) + struct.pack("<IQ", 9, 1) * 100_000),
    "an unknown kind of value": gguf(0, 1, tail=named(b"a", 77)),
    "a text that is no text": gguf(0, 1, tail=named(b"\xff\xfe", 4) + b"\0" * 4),
    "a tensor of many dimensions": gguf(1, 0, tail=struct.pack("<Q", 1) + b"a" + struct.pack("<I", 2**31)),
    "a tensor beyond the file": gguf(1, 0, tail=table([4], offset=2**40)),
    "a tensor larger than the file": gguf(1, 0, tail=table([2**40, 2**40])),
    "a tensor of an unknown format": gguf(1, 0, tail=table([4], kind=999)),
    "an alignment of zero": gguf(0, 1, tail=named(b"general.alignment", 4) + struct.pack("<I", 0)),
}


@pytest.mark.parametrize("case", GGUF)
def test_a_hostile_gguf_file_ends_in_one_sentence(case, tmp_path):
    (tmp_path / "own.gguf").write_bytes(GGUF[case])
    with bounded(), pytest.raises(ValueError, match=r"own\.gguf") as caught:
        GGUFFile(tmp_path / "own.gguf")
    assert len(str(caught.value)) < 300
