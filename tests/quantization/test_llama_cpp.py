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
