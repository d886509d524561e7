"""The model that COURSE_MODEL names instead of the course's own: where it is, and what to do when it cannot be had."""

import contextlib
from pathlib import Path

from course_utils import runtime
from course_utils.files import AssetError

_OURS = "or unset COURSE_MODEL for the model that the course brings along."


class ModelError(AssetError):
    """The model that COURSE_MODEL names cannot be loaded."""


def source(asked):
    """What `from_pretrained` takes for COURSE_MODEL: a folder as an absolute path, or the hub id as it is.

    Args:
        asked: the value of COURSE_MODEL.

    Raises:
        ModelError: there is no such folder, or no model in it.
    """
    if runtime.is_hub_id(asked):
        return asked
    path = Path(asked).expanduser().absolute()
    if not path.is_dir():
        raise ModelError(
            f"COURSE_MODEL is {asked!r}, and there is no folder {path}.\n"
            f"Give an existing folder, or a hub id such as google/gemma-3-270m, {_OURS}"
        )
    if not (path / "config.json").is_file():
        held = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
        raise ModelError(
            f"COURSE_MODEL leads to {path}, which has no config.json (it holds {held}).\n"
            "Give the folder that save_pretrained wrote (config.json, model.safetensors, tokenizer.json), "
            f"{_OURS}"
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
def explained(asked):
    """Turn what the hub or a folder's files raise inside the block into one ModelError."""
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _explain(asked, error) from error


def _explain(asked, error):
    said, cause = "", error
    while cause is not None:
        said += "".join(f"{kind.__name__} " for kind in type(cause).__mro__) + f"{cause}\n"
        cause = cause.__cause__ or cause.__context__
    for signs, came, fix in _HUB if runtime.is_hub_id(asked) else ():
        if any(sign in said for sign in signs):
            return ModelError(f"{came} {fix}\nYou can also give a folder, ".format(asked=asked) + _OURS)
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelError(
        f"COURSE_MODEL={asked} does not load as a causal language model: {first}\n"
        f"Expected config.json, weights in safetensors and a tokenizer. Complete it, {_OURS}"
    )
