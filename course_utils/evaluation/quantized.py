"""What rounding costs: the loss of each token before and after, on the same real text, with an interval over documents.

Tokens of one document are alike, so documents are resampled and not tokens. Every document starts with <bos>, without
which Gemma's loss is another one.
"""

import json
import os

import torch

from course_utils import assets
from course_utils.evaluation import comparison
from course_utils.models import custom_model
from course_utils.models.convert import parameter_name
from course_utils.models.gguf_file import GGUFFile
from course_utils.models.logprobs import token_logprobs
from course_utils.quantization import layers


def source_file():
    """The GGUFFile that the course's own model was converted from.

    Raises:
        custom_model.ModelError: COURSE_MODEL puts another model in its place.
        AssetMissing: the file has not been fetched.
    """
    if asked := os.environ.get("COURSE_MODEL", "").strip():
        raise custom_model.ModelError(
            f"This notebook looks into the file that the course's own model came from, and COURSE_MODEL={asked} puts "
            "another model in its place: unset COURSE_MODEL and restart the kernel."
        )
    return GGUFFile(assets.path("base-model") / "gemma-3-270m.gguf")


def web_pages():
    """Texts of the web documents, in the file's order."""
    with (assets.path("instructions") / "c4_demo.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def web_text(tokenizer, *, documents, length, skip=0):
    """(documents, length) int64: the first tokens of web documents in the file's order, <bos> first, no pads.

    Args:
        tokenizer: that puts <bos> first.
        length: tokens of each; shorter documents are passed over.
        skip: so many fitting documents are left out first, as those of another purpose.

    Raises:
        ValueError: too few documents are long enough, or the tokenizer puts no <bos> first.
    """
    rows = []
    for text in web_pages():
        ids = tokenizer(text, truncation=True, max_length=length).input_ids
        if len(ids) == length:
            rows.append(ids)
        if len(rows) == skip + documents:
            break
    else:
        raise ValueError(f"{len(rows)} documents have {length} tokens, {skip + documents} are needed. Ask for fewer.")
    if any(row[0] != tokenizer.bos_token_id for row in rows):
        raise ValueError("The tokenizer puts no <bos> first. Load it with load_base, whose tokenizer does.")
    return torch.tensor(rows[skip:])


@torch.inference_mode()
def token_losses(model, rows, *, batch=8):
    """(B, T − 1) float32 of −log p in nats, on the CPU, for rows (B, T) without pads."""
    losses = []
    for part in rows.split(batch):
        part = part.to(model.device)
        hidden = model.base_model(part, use_cache=False).last_hidden_state[:, :-1].contiguous()
        losses.append(-token_logprobs(hidden, model.get_output_embeddings().weight, part[:, 1:]).float().cpu())
    return torch.cat(losses)


def difference(ours, baseline, *, seed=0):
    """An Estimate of ours − baseline in nats a token, both (B, T − 1), with its interval over documents."""
    return comparison.paired_difference(ours.mean(1), baseline.mean(1), over="items", seed=seed)


def share_won_back(better, worse, exact, *, seed=0):
    """An Estimate of the share of the loss that rounding adds and a repair takes away, with its interval.

    Args:
        better, worse, exact: (B, T − 1) losses with the repair, with plain rounding, with the weights as they were.
    """
    repaired, added = ((worse - side).mean(1).double() for side in (better, exact))
    generator = torch.Generator().manual_seed(seed)
    picked = comparison.resampled_weights(len(added), True, generator)
    shares = (picked @ repaired) / (picked @ added)
    low, high = torch.quantile(shares, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return comparison.Estimate((repaired.mean() / added.mean()).item(), low, high, 1, len(added))


def compare(model, formats, rows, *, progress=iter, **choice):
    """Round the model in several ways and read the same text with each.

    Args:
        model: a causal language model of transformers; the same afterwards.
        formats: {name: weight → QuantizedWeight, or dict of them by layer}.
        rows: (B, T) int64.
        progress: wraps the list of names, as tqdm does.
        choice: which layers, as for `layers.rounded`.

    Returns:
        {name: (bits a weight over these layers, (B, T − 1) losses)}.
    """
    results = {}
    for name in progress(list(formats)):
        with layers.rounded(model, formats[name], **choice) as bits:
            results[name] = (bits, token_losses(model, rows))
    return results


def layers_by_source(source, model):
    """{GGUF format: [layer names]} of a converted model's linear layers, the head too, by the format they once had.

    Args:
        source: the GGUFFile it came from.
    """
    formats = {parameter_name(name).removesuffix(".weight"): form for name, form in source.formats.items()}
    own, groups = model.get_output_embeddings(), {}
    for name, layer in layers.linear_layers(model, head=True).items():
        form = formats["model.embed_tokens"] if layer is own else formats[name]
        groups.setdefault(form, []).append(name)
    return groups
