"""One line of a table for each way to run the model: bytes, loss, and how fast it writes and reads.

Rows of transformers hold one format a library; rows of llama.cpp one file each, so that bits can be compared within one
engine. A package that is absent, or has no kernel for this machine, leaves a row that says so.
"""

import copy
import importlib.util
import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from course_utils.evaluation import quantized, speed
from course_utils.models import convert
from course_utils.models.gguf_file import GGUFFile
from course_utils.quantization import backends, llama_cpp

FAILURES = (RuntimeError, ImportError, NotImplementedError, AssertionError, AttributeError, TypeError)


@dataclass(frozen=True)
class Row:
    """One line; None where nothing was measured, and `missing` says why."""

    name: str
    bytes: int | None = None  # of all weights, scales included
    loss: float | None = None  # nats a token
    decode_1: float | None = None  # tokens a second, one row
    decode_16: float | None = None  # tokens a second, 16 rows together
    prefill: float | None = None  # tokens read a second
    missing: str = ""


def in_transformers(name, model, rows, *, decoded, read):
    """The Row of a back end.

    Args:
        name: of `backends.BACKENDS`.
        model: a causal language model of transformers, left as it is.
        rows: (B, T) int64 of real text, or None for no loss.
        decoded: tokens to write for a speed.
        read: tokens to read for a speed.
    """
    backend = backends.BACKENDS[name]
    if sentence := missing(name, backend.package):
        return Row(name, missing=sentence)
    try:
        with _quiet():
            ready = backend.convert(copy.deepcopy(model).to(backend.dtype).eval())
            loss = None if rows is None else quantized.token_losses(ready, rows).mean().item()
            one = speed.writing_speed(ready, rows=1, tokens=decoded, prompt=read)  # as llama.cpp is asked
            many = speed.writing_speed(ready, rows=16, tokens=decoded, prompt=5)
            return Row(name, backends.stored_bytes(ready), loss, one, many, speed.reading_speed(ready, read))
    except FAILURES as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        return Row(name, missing=f"{name} does not run here: {type(error).__name__}: {reason}")


def in_llama_cpp(path, model, rows, *, threads, decoded, read):
    """The Row of a GGUF file, arguments as for `in_transformers`.

    The engine gives no probability of a text's own tokens, so the loss is that of the numbers which the file's blocks
    stand for, in the model's place; llama.cpp also rounds activations to 8 bits, which that leaves out.
    """
    name = f"llama.cpp {Path(path).stem}"
    if sentence := missing("llama.cpp", llama_cpp.PACKAGE):
        return Row(name, missing=sentence)
    loss = None
    if rows is not None:
        stored = copy.deepcopy(model)
        stored.load_state_dict(convert.weights(GGUFFile(path)), strict=False)  # the head is the embedding
        loss = quantized.token_losses(stored, rows).mean().item()
    engine = llama_cpp.Engine(path, threads=threads, context=read + decoded + 32)
    speeds = engine.speeds(tokens=decoded, prompt=read)
    return Row(name, Path(path).stat().st_size, loss, *speeds)


def missing(name, package):
    """How to get a package, or "" when it is here or none is needed."""
    if package is None or importlib.util.find_spec(package) is not None:
        return ""
    return f"{name} needs {package}: pip install --no-deps {package}, then run the cell again"


@contextmanager
def _quiet():
    """Without the libraries' own remarks on what they lack and will change; a notebook's output is better without."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
