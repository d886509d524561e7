"""The base model, Gemma 3 270M, and the instruct model, SmolLM2 135M, or those that the reader names instead.

A pinned GGUF file is converted once, into home/models/, and loads in about a second from then on. A model from the
Hugging Face hub, or from a folder, takes its place when COURSE_MODEL or COURSE_CHAT_MODEL is set.
"""

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from course_utils import assets, files, runtime
from course_utils.files import AssetError
from course_utils.models import custom_model, model_folder

FORMAT = 1  # raise it when `convert` writes something else, so that an older converted copy is not taken
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Brought:
    """A model that the course brings along.

    asset: its name among the assets. gguf: its file there. terms: files of the licence, which travel with the model.
    setting: the environment variable that puts another in its place.
    stem: what its folder's name begins with. name: how it is printed.
    size: of the converted copy in bytes, rounded up.
    """

    asset: str
    gguf: str
    terms: tuple[str, ...]
    setting: str
    stem: str
    name: str
    size: int

    @property
    def words(self):
        """How a sentence calls it: "base model", "chat model"."""
        return self.asset.replace("-", " ")


BASE = Brought(
    "base-model",
    "gemma-3-270m.gguf",
    ("GEMMA_TERMS.html", "NOTICE.md"),
    custom_model.BASE,
    "gemma-3-270m",
    "Gemma 3 270M (pre-trained, Q4_K_M)",
    570_000_000,
)
CHAT = Brought(
    "chat-model",
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    ("LICENSE",),
    custom_model.CHAT,
    "smollm2-135m-instruct",
    "SmolLM2 135M Instruct (tuned by others, Q4_1)",
    275_000_000,
)
BROUGHT = {model.asset: model for model in (BASE, CHAT)}


def folder(brought=BASE):
    """Where the converted model lies, or will lie."""
    return runtime.home() / "models" / f"{brought.stem}-{assets.ASSETS[brought.asset].key}-{FORMAT}"


def is_prepared(brought=BASE):
    """True when the converted model is there, each file with the size that its manifest gives."""
    target = folder(brought)
    try:
        manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
        return all((target / name).stat().st_size == entry["size"] for name, entry in manifest.items())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # missing, or damaged
        return False


def verify(brought=BASE):
    """Read the converted model again and compare it with its manifest.

    Raises:
        AssetError: it is missing, or a file has changed; the message gives the command that repairs it.
    """
    target = folder(brought)
    remedy = f"Remove that folder and run: {assets.FETCH}"
    if not is_prepared(brought):
        raise AssetError(f"The converted {brought.words} is not complete in {target}.\nMake it with: {assets.FETCH}")
    manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    for name, entry in manifest.items():
        if files.sha256(target / name) != entry["sha256"]:
            raise AssetError(f"{name} of the converted {brought.words} in {target} has changed.\n{remedy}")


def prepare(report=print, brought=BASE):
    """Convert a pinned model once. Two processes at once do no harm; the second waits and finds it done.

    Args:
        report: called with each progress line. brought: BASE or CHAT.

    Returns:
        The folder, which `from_pretrained` takes.

    Raises:
        AssetMissing: the pinned file has not been fetched.
        AssetError: no room on the disk, or the folder cannot be written.
    """
    target = folder(brought)
    if is_prepared(brought):
        assets.verified_once(target, lambda: verify(brought))
        return target
    source = assets.path(brought.asset)
    purpose = f"Converting the {brought.words}"
    with files.explained(purpose, target.parent), files.locked(target.parent, report):
        if is_prepared(brought):
            return target
        files.remove_leftovers(target.parent)
        files.require_space(target.parent, brought.size, purpose)
        report(f"{brought.asset}: converting it once to safetensors, about 10 seconds")
        with files.temporary_sibling(target) as temporary:
            from course_utils.models import convert

            convert.write(source / brought.gguf, temporary)
            for terms in brought.terms:  # Gemma's terms ask that they travel with the model
                shutil.copyfile(source / terms, temporary / terms)
            _write_manifest(temporary)
        report(f"{brought.asset}: converted, in {target}")
    return target


def _write_manifest(target):
    entries = {
        path.name: {"size": path.stat().st_size, "sha256": files.sha256(path)} for path in sorted(target.iterdir())
    }
    (target / MANIFEST).write_text(json.dumps(entries, indent=2), encoding="utf-8")


@contextlib.contextmanager
def _without_progress_bars():
    """transformers draws a bar for the weights, even for a second's work; a notebook's output is better without."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def load_base(*, dtype=None, device=None, trainable=False):
    """The base model and its tokenizer, ready to use.

    Args:
        dtype: torch.dtype of the weights; `runtime.current().dtype` when None.
        device: where they go; `runtime.current().device` when None.
        trainable: False freezes every weight, as adapters and measurements want it; True lets all of them learn.

    Returns:
        (model, tokenizer): a transformers causal language model in eval mode; a fast tokenizer that puts <bos> in
        front, pads on the right and knows Gemma's turns as its chat template.

    Raises:
        AssetMissing: the course's own model has not been fetched.
        custom_model.ModelError: COURSE_MODEL names what is missing, broken, gated, out of reach or not fit.
    """
    return _load(BASE, dtype, device, trainable)


def load_chat(*, dtype=None, device=None, trainable=False):
    """The instruct model and its tokenizer: SmolLM2 135M Instruct, or the one that COURSE_CHAT_MODEL names.

    Args:
        dtype, device, trainable: as for `load_base`.

    Returns:
        (model, tokenizer): as for `load_base`, except that the tokenizer has the model's own chat template, which
        writes the turns it was tuned on, and puts no token in front by itself.

    Raises:
        AssetMissing, custom_model.ModelError: as for `load_base`; ModelError also when there is no chat template.
    """
    return _load(CHAT, dtype, device, trainable)


def _load(brought, dtype, device, trainable):
    run, setting = runtime.current(), brought.setting
    asked = os.environ.get(setting, "").strip()
    if asked:
        source, name = custom_model.source(asked, setting), asked
    else:
        source, name = prepare(brought=brought), brought.name
    from transformers import AutoModelForCausalLM

    settings = {"dtype": dtype or run.dtype, "attn_implementation": run.attention}
    with custom_model.explained(asked, setting) if asked else contextlib.nullcontext(), _without_progress_bars():
        if asked and isinstance(source, Path):
            model_folder.check(source)
        tokenizer, lacks = _load_tokenizer(source, asked, chat=brought is CHAT)
        model, loading = AutoModelForCausalLM.from_pretrained(
            source, trust_remote_code=False, use_safetensors=True, output_loading_info=True, **settings
        )
        if run.attention == "sdpa":
            from course_utils.models.packing import use_row_attention

            use_row_attention(model)
        model = model.to(device or run.device).eval().requires_grad_(trainable)
        if asked:
            custom_model.check_loaded(asked, model, tokenizer, loading, setting)
    print(f"model     {name}, {sum(p.numel() for p in model.parameters()):,} parameters")
    if lacks:
        print(f"          {lacks}")
    return model, tokenizer


def _load_tokenizer(source, asked, *, chat):
    """(tokenizer, what it lacks or None): with a pad token, right padding, and a chat template if it has turns."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not asked:  # straight from its file: transformers would parse the 33 MB a second time, in Python
        settings = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
        settings.pop("tokenizer_class")
        settings |= {"tokenizer_file": str(source / "tokenizer.json"), "name_or_path": str(source)}
        return PreTrainedTokenizerFast(**settings), None
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # tokenizers says neither which file nor what is wrong with it
        raise ValueError(f"tokenizer.json or another file of the tokenizer: {error}") from error
    if chat:
        return custom_model.prepare_chat_tokenizer(asked, tokenizer), None
    return tokenizer, custom_model.prepare_tokenizer(tokenizer)
