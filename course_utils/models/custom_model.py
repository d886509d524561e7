"""The model that COURSE_MODEL or COURSE_CHAT_MODEL names instead of the course's own, and what to do without it.

A folder is looked through before it is loaded (`models.model_folder`), and the loaded model is tried on a few tokens:
the course reads log-probabilities from hidden · Wᵀ, and packs rows behind one another.
"""

import contextlib
import os
from pathlib import Path

from course_utils import runtime
from course_utils.files import AssetError

# Logits and hidden · Wᵀ may differ by this share of the largest: bfloat16 rounds twice on the way
LOGITS_APART = 2**-6
TURNS = ("<start_of_turn>", "<end_of_turn>")
_OURS = "or unset {setting} for the model that the course brings along."
BASE, CHAT = "COURSE_MODEL", "COURSE_CHAT_MODEL"


class ModelError(AssetError):
    """The model that COURSE_MODEL or COURSE_CHAT_MODEL names cannot be loaded."""


def source(asked, setting=BASE):
    """What `from_pretrained` takes for COURSE_MODEL: a folder as an absolute path, or the hub id as it is.

    Args:
        asked: the value of COURSE_MODEL. setting: BASE, or CHAT for that of COURSE_CHAT_MODEL.

    Raises:
        ModelError: there is no such folder, or no model in it.
    """
    if runtime.is_hub_id(asked):
        return asked
    ours = _OURS.format(setting=setting)
    path = Path(os.path.expanduser(asked)).absolute()
    if not os.path.isdir(path):  # Path's own functions raise for a name that is too long, or of no user
        raise ModelError(
            f"{setting} is {asked!r}, and there is no folder {path}.\n"
            f"Give an existing folder, or a hub id such as google/gemma-3-270m, {ours}"
        )
    if (path / "adapter_config.json").exists() and not (path / "config.json").exists():
        raise ModelError(
            f"{setting} leads to {path}, which holds adapter_config.json: an adapter, merge it first "
            f"(peft's merge_and_unload, then save_pretrained) and give the merged model's folder, {ours}"
        )
    if not (path / "config.json").is_file():
        held = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
        raise ModelError(
            f"{setting} leads to {path}, which has no config.json (it holds {held}).\n"
            "Give the folder that save_pretrained wrote (config.json, model.safetensors, tokenizer.json), "
            f"{ours}"
        )
    return path


# Error of the hub, found anywhere in the chain of causes → (what came, what to do). The first that matches is taken.
_HUB = (
    (
        ("GatedRepoError", "gated repo"),
        "The hub gives {asked} only to those who accepted its licence.",
        "Open https://huggingface.co/{asked}, accept it, then log in once with `hf auth login`.",
    ),
    (
        ("OfflineModeIsEnabled", "outgoing traffic has been disabled"),
        "{asked} is not on this machine, and the hub is switched off.",
        "Unset COURSE_OFFLINE and HF_HUB_OFFLINE, then restart the kernel.",
    ),
    (
        ("RepositoryNotFoundError", "is not a valid model identifier"),
        "The hub has no model {asked} that you may see.",
        "Check the spelling (owner/name); a private model needs `hf auth login`.",
    ),
    (
        ("LocalEntryNotFoundError", "ConnectError", "ConnectionError", "Timeout", "couldn't connect"),
        "The hub cannot be reached, and {asked} is not on this machine.",
        "Connect to the network and run it again; once loaded, it stays on this machine.",
    ),
)


@contextlib.contextmanager
def explained(asked, setting=BASE):
    """Turn what the hub or a folder's files raise inside the block into one ModelError."""
    import torch  # the doctor looks at a model's files where no torch is

    try:
        yield
    except (ModelError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # tokenizers and safetensors raise kinds of their own
        raise _explain(asked, error, setting) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what is written in Rust panics past Exception
            raise
        raise _explain(asked, error, setting) from error


def _explain(asked, error, setting):
    said, cause = "", error
    while cause is not None:
        said += "".join(f"{kind.__name__} " for kind in type(cause).__mro__) + f"{cause}\n"
        cause = cause.__cause__ or cause.__context__
    for signs, came, fix in _HUB if runtime.is_hub_id(asked) else ():
        if any(sign in said for sign in signs):
            said = f"{came} {fix}\nYou can also give a folder, {_OURS}"
            return ModelError(said.format(asked=asked, setting=setting))
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelError(
        f"{setting}={asked} does not load as a causal language model: {first}\n"
        f"Expected config.json, weights in safetensors and a tokenizer. Complete it, {_OURS.format(setting=setting)}"
    )


def check_loaded(asked, model, tokenizer, loading, setting=BASE):
    """Try a loaded model on a few tokens; note on it whether rows may be packed.

    Args:
        asked: the value of COURSE_MODEL, or of COURSE_CHAT_MODEL where that is the setting.
        model, tokenizer: as loaded, on the device.
        loading: what `from_pretrained` told with output_loading_info=True.

    Raises:
        ModelError: weights were missing, the tokenizer is another model's, the weights give no numbers, or the logits
            are not hidden · Wᵀ.
    """
    missing = sorted(loading["missing_keys"])
    if missing:
        listed = f"{len(missing)} weights are not in its files ({missing[0]}, …) and would be noise."
        raise _refused(asked, setting, listed)
    rows, highest = model.get_input_embeddings().num_embeddings, max(tokenizer.get_vocab().values(), default=-1)
    if not 0 <= highest < rows:
        raise _refused(
            asked,
            setting,
            f"its tokenizer has ids up to {highest:,}, and its embedding {rows:,} rows: another model's tokenizer?",
        )
    import torch
    from torch.nn import functional as F

    from course_utils.models import packing

    with torch.inference_mode():
        tokens = torch.tensor([[1, 3, 2], [1, 2, 4]], device=model.device) % rows
        logits = model(tokens[:1], use_cache=False).logits[0].float()
        hidden = model.base_model(tokens[:1], use_cache=False).last_hidden_state[0]
        _check_logits(asked, setting, logits, F.linear(hidden, model.get_output_embeddings().weight).float())
        packing.note_rows(model, tokens)


def _check_logits(asked, setting, logits, ours):
    """Raise ModelError unless both (T, V) are finite, differ between words and agree."""
    if not logits.isfinite().all():
        why = "its logits are not finite numbers: the weights are damaged, or the dtype is too narrow."
        raise _refused(asked, setting, why)
    if not (logits.std(dim=-1) > 0).all():
        raise _refused(asked, setting, "it says the same of every word: its weights are empty.")
    if (logits - ours).abs().max() > LOGITS_APART * logits.abs().max():
        nats = (logits.log_softmax(-1) - ours.log_softmax(-1)).abs().max().item()
        raise _refused(
            asked,
            setting,
            "its logits are not hidden · Wᵀ (a scale, a cap or a bias comes between), from which the course reads "
            f"log-probabilities: they would be off by up to {nats:.2g} nats.",
        )


def _refused(asked, setting, why):
    return ModelError(f"{setting}={asked} cannot be used: {why}\nGive another model, {_OURS.format(setting=setting)}")


def prepare_tokenizer(tokenizer):
    """Give a loaded tokenizer what the course relies on: a pad token, right padding, the course's own turns.

    Templates of others are not kept: what they write is not what the course's exercises and masks expect, and they are
    programs that may run without end.

    Returns:
        A line that says which notebooks will miss something, or None.
    """
    from course_utils.models import convert

    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    vocabulary = tokenizer.get_vocab()
    turns = all(mark in vocabulary for mark in TURNS)
    tokenizer.chat_template = convert.CHAT_TEMPLATE if turns else None
    missing = [] if turns else [f"07 to 09 need the turns {' and '.join(TURNS)}"]
    if any(len(tokenizer(digit, add_special_tokens=False).input_ids) != 1 for digit in "123456789"):
        missing.append("10 to 16 need one token for each digit")
    if not missing:
        return None
    return f"its tokenizer is not made for all notebooks: {'; '.join(missing)}; the others run"


def prepare_chat_tokenizer(asked, tokenizer):
    """Give the tokenizer of an instruct model what the course relies on, and leave it its own chat template.

    A template is a small program; transformers runs it in a sandbox that reaches nothing outside the text.

    Raises:
        ModelError: it has no chat template, so it is none of an instruct model.
    """
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if not tokenizer.chat_template:
        raise _refused(asked, CHAT, "its tokenizer has no chat template, so it is not tuned to answer.")
    return tokenizer
