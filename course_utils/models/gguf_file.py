"""Reading a GGUF file, the format of llama.cpp: metadata, a table of tensors, then their (quantised) bytes.

Own reader because the library's takes 17 s for the 262,144 tokens of Gemma's vocabulary; this one takes one. The blocks
are turned into numbers by the library.
"""

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class Tensor:
    """One row of the table.

    name: llama.cpp's name, such as "blk.0.attn_q.weight".
    shape: in PyTorch's order, rows first.
    kind: GGML's number for the format of its blocks.
    offset: of its first byte, in bytes from the start of the tensor data.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


class GGUFFile:
    """A GGUF file, opened for reading; `metadata` is a dict, `tensors` maps names to `Tensor`."""

    def __init__(self, path):
        self.path = Path(path)
        self.bytes = np.memmap(self.path, mode="r")
        self._buffer, self._at = memoryview(self.bytes), 0
        magic, version = bytes(self._take(4)), self._number("I")
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError(
                f"{self.path.name} starts with {magic!r}, version {version}; expected b'GGUF', version 2 or 3.\n"
                "The file is damaged, or of another kind."
            )
        tensors, values = self._number("Q"), self._number("Q")
        self.metadata = {self._string(): self._value(self._number("I")) for _ in range(values)}
        self.table_start = self._at
        self.tensors = {tensor.name: tensor for tensor in (self._tensor() for _ in range(tensors))}
        self.alignment = self.metadata.get("general.alignment", 32)
        self.data_start = -(-self._at // self.alignment) * self.alignment

    def _take(self, size):
        self._at += size
        return self._buffer[self._at - size : self._at]

    def _number(self, form):
        return struct.unpack("<" + form, self._take(struct.calcsize("<" + form)))[0]

    def _string(self):
        return str(self._take(self._number("Q")), "utf-8")

    def _value(self, kind):
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._number(_NUMBERS[kind])
        inner, count = self._number("I"), self._number("Q")
        if inner in _NUMBERS:
            form = f"<{count}{_NUMBERS[inner]}"
            return list(struct.unpack(form, self._take(struct.calcsize(form))))
        return [self._value(inner) for _ in range(count)]

    def _tensor(self):
        name, dimensions = self._string(), self._number("I")
        shape = tuple(self._number("Q") for _ in range(dimensions))[::-1]
        return Tensor(name, shape, self._number("I"), self._number("Q"))

    @cached_property
    def formats(self):
        """{tensor name: name of its format}, such as "Q8_0"."""
        from gguf import GGMLQuantizationType

        return {name: GGMLQuantizationType(tensor.kind).name for name, tensor in self.tensors.items()}

    def array(self, name):
        """One tensor as float32 numbers in its own shape: what the blocks stand for, without further rounding."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
        from gguf.quants import dequantize

        tensor = self.tensors[name]
        kind = GGMLQuantizationType(tensor.kind)
        block, block_bytes = GGML_QUANT_SIZES[kind]
        row = tensor.shape[-1] // block * block_bytes
        start, size = self.data_start + tensor.offset, row * int(np.prod(tensor.shape[:-1], dtype=np.int64))
        rows = self.bytes[start : start + size].reshape(*tensor.shape[:-1], row)
        if kind is GGMLQuantizationType.F32:
            return np.array(rows.view(np.float32))
        return dequantize(np.asarray(rows), kind).astype(np.float32, copy=False)
