"""The GGUF reader against the library's own, on a file small enough to read with both."""

import gguf
import numpy as np
import pytest

from course_utils.models.gguf_file import GGUFFile


def test_metadata_is_what_the_library_reads(tiny_gguf):
    ours, theirs = GGUFFile(tiny_gguf), gguf.GGUFReader(tiny_gguf)
    expected = {name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert ours.metadata.keys() == expected.keys()
    for name, value in expected.items():
        assert ours.metadata[name] == pytest.approx(value) if isinstance(value, float) else ours.metadata[name] == value


def test_every_kind_of_value(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "values.gguf", "gemma3")
    values = {"uint8": 200, "int8": -3, "uint16": 60_000, "int16": -9, "uint32": 4_000_000_000, "int32": -7}
    values |= {"uint64": 2**63, "int64": -(2**40), "float32": 0.5, "float64": 0.1, "bool": True, "string": "▁é"}
    for kind, value in values.items():
        getattr(writer, f"add_{kind}")(f"x.{kind}", value)
    writer.add_array("x.numbers", [1, 2, 3])
    writer.add_array("x.words", ["a", "", "한"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    read = GGUFFile(tmp_path / "values.gguf").metadata
    assert {kind: read[f"x.{kind}"] for kind in values} == values
    assert (read["x.numbers"], read["x.words"]) == ([1, 2, 3], ["a", "", "한"])


def test_tensors_are_what_the_library_dequantises(tiny_gguf):
    ours = GGUFFile(tiny_gguf)
    assert len(ours.tensors) == 28 and ours.formats["token_embd.weight"] == "Q8_0"
    for tensor in gguf.GGUFReader(tiny_gguf).tensors:
        expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert ours.tensors[tensor.name].shape == expected.shape
        np.testing.assert_array_equal(ours.array(tensor.name), expected)
        assert ours.array(tensor.name).dtype == np.float32


@pytest.mark.parametrize("kind", ["Q4_K", "Q5_0", "Q6_K", "Q8_0", "F16"])
def test_each_format_of_the_real_file(tmp_path, kind):
    kind = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = np.random.default_rng(0).integers(0, 60, (4, 512 // block * size), dtype=np.uint8)  # no NaN among the scales
    writer = gguf.GGUFWriter(tmp_path / "one.gguf", "gemma3")
    if kind.name == "F16":
        writer.add_tensor("w", data.view(np.float16))
    else:
        writer.add_tensor("w", data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    expected = gguf.quants.dequantize(data.view(np.float16) if kind.name == "F16" else data, kind)
    np.testing.assert_array_equal(GGUFFile(tmp_path / "one.gguf").array("w"), expected)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "page.gguf").write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"page.gguf starts with b'<htm'.*expected b'GGUF'"):
        GGUFFile(tmp_path / "page.gguf")
