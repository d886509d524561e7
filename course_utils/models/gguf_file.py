"""Reading a GGUF file, the format of llama.cpp: metadata, a table of tensors, then their (quantised) bytes.

Own reader because the library's takes 17 s for the 262,144 tokens of Gemma's vocabulary; this one takes one. The blocks
are turned into numbers by the library.
"""

import math
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
DIMENSIONS, NESTED = 8, 4  # of a tensor; arrays inside arrays


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
        if not self.path.stat().st_size:
            raise self._damaged("is empty")
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
        if not isinstance(self.alignment, int) or self.alignment < 1:
            raise self._damaged(f"aligns its tensors to {self.alignment!r} bytes")
        self.data_start = -(-self._at // self.alignment) * self.alignment
        for name in self.tensors:
            self._place(name)

    def _damaged(self, what):
        return ValueError(f"{self.path.name} {what}, so it is damaged or was cut off. Fetch it again.")

    def _take(self, size):
        if size > len(self._buffer) - self._at:  # before anything is made of a count that cannot be true
            raise self._damaged(f"wants {size:,} bytes at {self._at:,} of {len(self._buffer):,}")
        self._at += size
        return self._buffer[self._at - size : self._at]

    def _number(self, form):
        return struct.unpack("<" + form, self._take(struct.calcsize("<" + form)))[0]

    def _string(self):
        try:
            return str(self._take(self._number("Q")), "utf-8")
        except UnicodeDecodeError:
            raise self._damaged(f"has a text before byte {self._at:,} that is not UTF-8") from None

    def _value(self, kind, depth=0):
        if kind == _STRING:
            return self._string()
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind != _ARRAY or depth > NESTED:
            raise self._damaged(f"has a value of kind {kind}, {depth} arrays deep, at byte {self._at:,}")
        inner, count = self._number("I"), self._number("Q")
        if inner in _NUMBERS:
            taken = self._take(count * struct.calcsize(f"<{_NUMBERS[inner]}"))
            return list(struct.unpack(f"<{count}{_NUMBERS[inner]}", taken))
        return [self._value(inner, depth + 1) for _ in range(count)]

    def _tensor(self):
        name, dimensions = self._string(), self._number("I")
        if dimensions > DIMENSIONS:
            raise self._damaged(f"gives {name[:40]!r} {dimensions:,} dimensions")
        shape = tuple(self._number("Q") for _ in range(dimensions))[::-1]
        return Tensor(name, shape, self._number("I"), self._number("Q"))

    @cached_property
    def formats(self):
        """{tensor name: name of its format}, such as "Q8_0"."""
        from gguf import GGMLQuantizationType

        return {name: GGMLQuantizationType(tensor.kind).name for name, tensor in self.tensors.items()}

    def _place(self, name):
        """(first byte, bytes, bytes of a row) of a tensor, all within the file."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        tensor = self.tensors[name]
        try:
            block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(tensor.kind)]
        except (ValueError, KeyError):
            raise self._damaged(f"has {name[:40]!r} in format {tensor.kind}, which gguf does not know") from None
        row = (tensor.shape[-1] if tensor.shape else 1) // block * block_bytes
        start, size = self.data_start + tensor.offset, row * math.prod(tensor.shape[:-1])
        if start + size > len(self._buffer):
            raise self._damaged(f"has {len(self._buffer):,} bytes, and {name[:40]!r} ends at {start + size:,}")
        return start, size, row

    def array(self, name):
        """One tensor as float32 numbers in its own shape: what the blocks stand for, without further rounding."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        tensor = self.tensors[name]
        kind, (start, size, row) = GGMLQuantizationType(tensor.kind), self._place(name)
        rows = self.bytes[start : start + size].reshape(*tensor.shape[:-1], row)
        if kind is GGMLQuantizationType.F32:
            return np.array(rows.view(np.float32))
        return dequantize(np.asarray(rows), kind).astype(np.float32, copy=False)
