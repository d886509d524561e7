"""The long experiment of notebook 15, on a small model: what each point holds, and what the summary says of it."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from course_utils import runtime
from course_utils.experiments import quantization
from course_utils.training import small_model


@pytest.fixture
def small(monkeypatch, blocky, tiny_gguf):
    """The experiment on a small model, little text and no engines but torch's."""
    text = torch.randint(4, 320, (12, 24), generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(quantization, "load_base", lambda: (blocky(), None))
    monkeypatch.setattr(
        quantization.quantized,
        "web_text",
        lambda tokenizer, documents, length, skip=0: text[skip : skip + documents, :length],
    )
    sizes = {"documents": 6, "length": 24, "some_documents": 3, "calibration": 4, "group": 64, "decoded": 1, "read": 8}
    monkeypatch.setattr(quantization, "SETTING", quantization.SETTING | sizes)


def test_equal_bits_are_equal(small, tmp_path):
    found = quantization.measure("blocks", None, tmp_path)["formats"]
    assert {name: values["bits"] for name, values in found.items()} == {"none": 16, "nf4": 4.5, "fp4": 4.5, "int4": 4.5}
    assert all(len(values["losses"]) == 6 for values in found.values())
    whole = quantization.measure("model", None, tmp_path)["formats"]
    assert whole["nf4"]["losses"] != found["nf4"]["losses"] and whole["none"]["losses"] != whole["nf4"]["losses"]
    smaller = quantization.measure("groups", None, tmp_path)["formats"]
    assert [values["bits"] for values in smaller.values()] == [16, 4.5, 4.375, 4.75]
    assert smaller["none"] == found["none"] == whole["none"], "the same text is read"
    repaired = quantization.measure("gptq", None, tmp_path)["formats"]
    assert repaired["gptq"]["bits"] == repaired["nearest"]["bits"] == 4.25  # 16 bits for 64 weights


def test_sources_and_engines_have_a_line_each(small, tmp_path, monkeypatch):
    names = ["model.layers.0.mlp.up_proj"], ["lm_head"]
    monkeypatch.setattr(quantization.quantized, "source_file", lambda: None)
    monkeypatch.setattr(
        quantization.quantized, "layers_by_source", lambda *_: dict(zip(("Q5_0", "Q8_0"), names, strict=True))
    )
    found = quantization.measure("sources", None, tmp_path)["sources"]
    assert list(found) == ["Q5_0", "Q8_0"] and list(found["Q8_0"]) == ["none", "nf4", "fp4", "int4"]
    assert found["Q5_0"]["nf4"]["losses"] != found["Q8_0"]["nf4"]["losses"]
    kept = {"fp32": quantization.backends.BACKENDS["fp32"]}
    monkeypatch.setattr(quantization.backends, "BACKENDS", kept)
    assert quantization.measure("engines", None, tmp_path)["engines"]["fp32"]["decode_1"] > 0


def test_the_small_model_is_judged_on_pages_that_it_did_not_learn_from(tmp_path, monkeypatch):
    pages = [letter * 600 for letter in "abcd"] + ["short"]
    monkeypatch.setattr(quantization.quantized, "web_pages", lambda: pages)
    monkeypatch.setattr(quantization, "SCRATCH_PAGES", 3)
    learned = []

    def job(texts):
        learned.extend(texts)
        recipe = dataclasses.replace(small_model.RECIPE, steps=2, batch_size=2, micro_batch=2, warmup_steps=1)
        return small_model.job(texts, recipe)

    monkeypatch.setattr(quantization, "small_model", SimpleNamespace(job=job, encode=small_model.encode))
    found = quantization.measure("scratch", runtime.start(quiet=True), tmp_path)["formats"]
    assert learned == pages[:2]
    assert {name: values["bits"] for name, values in found.items()} == {"none": 16, "nf4": 4.5, "fp4": 4.5, "int4": 4.5}
    assert all(len(values["losses"]) == 2 for values in found.values()), "one row of each page that is long enough"
    summary = quantization.summary({"scratch": {"formats": found}})
    assert {"nf4 − fp4", "nf4 − int4"} <= set(summary["scratch"])


def test_the_summary_pairs_by_document():
    def losses(*values):
        return {"bits": 4.5, "losses": [float(value) for value in values]}

    formats = {"none": losses(1, 2, 3), "nf4": losses(2, 3, 4), "fp4": losses(3, 4, 5), "int4": losses(3, 4, 6)}
    repaired = {"none": losses(1, 2, 3), "nearest": losses(3, 4, 5), "gptq": losses(1.5, 2.5, 3.5)}
    points = {"blocks": {"formats": formats}, "model": {"formats": formats}, "gptq": {"formats": repaired}}
    assert list(quantization.summary({"blocks": points["blocks"]})) == ["blocks"]  # what is missing is left out
    points["groups"] = {"formats": {"none": formats["none"], "int4, half": losses(2, 3, 3)}}
    summary = quantization.summary(points | {"sources": {"sources": {"Q5_0": formats}}})
    assert summary["blocks"]["nf4"] == summary["sources"]["Q5_0"]["nf4"] == pytest.approx((1, 1, 1))
    assert summary["blocks"]["nf4 − fp4"] == pytest.approx((-1, -1, -1))
    assert summary["groups"]["nf4 − int4, half"][0] == pytest.approx(1 / 3)
    assert summary["model"]["nf4 − int4"][0] == pytest.approx(-4 / 3)
    assert summary["gptq"]["share won back"] == pytest.approx((0.75, 0.75, 0.75))
