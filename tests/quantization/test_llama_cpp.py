"""llama.cpp reads the files we write and decodes as many tokens as asked."""

import pytest

from course_utils.models.gguf_file import GGUFFile
from course_utils.quantization import gguf_writer, llama_cpp


def test_a_file_that_is_not_there_is_said(tmp_path):
    pytest.importorskip("xllamacpp", reason="the test extra installs xllamacpp")
    with pytest.raises(FileNotFoundError, match=r"gguf_writer\.write"):
        llama_cpp.Engine(tmp_path / "none.gguf", threads=1)


def test_it_runs_what_we_wrote(tiny_gguf, tmp_path):
    pytest.importorskip("xllamacpp", reason="the test extra installs xllamacpp")
    path = gguf_writer.write(GGUFFile(tiny_gguf), tmp_path / "tiny-Q8_0.gguf", "Q8_0")
    engine = llama_cpp.Engine(path, threads=1)
    assert engine.complete([2, 5, 6], 4)["timings"]["predicted_n"] == 4
    assert all(speed > 0 for speed in engine.speeds(tokens=4, prompt=8, rows=2))


def test_the_first_token_is_not_timed_by_its_clock_and_not_counted(monkeypatch):
    engine = object.__new__(llama_cpp.Engine)
    timings = {"predicted_n": 5, "predicted_ms": 100.0, "prompt_per_second": 7.0}
    monkeypatch.setattr(engine, "complete", lambda tokens, count: {"timings": timings}, raising=False)
    alone, together, reading = engine.speeds(tokens=5, prompt=8, rows=2)
    assert alone == 40.0 and reading == 7.0 and together > 0
