"""llama.cpp reads the files we write, decodes as many tokens as asked, and is missed politely."""

import pytest
import torch

from course_utils.models.gguf_file import GGUFFile
from course_utils.quantization import backends, gguf_writer, llama_cpp

ROWS = torch.tensor([[2, 280, 281, 282, 283, 284]])


def test_it_is_missed_politely(monkeypatch, tiny_model):
    monkeypatch.setattr(llama_cpp, "PACKAGE", "no_such_package")
    row = llama_cpp.measure("x-Q8_0.gguf", tiny_model, ROWS, threads=1, tokens=1, prompt=1)
    assert row.name == "llama.cpp x-Q8_0" and "pip install --no-deps no_such_package" in row.missing


def test_the_loss_of_a_file_is_that_of_what_its_blocks_stand_for(tiny_gguf, tiny_model, tmp_path):
    source, before = GGUFFile(tiny_gguf), backends.loss(tiny_model, ROWS)
    assert llama_cpp.file_loss(tiny_gguf, tiny_model, ROWS) == pytest.approx(before, abs=1e-6)
    coarse = gguf_writer.write(source, tmp_path / "tiny-Q4_0.gguf", "Q4_0")
    assert llama_cpp.file_loss(coarse, tiny_model, ROWS) != pytest.approx(before, abs=1e-6)
    assert backends.loss(tiny_model, ROWS) == before  # the model is itself again


def test_a_file_that_is_not_there_is_said(tmp_path):
    pytest.importorskip("xllamacpp", reason="the test extra installs xllamacpp")
    with pytest.raises(FileNotFoundError, match=r"gguf_writer\.write"):
        llama_cpp.Engine(tmp_path / "none.gguf", threads=1)


def test_it_runs_what_we_wrote(tiny_gguf, tiny_model, tmp_path):
    pytest.importorskip("xllamacpp", reason="the test extra installs xllamacpp")
    path = gguf_writer.write(GGUFFile(tiny_gguf), tmp_path / "tiny-Q8_0.gguf", "Q8_0")
    row = llama_cpp.measure(path, tiny_model, ROWS, threads=1, tokens=4, prompt=8)
    assert row.missing == "" and row.bytes == path.stat().st_size
    assert row.decode_1 > 0 and row.decode_16 > 0 and row.prefill > 0
