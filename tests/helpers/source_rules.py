"""The rules of the house for Python sources. Each gives a list of problems, each one a sentence."""

import ast
import re
from collections import Counter

# From left to right; an import never goes right. Modules beside the rooms, as tensors and runtime, stand left of all
ROOMS = [
    "engine",
    "data",
    "text",
    "models",
    "quantization",
    "adapters",
    "training",
    "evaluation",
    "judging",
    "experiments",
    "reporting",
]
TOP = {"checks", "commands", "setup", "__main__"}  # on top of the rooms: they may use anything, no room uses them
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FILE_LINES, FUNCTION_LINES = 300, 40
# Lines of code without blanks, comments and docstrings: what the course is about, and what runs it from outside
ROOM_LINES, OUTSIDE_LINES = 18572, 2350
ROOM_MODULES = 20


def rank(parts):
    """The place of a module in the house.

    Args:
        parts: its path in the package, as ("engine", "loop").
    """
    if not parts:
        return 0
    if parts[0] in TOP:
        return len(ROOMS) + 1
    return ROOMS.index(parts[0]) + 1 if parts[0] in ROOMS else 0


def imported(tree, parts):
    """(line, parts in the package) of each import of our own package; inside functions too.

    Args:
        tree: the module's syntax tree.
        parts: where it stands in the package, to resolve relative imports.
    """
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(["course_utils", *parts[: len(parts) - node.level], *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] == "course_utils":
                yield node.lineno, tuple(name.split(".")[1:])
            elif name.split(".")[0] in ("notebooks", "tests"):
                yield node.lineno, ("__main__",)  # nothing of the package may import them: as far right as can be


def backward_imports(tree, parts):
    """Imports that go from left to right, against the flow of the data."""
    own = rank(parts)
    return [
        f"line {line}: {'.'.join(parts)} imports {'.'.join(other) or 'a notebook or a test'}, which stands to its right"
        for line, other in imported(tree, parts)
        if rank(other) > own
    ]


def unsafe_code(tree):
    """Calls by which a file from elsewhere could run code here."""
    problems = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            problems += [f"line {node.lineno}: imports {n}" for n in names if n.split(".")[0] in FORBIDDEN_IMPORTS]
        elif isinstance(node, ast.Constant) and node.value == "trust_remote_code":
            problems.append(f"line {node.lineno}: names trust_remote_code")
        elif isinstance(node, ast.Call):
            problems += [f"line {node.lineno}: {problem}" for problem in _unsafe_call(node)]
    return problems


def _unsafe_call(call):
    name = ast.unparse(call.func)
    words = {word.arg: getattr(word.value, "value", ...) for word in call.keywords}
    if words.get("trust_remote_code", False) is not False:
        yield "trust_remote_code"
    if name.endswith(".from_pretrained") and not name.startswith(("torch.nn.", "nn.", "PeftModel")):
        if words.get("trust_remote_code", ...) is not False:
            yield f"{name} without trust_remote_code=False"
        if not re.search("Tokenizer|Config|Processor", name) and words.get("use_safetensors") is not True:
            yield f"{name} without use_safetensors=True"
    if name == "torch.load" and words.get("weights_only") is not True:
        yield "torch.load without weights_only=True"
    if words.get("allow_pickle", False) is not False:
        yield "allow_pickle"
    if name in ("eval", "exec") or name.endswith("os.system") or words.get("shell", False) is not False:
        yield f"{name} runs a text as code"


def unnamed_encodings(tree):
    """Texts that are read or written in the code page of the system, which differs from machine to machine."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [f"line {call.lineno}: {ast.unparse(call.func)} without encoding" for call in calls if _unnamed(call)]


def _unnamed(call):
    owner, _, name = ast.unparse(call.func).rpartition(".")
    words = {word.arg: getattr(word.value, "value", ...) for word in call.keywords}
    if "encoding" in words or owner in ("tarfile", "zipfile", "os", "safetensors"):
        return False
    if name in ("read_text", "write_text"):
        return len(call.args) <= (name == "write_text")
    if words.get("text") is True or words.get("universal_newlines") is True:
        return True
    if name in ("open", "fdopen", "NamedTemporaryFile", "TemporaryFile"):
        place = 1 if owner in ("", "io", "gzip", "bz2", "lzma") else 0
        given = [getattr(arg, "value", ...) for arg in call.args[place : place + 1]]
        mode = words.get("mode", *(given or ["w+b" if "Temporary" in name else "r"]))
        return isinstance(mode, str) and "b" not in mode
    return False


def long_functions(tree):
    """Functions longer than they may be, counted from `def` to their end without their docstring.

    Comments and blank lines count: they take a reader's screen as code does. A docstring does not: it is read alone.
    """
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    lengths = {node.name: _lines(node) for node in ast.walk(tree) if isinstance(node, kinds)}
    return [
        f"{name}: {lines} lines, at most {FUNCTION_LINES}" for name, lines in lengths.items() if lines > FUNCTION_LINES
    ]


def _lines(function):
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= function.body[0].end_lineno - function.body[0].lineno + 1
    return lines


def lines_of_code(text):
    """Lines that hold code: without blank lines, comments and docstrings, so that explaining costs nothing."""
    tree = ast.parse(text)
    silent = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            silent.update(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(number not in silent and bool(re.match(r"\s*[^\s#]", line)) for number, line in lines)


def init_contents(tree):
    """What an __init__ has beside its docstring and dunder constants; a reader shall learn where things live."""
    kept = [node for node in tree.body if not _harmless(node)]
    return [f"line {node.lineno}: {ast.unparse(node).splitlines()[0]}" for node in kept]


def _harmless(node):
    if isinstance(node, ast.Assign):
        return all(re.fullmatch(r"__\w+__", ast.unparse(target)) for target in node.targets)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def crowded(modules):
    """Rooms with more modules than a newcomer takes in at a glance."""
    rooms = Counter(path.split("/")[0] for path in modules if "/" in path and not path.endswith("__init__.py"))
    return [f"{room} holds {n} modules, at most {ROOM_MODULES}" for room, n in rooms.items() if n > ROOM_MODULES]


def mirror(modules, tests, free):
    """Modules without a test file of the same place and name, and test files without a module.

    Args:
        modules: paths in the package, as "engine/loop.py".
        tests: paths in tests, as "engine/test_loop.py".
        free: test files that cover no single module.
    """
    wanted = {_test_of(path): path for path in modules if not path.endswith("__init__.py")}
    missing = [f"{path} has no tests/{test}" for test, path in wanted.items() if test not in tests]
    return missing + [f"tests/{test} mirrors no module" for test in tests if test not in wanted and test not in free]


def _test_of(path):
    folder, _, name = path.rpartition("/")
    return f"{folder}/test_{name.strip('_')}".lstrip("/").replace("__.py", ".py")
