"""A model folder from elsewhere, looked through before anything of it is loaded: that it is whole, and what it says of
itself can be true. Only JSON and the headers of safetensors are read; nothing is unpickled, nothing is run.

A folder that is broken, or made to hang a reader or fill its memory, ends here in one sentence with the file's name.
"""

import json
import math
import struct
from pathlib import Path

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")
# Bytes that a file may have; the largest known tokenizers have 40 MB, and headers 10 MB
LIMITS = {"config.json": 2**21, "generation_config.json": 2**20, "tokenizer_config.json": 2**25, INDEX: 2**26}
LIMITS |= {"tokenizer.json": 2**28, "special_tokens_map.json": 2**20, "added_tokens.json": 2**25}
LIMITS |= {"chat_template.jinja": 2**20, "chat_template.json": 2**20}
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
HEADER = 2**26
LAYERS, EXPERTS = 1000, 4096  # the deepest language models have some hundred, the widest some hundred
BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16}
BITS |= {"BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64}
PACKED = 16  # a quantized weight may take so many times fewer numbers in the file than in the model


class FolderError(ValueError):
    """A file of the folder cannot be what it should be; the message begins with its name."""


def check(folder):
    """Look through a folder that `from_pretrained` shall take.

    Args:
        folder: holds config.json, safetensors and a tokenizer.

    Raises:
        FolderError: a file is missing, broken or too large, or two of them contradict each other.
    """
    folder = Path(folder)
    for name, most in LIMITS.items():
        _check_size(folder / name, most)
    config = _config(folder)
    for name in ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        if (folder / name).exists():
            _object(folder / name)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise FolderError(f"{folder.name} has no tokenizer: expected one of {', '.join(TOKENIZERS)}.")
    held = weights(folder)
    _check_widths(config, held)
    _check_layers(config, held)
    _check_count(folder, config, held)


def weights(folder):
    """{tensor's name: shape} of the folder's safetensors, from their headers alone.

    Raises:
        FolderError: there are none, no tensor in them, or a header that cannot be true.
    """
    held = {}
    for name in _weight_files(folder):
        for tensor, shape in _header(folder / name).items():
            if tensor in held:
                raise FolderError(f"{name} holds {tensor}, which another file of the folder holds as well.")
            held[tensor] = shape
    if not any(math.prod(shape) for shape in held.values()):
        raise FolderError(
            f"{SINGLE} holds no weight ({len(held)} tensors): the model would be noise. Save the model again."
        )
    return held


def adapter(folder, more):
    """Look through a folder that peft shall take: small JSON, weights in safetensors, as many as its settings say.

    Args:
        folder: holds adapter_config.json and adapter_model.safetensors.
        more: the name of another JSON file in it.

    Returns:
        The object in that other file.

    Raises:
        FolderError: a file is missing, broken or too large, or the settings ask for other weights than there are.
    """
    folder = Path(folder)
    for name in (more, ADAPTER, ADAPTER_WEIGHTS):
        if not (folder / name).exists():
            raise FolderError(f"{name} is missing in {folder}. An adapter is written by library.save, in safetensors.")
        _check_size(folder / name, 2**20 if name != ADAPTER_WEIGHTS else 2**40)
    settings, held = _object(folder / ADAPTER), _header(folder / ADAPTER_WEIGHTS)
    if not any(math.prod(shape) for shape in held.values()):
        raise FolderError(f"{ADAPTER_WEIGHTS} holds no weight ({len(held)} tensors). Save the adapter again.")
    firsts = {shape[0] for name, shape in held.items() if shape and (".lora_A" in name or "prompt_embeddings" in name)}
    ranks = sorted(firsts)  # no set: a setting may be a list
    pattern = settings.get("rank_pattern") or {}
    asked = [settings.get("r"), settings.get("num_virtual_tokens"), *getattr(pattern, "values", list)()]
    for value in asked:
        if value is not None and value not in ranks:
            raise FolderError(
                f"{ADAPTER} asks for {_short(value)} directions or tokens; {ADAPTER_WEIGHTS} has {ranks}."
            )
    return _object(folder / more)


def _check_size(path, most):
    if path.exists() and not path.is_file():
        raise FolderError(f"{path.name} is not a plain file.")
    if path.exists() and path.stat().st_size > most:
        raise FolderError(f"{path.name} has {path.stat().st_size:,} bytes; at most {most:,} are read.")


def _object(path):
    """The JSON object in a file."""
    try:
        read = json.loads(path.read_bytes())
    except RecursionError:
        raise FolderError(f"{path.name} is nested too deeply to be read.") from None
    except ValueError as error:  # not UTF-8, not JSON, or a number of a million digits
        raise FolderError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(read, dict):
        raise FolderError(f"{path.name} holds a {type(read).__name__}; expected a JSON object.")
    return read


def _config(folder):
    """The configuration of the language model, with that of a larger model around it filled in."""
    path = folder / "config.json"
    config = _object(path)
    if (folder / "adapter_config.json").exists():
        raise FolderError("adapter_config.json stands beside config.json: an adapter, merge it first.")
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING_NAMES:
        own = " It brings code of its own (auto_map), and the course runs no code of others." * ("auto_map" in config)
        raise FolderError(f"config.json names model_type {_short(kind)}, which this transformers does not know.{own}")
    inner = config.get("text_config")
    return config | inner if isinstance(inner, dict) else config


def _short(value):
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "…"


def _weight_files(folder):
    """The names of the files with weights, each a plain file of this folder."""
    if (folder / SINGLE).is_file():
        return [SINGLE]
    if not (folder / INDEX).is_file():
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
        if pickles:
            raise FolderError(
                f"{pickles[0]} is a pickle, which can run code when it is read. Expected safetensors: save the model "
                "again with a current transformers, on a machine where you trust the file."
            )
        raise FolderError(f"{SINGLE} is missing in {folder.name}, so there are no weights.")
    named = _object(folder / INDEX).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise FolderError(f"{INDEX} has no weight_map that gives each tensor its file.")
    names = sorted(set(named.values()))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise FolderError(f"{INDEX} names the file {_short(name)}; expected safetensors beside it.")
        if not (folder / name).is_file():
            raise FolderError(f"{INDEX} names {name}, which is missing.")
    return names


def _header(path):
    """{tensor's name: shape} of one safetensors file, whose header fits its bytes."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(HEADER, size - 8):
            raise FolderError(f"{path.name} has {size:,} bytes and no header of safetensors; was it cut off?")
        text = file.read(length)
    try:
        header = json.loads(text)
    except RecursionError:
        raise FolderError(f"{path.name} has a header that is nested too deeply.") from None
    except ValueError:
        raise FolderError(f"{path.name} has a header that is not JSON; was it altered?") from None
    if not isinstance(header, dict):
        raise FolderError(f"{path.name} has a header that is no JSON object.")
    header.pop("__metadata__", None)
    return {name: _shape(path, name, entry, size - 8 - length) for name, entry in header.items()}


def _shape(path, name, entry, data):
    """The shape in one entry of a header, when its bytes lie within the file and are as many as it needs."""
    try:
        bits, shape, (start, end) = BITS[entry["dtype"]], entry["shape"], entry["data_offsets"]
        whole = all(type(number) is int and number >= 0 for number in (*shape, start, end))
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise FolderError(f"{path.name} describes {_short(name)} in a way that safetensors does not know.")
    if end > data:
        raise FolderError(f"{path.name} is cut off: {_short(name)} ends at byte {end:,} of {data:,}.")
    if math.prod(shape) * bits // 8 != end - start:
        raise FolderError(f"{path.name} gives {_short(name)} the shape {shape} and {end - start:,} bytes.")
    return tuple(shape)


def _check_widths(config, held):
    """Sizes are whole numbers above zero, and no matrix that they ask for has more weights than the files."""
    total = sum(map(math.prod, held.values())) * (PACKED if "quantization_config" in config else 1)
    sizes = {"hidden_size", "vocab_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "head_dim"}
    sizes |= {"num_key_value_heads", "n_embd", "n_head", "n_layer", "n_positions", "d_model", "max_position_embeddings"}
    for name in sorted(sizes & config.keys()):
        value = config[name]
        if value is not None and (type(value) is not int or not 0 < value < 2**31):
            raise FolderError(f"config.json gives {name} = {_short(value)}; expected a whole number above 0.")
    width = config.get("hidden_size") or config.get("n_embd") or 1
    heads = (config.get("num_attention_heads") or 1) * (config.get("head_dim") or 1)
    for name, other in (
        ("vocab_size", config.get("vocab_size")), ("intermediate_size", config.get("intermediate_size")),
        ("head_dim", heads),
    ):  # fmt: skip
        if type(other) is int and other * width > total:
            raise FolderError(
                f"config.json asks for {name} × width = {other:,} × {width:,}, and the files hold {total:,} weights."
            )


def _check_layers(config, held):
    layers = config.get("num_hidden_layers") or config.get("n_layer") or 0
    if layers > min(LAYERS, len(held)):
        raise FolderError(f"config.json asks for {layers:,} layers, and the files hold {len(held):,} tensors.")
    for name, value in config.items():
        if "expert" in name and type(value) is int and value > EXPERTS:
            raise FolderError(f"config.json gives {name} = {value:,}; expected at most {EXPERTS:,}.")


def _check_count(folder, config, held):
    """The model that config.json describes has as many weights as the files, tied ones counted once.

    It is built without memory for its weights; its layers are no more than the files' tensors.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(settings, trust_remote_code=False)
    for name, weight in model.named_parameters():
        if name in held and weight.numel() != math.prod(held[name]) and "quantization_config" not in config:
            raise FolderError(
                f"config.json asks for {name} of shape {tuple(weight.shape)}, and the files hold {held[name]}."
            )
    wanted = sum(weight.numel() for weight in model.parameters())
    total = sum(map(math.prod, held.values())) * (PACKED if "quantization_config" in config else 1)
    if wanted > total * 1.02 + 1000:
        raise FolderError(
            f"config.json describes a model of {wanted:,} weights, and the files hold {total:,}. Files of two models "
            "mixed, or one of them cut off?"
        )
