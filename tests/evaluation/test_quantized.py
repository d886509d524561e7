"""Paired losses on the same text, by document, with <bos>; and the layers by the format they once had."""

import json

import pytest
import torch

from course_utils.evaluation import quantized
from course_utils.models.gguf_file import GGUFFile
from course_utils.quantization import integer

WORDS = "the film is good the movie was bad a great film is fine "


@pytest.fixture
def text(tiny_tokenizer):
    return quantized.pieces(tiny_tokenizer, [WORDS * n for n in (3, 1, 4, 5)], tokens=40, length=16)


def test_rows_start_with_bos_and_are_whole(text, tiny_tokenizer):
    assert text.rows.shape == (3, 16) and text.tokens == 45
    assert (text.rows[:, 0] == tiny_tokenizer.bos_token_id).all()
    assert text.documents.tolist() in ([0, 2, 3], [0, 1, 2])


def test_too_little_text_and_a_tokenizer_without_bos_are_refused(tiny_tokenizer):
    with pytest.raises(ValueError, match="1 documents have 16 tokens, 3 are needed"):
        quantized.pieces(tiny_tokenizer, [WORDS * 3, "the"], tokens=40, length=16)

    class Without:
        bos_token_id = 2

        def __call__(self, text, **how):
            return type("Encoded", (), {"input_ids": [5, 6, 7]})

    with pytest.raises(ValueError, match="puts no <bos> first"):
        quantized.pieces(Without(), ["a", "b"], tokens=4, length=3)


def test_web_text_is_read_from_the_asset(tiny_tokenizer, monkeypatch, tmp_path):
    lines = [json.dumps({"text": WORDS * n}) for n in (4, 5)]
    (tmp_path / "c4_demo.jsonl").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(quantized.assets, "path", lambda name: tmp_path)
    assert quantized.web_text(tiny_tokenizer, tokens=20, length=12).rows.shape == (2, 12)


def test_losses_are_those_of_the_library(text, tiny_model):
    losses = quantized.token_losses(tiny_model, text, batch=2)
    with torch.no_grad():
        logits = tiny_model(text.rows).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(logits.transpose(1, 2), text.rows[:, 1:], reduction="none")
    assert torch.allclose(losses, expected, atol=1e-4)


def test_documents_count_once_however_many_rows_they_have():
    text = quantized.Text(torch.zeros(3, 3, dtype=torch.int64), torch.tensor([7, 7, 9]))
    losses = torch.tensor([[1.0, 1.0], [3.0, 3.0], [10.0, 20.0]])
    assert quantized.by_document(losses, text).tolist() == [2.0, 15.0]
    worse = quantized.difference(losses + 0.5, losses, text)
    assert worse.mean == pytest.approx(0.5) and worse.interval == pytest.approx((0.5, 0.5)) and worse.items == 2


def test_formats_are_compared_on_the_same_text_and_the_model_stays(text, tiny_model):
    before = {name: value.clone() for name, value in tiny_model.state_dict().items()}
    formats = {bits: lambda w, bits=bits: integer.quantize(w, bits=bits) for bits in (3, 8)}
    found = quantized.compare(tiny_model, formats, text)
    base = quantized.token_losses(tiny_model, text)
    assert found[3][0] < found[8][0]
    assert (found[3][1] - base).abs().mean() > (found[8][1] - base).abs().mean() > 0
    assert all(torch.equal(value, before[name]) for name, value in tiny_model.state_dict().items())


def test_layers_are_grouped_by_their_old_format(tiny_gguf, tiny_model):
    groups = quantized.layers_by_source(GGUFFile(tiny_gguf), tiny_model, head=True)
    assert list(groups) == ["Q8_0"] and len(groups["Q8_0"]) == 15 and "lm_head" in groups["Q8_0"]
    assert len(quantized.layers_by_source(GGUFFile(tiny_gguf), tiny_model)["Q8_0"]) == 14
