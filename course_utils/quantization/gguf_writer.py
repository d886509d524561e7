"""The same model as GGUF files of several formats, to compare llama.cpp with itself at 16, 8, 5 and 4 bits.

Metadata and tokenizer are copied byte by byte; only the table of tensors and the blocks are written anew. F16 is plain;
Q8_0, Q5_0 and Q4_0 hold 32 weights a block with one 16-bit scale: 8.5, 5.5 and 4.5 bits a weight.
"""

import os
import struct
from pathlib import Path

import numpy as np

FORMATS = ("F16", "Q8_0", "Q5_0", "Q4_0")
ROWS = 8192  # that are rounded at one time


def write(source, path, form):
    """Write a model's matrices in one format.

    Args:
        source: a GGUFFile; its own rounding stays in the numbers.
        path: of the new file; written beside it first and renamed, so that half a file is never found there.
        form: one of FORMATS, for every matrix, the embedding too; vectors stay float32.

    Returns:
        Path of the file.

    Raises:
        ValueError: an unknown format, or rows that are no multiple of 32.
    """
    from gguf import GGMLQuantizationType

    if form not in FORMATS:
        raise ValueError(f"Expected one of {FORMATS}, got {form!r}.")
    path = Path(path)
    kinds = {}
    for name, tensor in source.tensors.items():
        chosen = "F32" if len(tensor.shape) == 1 else form
        if chosen != "F32" and tensor.shape[-1] % 32:
            raise ValueError(f"{name} has rows of {tensor.shape[-1]} weights; these formats need multiples of 32.")
        kinds[name] = GGMLQuantizationType[chosen]
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("wb") as out:
        out.write(source.bytes[: source.table_start].tobytes() + _table(source, kinds))
        out.write(b"\0" * (-out.tell() % source.alignment))
        for name, tensor in source.tensors.items():
            _write_tensor(out, source.array(name).reshape(-1, tensor.shape[-1]), kinds[name], source.alignment)
    os.replace(unfinished, path)
    return path


def _size(shape, kind):
    from gguf import GGML_QUANT_SIZES

    block, block_bytes = GGML_QUANT_SIZES[kind]
    return int(np.prod(shape, dtype=np.int64)) // block * block_bytes


def _table(source, kinds):
    """The table's bytes: name, sizes from the innermost on, format, offset."""
    table, offset = b"", 0
    for name, tensor in source.tensors.items():
        encoded = name.encode()
        table += struct.pack("<Q", len(encoded)) + encoded + struct.pack("<I", len(tensor.shape))
        table += struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape[::-1])
        table += struct.pack("<IQ", kinds[name], offset)
        offset += -(-_size(tensor.shape, kinds[name]) // source.alignment) * source.alignment
    return table


def _write_tensor(out, rows, kind, alignment):
    from gguf.quants import quantize

    written = 0
    for start in range(0, len(rows), ROWS):
        written += out.write(np.ascontiguousarray(quantize(rows[start : start + ROWS], kind)).tobytes())
    out.write(b"\0" * (-written % alignment))
