"""What is wrong with the data is said before the first step, in words, with the rows to look at.

Rows are dictionaries. A column whose name ends in `_ids` holds token ids; `X_mask` or `completion_mask` beside it holds
True where a token is learned. A collator names the columns it needs in `collate.columns`.
"""

import difflib
import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from course_utils.engine.checkpoint import to_json


@dataclass(frozen=True)
class Survey:
    """What one pass over the rows found."""

    lengths: np.ndarray  # (rows,) tokens of each row's longest token column, summed over such columns
    fingerprint: str  # SHA-256 of all columns that the collator reads


def survey(rows, collate, recipe, module):
    """Look at every row once; raise ValueError with the remedy for the first kind of fault found.

    Args:
        rows: a datasets.Dataset, or a list of dictionaries.
        collate: turns a list of rows into a batch; its `columns`, when it has them, are those it reads.
        recipe: a TrainingRecipe.
        module: the loss module; the vocabulary and the longest sequence are those of the model inside.

    Returns:
        A Survey.
    """
    _check_size(rows)
    columns = _check_columns(rows, collate)
    vocabulary, longest = _limits(module)
    faults = {"long": [], "positions": [], "outside": [], "unlearnable": []}
    digest, lengths = hashlib.sha256(), []
    for number, row in enumerate(rows):
        lengths.append(_look(number, row, columns, recipe.max_length, vocabulary, longest, faults))
        for column in columns:
            digest.update(_bytes(row[column]))
    _raise_for(faults, len(lengths), recipe.max_length, vocabulary, longest)
    return Survey(np.array(lengths), digest.hexdigest()[:16])


def check_precision(module):
    """Raise when trained weights are in fp16, whose small updates vanish."""
    trained = [(name, weight) for name, weight in module.named_parameters() if weight.requires_grad]
    halves = [name for name, weight in trained if weight.dtype == torch.float16]
    if halves:
        raise ValueError(
            f"{len(halves)} trained weights are in float16 (first: {halves[0]}): small updates would vanish in them. "
            "Load the model in float32; fp16 then comes from autocast, step by step."
        )


def check_method(module, recipe):
    """Raise when the model's adapter and the recipe exclude each other."""
    for part in module.modules():
        kinds = {str(getattr(config, "peft_type", "")) for config in _adapter_configs(part)}
        if recipe.activation_checkpointing and any("PREFIX" in kind for kind in kinds):
            raise ValueError(
                "This model is tuned by a prefix, which lives in the key-value cache, and activation checkpointing "
                "switches that cache off. Set activation_checkpointing=False and a smaller micro_batch instead."
            )
    if not any(weight.requires_grad for weight in module.parameters()):
        raise ValueError("No weight of this model requires a gradient: nothing would be trained. Add an adapter first.")


def _adapter_configs(part):
    configs = getattr(part, "peft_config", None)
    return configs.values() if isinstance(configs, dict) else ()


def _check_size(rows):
    if len(rows) == 0:
        raise ValueError("The dataset is empty: 0 rows. Was everything filtered away? Look at it before the filter.")
    if len(rows) == 1:
        raise ValueError(
            "The dataset has one row; a model would only learn it by heart. Expected at least 2 rows. "
            "Was a row passed instead of a list of rows?"
        )


def _check_columns(rows, collate):
    """The columns to read, sorted; raises when one is missing."""
    present = sorted(rows[0])
    expected = getattr(collate, "columns", None)
    if expected is None:
        return present
    missing = [column for column in expected if column not in present]
    if not missing:
        return sorted(expected)
    near = difflib.get_close_matches(missing[0], present, n=1)
    hint = f"Rename {near[0]!r}, or build" if near else "Build"
    raise ValueError(
        f"The rows have the columns {present}, but {type(collate).__name__} reads {list(expected)}: "
        f"{missing} is missing. {hint} the rows with the function beside this collator."
    )


def _limits(module):
    """(words in the vocabulary, longest sequence) of the model inside a loss module, None where it does not say."""
    vocabulary = longest = None
    for part in module.modules():
        if vocabulary is None and hasattr(part, "get_input_embeddings"):
            vocabulary = getattr(part.get_input_embeddings(), "num_embeddings", None)
        if longest is None and hasattr(part, "config"):
            longest = getattr(part.config, "max_position_embeddings", None)
    return vocabulary, longest


def _look(number, row, columns, max_length, vocabulary, longest, faults):
    """Collect one row's faults; returns its tokens."""
    total = 0
    for column in columns:
        values = row[column]
        if column.endswith("_ids"):
            total += len(values)
            if longest is not None and len(values) > longest:
                faults["positions"].append(number)
            elif len(values) > max_length:
                faults["long"].append(number)
            if vocabulary is not None and len(values) and not 0 <= min(values) <= max(values) < vocabulary:
                faults["outside"].append(number)
        elif column == "completion_mask" and not any(values[1:]):  # the first token is predicted by nothing
            faults["unlearnable"].append(number)
    return total or 1


def _raise_for(faults, total, max_length, vocabulary, longest):
    explained = {
        "unlearnable": "have no token to learn: their completion_mask is False everywhere after truncation to "
        f"{max_length} tokens.\nThe prompt alone is longer than max_length, or the mask is inverted: it is True where "
        "a token counts.\nRaise max_length, shorten the prompts, or drop these rows.",
        "positions": f"are longer than the {longest} positions that this model has.\nCut them, or make several rows.",
        "long": f"are longer than max_length = {max_length} tokens.\nRaise max_length in the recipe, or truncate the "
        "rows when you build them.",
        "outside": f"hold token ids outside 0 … {(vocabulary or 0) - 1}, this model's vocabulary.\nThey were made "
        "with another model's tokenizer: use the one that load_base returns.",
    }
    for kind, remedy in explained.items():
        if faults[kind]:
            shown = ", ".join(str(number) for number in faults[kind][:5]) + (", …" if len(faults[kind]) > 5 else "")
            raise ValueError(f"{len(faults[kind])} of {total} rows (rows {shown}) {remedy}")


def _bytes(value):
    """Bytes that identify a cell."""
    if isinstance(value, list) and value and isinstance(value[0], int):
        return np.asarray(value).tobytes() + b"|"
    if isinstance(value, np.ndarray):
        return value.tobytes() + b"|"
    return to_json(value).encode("utf-8") + b"|"
