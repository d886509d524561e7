"""What a function is made of, so that a run that learns from it notices when it has become another one.

A function's code is not enough: a constant at the top of a notebook, a helper, a default or an attribute decides as
well. All of these are followed here, each to its own parts. Modules, classes, models and tokenizers count by their name
alone: the run itself changes them. A function that notes things in a list is another one afterwards.
"""

import dis
import functools
import re
import types

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from course_utils.engine.checkpoint import fingerprint

PLAIN = (type(None), bool, int, float, complex, str, bytes)
BY_NAME = (type, types.ModuleType, torch.nn.Module, PreTrainedTokenizerBase)
SHARED = (tuple, frozenset, types.CodeType)  # equal ones may be one object or two, as the interpreter likes
HOLDS = {
    functools.partial: ("func", "args", "keywords"),
    types.MethodType: ("__func__", "__self__"),
    types.CodeType: ("co_code", "co_names", "co_consts"),
}


def of(function):
    """A fingerprint of a function, or of an object that can be called; the same in every process."""
    return fingerprint(*_made_of(function, {}))


def _made_of(value, seen):
    """The parts of a value as `fingerprint` takes them; what `seen` holds already, as its number."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, PLAIN):
        yield f"{type(value).__name__} {value!r}"
    elif id(value) in seen:
        yield f"met as number {list(seen).index(id(value))}"
    else:
        if not isinstance(value, SHARED):
            seen[id(value)] = value
        yield getattr(value, "__qualname__", type(value).__qualname__)
        for part in _parts(value):
            yield from _made_of(part, seen)


def _parts(value):
    """What decides how a value behaves, one level down, in an order that no process changes."""
    if isinstance(value, BY_NAME):
        return [getattr(value, "__name__", None)]
    if hasattr(value, "identity"):
        return [value.identity]
    if isinstance(value, types.FunctionType):
        known = {name: value.__globals__[name] for name in _globals(value.__code__) if name in value.__globals__}
        closure = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__code__, value.__defaults__, value.__kwdefaults__, closure, known]
    if type(value) in HOLDS:
        return [getattr(value, name) for name in HOLDS[type(value)]]
    if isinstance(value, dict):
        return [len(value), *(part for pair in value.items() for part in pair)]
    if isinstance(value, list | tuple):
        return [len(value), *value]
    if isinstance(value, set | frozenset):  # strings come in another order in each process
        return sorted(map(repr, value))
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.shape, value.tobytes()]
    return [getattr(value, "__dict__", re.sub(r" at 0x\w+", "", repr(value))), _methods(type(value))]


def _methods(kind):
    """{name: function} of a class, what it inherits included; those of a static or class method and a property too."""
    methods = {}
    for base in reversed(kind.__mro__):
        for name, part in vars(base).items():
            methods[name] = getattr(part, "__func__", getattr(part, "fget", part))
    return {name: part for name, part in methods.items() if isinstance(part, types.FunctionType)}


def _globals(code):
    """The names of the globals that a code object reads, those inside it included, sorted."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return sorted(names.union(*(_globals(part) for part in code.co_consts if isinstance(part, types.CodeType))))
