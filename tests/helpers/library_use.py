"""Which symbols and keywords of other libraries our sources use, and whether the installed versions have them."""

import ast
import importlib
import inspect
import sys
from dataclasses import dataclass

OPTIONAL = {
    "google",
    "kaggle_secrets",
    "bitsandbytes",
    "torchao",
    "xllamacpp",
    "trl",
    "sklearn",
    "IPython",
}  # absent on some machines, by design


@dataclass(frozen=True)
class Use:
    """One symbol, with the keywords that calls give it, at one place."""

    symbol: str  # as transformers.AutoModelForCausalLM.from_pretrained
    keywords: tuple[str, ...]
    where: str  # file:line


def uses(source, where):
    """What a source uses of other libraries: imports, attributes of what was imported, keywords of calls."""
    tree = ast.parse(source)
    names, found = {}, set()
    for node in ast.walk(tree):
        for name, symbol in _imports(node):
            if symbol.split(".")[0] not in sys.stdlib_module_names | {"course_utils", "tests", "notebooks"}:
                names[name] = symbol
                found.add(Use(symbol, (), f"{where}:{node.lineno}"))
    for node in ast.walk(tree):
        words = ()
        target = node
        if isinstance(node, ast.Call):
            target, words = node.func, tuple(sorted(word.arg for word in node.keywords if word.arg))
        symbol = _symbol(target, names)
        if symbol and isinstance(node, ast.Call | ast.Attribute):
            found.add(Use(symbol, words, f"{where}:{node.lineno}"))
    return found


def _imports(node):
    if isinstance(node, ast.Import):
        for alias in node.names:
            # `import a.b` binds a; `import a.b as c` binds a.b
            yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0], alias.name.split(".")[0])
            if not alias.asname and "." in alias.name:
                yield alias.name, alias.name
    elif isinstance(node, ast.ImportFrom) and not node.level:
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _symbol(node, names):
    """The dotted symbol behind an expression such as F.cross_entropy, None when it starts with no import."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _symbol(node.value, names)
        return f"{base}.{node.attr}" if base else None
    return None


def missing(use):
    """Why the installed libraries cannot serve this use; None when they can, or when it cannot be told.

    What an object's own attributes are (`torch.Tensor.mean` on a result) is known only when the code runs.
    """
    root = use.symbol.split(".")[0]
    try:
        found = importlib.import_module(root)
    except ImportError:
        return None if root in OPTIONAL else f"{use.where}: {root} is not installed"
    path = root
    for name in use.symbol.split(".")[1:]:
        if not (inspect.ismodule(found) or inspect.isclass(found)):
            return None
        found, path = _member(found, path, name), f"{path}.{name}"
        if found is None:
            version = getattr(importlib.import_module(root), "__version__", "of an unknown version")
            return f"{use.where}: {path} is gone in {root} {version}; find what replaces it in the release notes"
    unknown = [word for word in use.keywords if not _takes(found, word)]
    return f"{use.where}: {path} takes no keyword {', '.join(unknown)} any more" if unknown else None


_NONE = object()


def _member(owner, path, name):
    found = getattr(owner, name, _NONE)
    if found is _NONE and inspect.ismodule(owner):
        try:
            found = importlib.import_module(f"{path}.{name}")
        except ImportError:
            return None
    return None if found is _NONE else _NONE if found is None else found


def _takes(function, word):
    """True when the callable accepts the keyword, or does not tell what it accepts."""
    if not callable(function):
        return True
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C without a signature
        return True
    return any(p.kind is p.VAR_KEYWORD or (p.name == word and p.kind is not p.POSITIONAL_ONLY) for p in parameters)
