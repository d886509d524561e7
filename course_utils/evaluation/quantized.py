"""What rounding costs: the loss of each token before and after, on the same real text, with an interval by document.

Tokens of one document are alike, so documents are resampled and not tokens. Every row starts with <bos>, without which
Gemma's loss is another one.
"""

import json
from dataclasses import dataclass

import torch

from course_utils import assets
from course_utils.evaluation import comparison
from course_utils.models.convert import parameter_name
from course_utils.models.logprobs import token_logprobs
from course_utils.quantization import layers


@dataclass(frozen=True)
class Text:
    """Fixed real text: rows (B, T) int64, <bos> first and no pads; documents (B,) int64, from which each row comes."""

    rows: torch.Tensor
    documents: torch.Tensor

    @property
    def tokens(self):
        """How many tokens are predicted."""
        return self.rows.shape[0] * (self.rows.shape[1] - 1)


def web_text(tokenizer, *, tokens, length):
    """Pieces of web documents, one each, in the file's order.

    Args:
        tokenizer: that puts <bos> first.
        tokens: at least so many are predicted.
        length: tokens of a row, <bos> included.

    Raises:
        ValueError: the documents that are long enough do not suffice.
    """
    path = assets.path("instructions") / "c4_demo.jsonl"
    with path.open(encoding="utf-8") as lines:
        return pieces(tokenizer, (json.loads(line)["text"] for line in lines), tokens=tokens, length=length)


def pieces(tokenizer, texts, *, tokens, length):
    """The first `length` tokens of each text that has so many, until `tokens` of them are predicted; as `web_text`."""
    rows, numbers, wanted = [], [], -(-tokens // (length - 1))
    for number, text in enumerate(texts):
        ids = tokenizer(text, truncation=True, max_length=length).input_ids
        if len(ids) == length:
            rows.append(ids)
            numbers.append(number)
        if len(rows) == wanted:
            break
    if len(rows) < wanted:
        raise ValueError(f"{len(rows)} documents have {length} tokens, {wanted} are needed. Take shorter rows.")
    if tokenizer.bos_token_id is not None and any(row[0] != tokenizer.bos_token_id for row in rows):
        raise ValueError("The tokenizer puts no <bos> first. Load it with load_base, whose tokenizer does.")
    return Text(torch.tensor(rows), torch.tensor(numbers))


@torch.inference_mode()
def token_losses(model, text, *, batch=8):
    """(B, T − 1) float32 of −log p in nats, on the CPU."""
    losses = []
    for rows in text.rows.split(batch):
        rows = rows.to(model.device)
        hidden = model.base_model(rows, use_cache=False).last_hidden_state[:, :-1].contiguous()
        losses.append(-token_logprobs(hidden, model.get_output_embeddings().weight, rows[:, 1:]).float().cpu())
    return torch.cat(losses)


def by_document(losses, text):
    """(D,) mean loss of each document, from (B, T − 1)."""
    names, place = text.documents.unique(return_inverse=True)
    sums = torch.zeros(len(names)).index_add(0, place, losses.mean(1).float())
    return sums / torch.bincount(place)


def difference(ours, baseline, text, *, seed=0):
    """An Estimate of mean loss ours − baseline in nats a token, with its interval over documents."""
    ours, baseline = by_document(ours, text), by_document(baseline, text)
    return comparison.paired_difference(ours, baseline, over="items", seed=seed)


def compare(model, formats, text, *, head=False, names=None, progress=iter):
    """Round the model in several ways and read the same text with each.

    Args:
        model: a causal language model of transformers; the same afterwards.
        formats: {name: weight → QuantizedWeight, or dict of them by layer}.
        head, names: which layers, as for `layers.rounded`.
        progress: wraps the list of names, as tqdm does.

    Returns:
        {name: (bits a weight over these layers, (B, T − 1) losses)}.
    """
    results = {}
    for name in progress(list(formats)):
        with layers.rounded(model, formats[name], head=head, names=names) as bits:
            results[name] = (bits, token_losses(model, text))
    return results


def layers_by_source(source, model, *, head=False):
    """{GGUF format: [layer names]} of a converted model's linear layers, by the format their weights once had."""
    formats = {parameter_name(name).removesuffix(".weight"): form for name, form in source.formats.items()}
    own, groups = model.get_output_embeddings(), {}
    for name, layer in layers.linear_layers(model, head=head).items():
        form = formats["model.embed_tokens"] if layer is own else formats[name]
        groups.setdefault(form, []).append(name)
    return groups
