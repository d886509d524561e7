"""Paired losses on the same text, by document, with <bos>; and the layers by the format they once had."""

import json

import pytest
import torch

from course_utils.evaluation import quantized
from course_utils.models.gguf_file import GGUFFile
from course_utils.quantization import integer

WORDS = "the film is good the movie was bad a great film is fine "


@pytest.fixture
def documents(monkeypatch, tmp_path):
    """Four web documents in the asset's place, the second of them short."""
    lines = [json.dumps({"text": WORDS * n}) for n in (3, 1, 4, 5)]
    (tmp_path / "c4_demo.jsonl").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(quantized.assets, "path", lambda name: tmp_path)


@pytest.fixture
def rows(documents, tiny_tokenizer):
    return quantized.web_text(tiny_tokenizer, documents=3, length=16)


def test_rows_start_with_bos_and_short_documents_are_passed_over(rows, tiny_tokenizer):
    assert rows.shape == (3, 16) and (rows[:, 0] == tiny_tokenizer.bos_token_id).all()
    longer = quantized.web_text(tiny_tokenizer, documents=2, length=30)
    assert longer.shape == (2, 30) and torch.equal(longer[0, :16], rows[0])


def test_text_of_another_purpose_is_other_text(documents, tiny_tokenizer):
    every = quantized.web_text(tiny_tokenizer, documents=3, length=16)
    assert torch.equal(quantized.web_text(tiny_tokenizer, documents=1, length=16, skip=2), every[2:])


def test_too_little_text_and_a_tokenizer_without_bos_are_refused(documents, tiny_tokenizer):
    with pytest.raises(ValueError, match="4 documents have 8 tokens, 5 are needed"):
        quantized.web_text(tiny_tokenizer, documents=2, length=8, skip=3)

    class Without:
        bos_token_id = 2

        def __call__(self, text, **how):
            return type("Encoded", (), {"input_ids": [5, 6, 7]})

    with pytest.raises(ValueError, match="puts no <bos> first"):
        quantized.web_text(Without(), documents=2, length=3)


def test_losses_are_those_of_the_library(rows, tiny_model):
    losses = quantized.token_losses(tiny_model, rows, batch=2)
    with torch.no_grad():
        logits = tiny_model(rows).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none")
    assert torch.allclose(losses, expected, atol=1e-4)


def test_a_difference_is_over_documents():
    losses = torch.tensor([[1.0, 3.0], [10.0, 20.0]])
    worse = quantized.difference(losses + 0.5, losses)
    assert worse.mean == pytest.approx(0.5) and worse.interval == pytest.approx((0.5, 0.5)) and worse.items == 2


def test_the_share_won_back_is_a_ratio_of_means():
    exact = torch.zeros(30, 2)
    worse = torch.linspace(1, 3, 30)[:, None].expand(30, 2)
    won = quantized.share_won_back(0.25 * worse, worse, exact)
    assert won.mean == pytest.approx(0.75) and won.interval == pytest.approx((0.75, 0.75)) and won.items == 30
    uneven = quantized.share_won_back(torch.cat([worse[:15], exact[15:]]), worse, exact)
    assert uneven.mean == pytest.approx(worse[15:].sum().item() / worse.sum().item())
    assert uneven.low < uneven.mean < uneven.high


def test_formats_are_compared_on_the_same_text_and_the_model_stays(rows, tiny_model):
    before = {name: value.clone() for name, value in tiny_model.state_dict().items()}
    formats = {bits: lambda w, bits=bits: integer.quantize(w, bits=bits) for bits in (3, 8)}
    found = quantized.compare(tiny_model, formats, rows)
    base = quantized.token_losses(tiny_model, rows)
    assert found[3][0] < found[8][0]
    assert (found[3][1] - base).abs().mean() > (found[8][1] - base).abs().mean() > 0
    assert all(torch.equal(value, before[name]) for name, value in tiny_model.state_dict().items())


def test_the_file_is_the_courses_own_or_none(tiny_gguf, monkeypatch):
    (tiny_gguf.parent / "gemma-3-270m.gguf").write_bytes(tiny_gguf.read_bytes())
    monkeypatch.setattr(quantized.assets, "path", lambda name: tiny_gguf.parent)
    assert quantized.source_file().formats == GGUFFile(tiny_gguf).formats
    monkeypatch.setenv("COURSE_MODEL", "google/gemma-3-270m")
    refusal = r"COURSE_MODEL=google/gemma-3-270m .* unset COURSE_MODEL"
    with pytest.raises(quantized.custom_model.ModelError, match=refusal):
        quantized.source_file()


def test_layers_are_grouped_by_their_old_format(tiny_gguf, tiny_model):
    groups = quantized.layers_by_source(GGUFFile(tiny_gguf), tiny_model)
    assert list(groups) == ["Q8_0"] and len(groups["Q8_0"]) == 15 and "lm_head" in groups["Q8_0"]
