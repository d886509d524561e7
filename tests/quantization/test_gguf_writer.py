"""The files that are written can be read, by our reader and by the library's, and hold the same model in fewer bits."""

import gguf
import numpy as np
import pytest

from course_utils.models.gguf_file import GGUFFile
from course_utils.quantization import gguf_writer


@pytest.mark.parametrize(("form", "error"), [("F16", 1e-3), ("Q8_0", 8e-3), ("Q5_0", 0.05), ("Q4_0", 0.1)])
def test_each_format_holds_the_same_model(form, error, tiny_gguf, tmp_path):
    source = GGUFFile(tiny_gguf)
    written = GGUFFile(gguf_writer.write(source, tmp_path / "new.gguf", form))
    assert written.metadata == source.metadata and list(written.tensors) == list(source.tensors)
    for name, tensor in source.tensors.items():
        assert written.formats[name] == ("F32" if len(tensor.shape) == 1 else form)
        before, after = source.array(name), written.array(name)
        assert np.linalg.norm(after - before) <= error * np.linalg.norm(before)
        if len(tensor.shape) == 1:
            assert np.array_equal(before, after)


def test_the_library_reads_it_too(tiny_gguf, tmp_path):
    path = gguf_writer.write(GGUFFile(tiny_gguf), tmp_path / "new.gguf", "Q4_0")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    assert {tensors[f"{name}.weight"].tensor_type.name for name in ("token_embd", "blk.0.ffn_up")} == {"Q4_0"}
    expected = GGUFFile(path).array("blk.0.ffn_up.weight")
    found = gguf.quants.dequantize(tensors["blk.0.ffn_up.weight"].data, gguf.GGMLQuantizationType.Q4_0)
    assert np.array_equal(found.reshape(expected.shape), expected)


def test_fewer_bits_make_a_smaller_file(tiny_gguf, tmp_path):
    sizes = [gguf_writer.write(GGUFFile(tiny_gguf), tmp_path / f, f).stat().st_size for f in gguf_writer.FORMATS]
    assert sizes == sorted(sizes, reverse=True)


def test_rows_are_rounded_in_slices_without_a_seam(tiny_gguf, tmp_path, monkeypatch):
    whole = gguf_writer.write(GGUFFile(tiny_gguf), tmp_path / "a", "Q4_0").read_bytes()
    monkeypatch.setattr(gguf_writer, "ROWS", 7)
    assert gguf_writer.write(GGUFFile(tiny_gguf), tmp_path / "b", "Q4_0").read_bytes() == whole


def test_half_a_file_never_bears_the_name(tiny_gguf, tmp_path, monkeypatch):
    monkeypatch.setattr(gguf_writer, "_write_tensor", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gguf_writer.write(GGUFFile(tiny_gguf), tmp_path / "new.gguf", "Q8_0")
    assert not (tmp_path / "new.gguf").exists()


def test_unknown_formats_are_refused(tiny_gguf, tmp_path):
    with pytest.raises(ValueError, match="got 'Q3_X'"):
        gguf_writer.write(GGUFFile(tiny_gguf), tmp_path / "new.gguf", "Q3_X")
