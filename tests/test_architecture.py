"""The house stays as it was planned: imports go one way, files are short, nothing is unsafe, each module is tested."""

import ast
from pathlib import Path

import nbformat
import pytest
from helpers import notebook_form
from helpers import source_rules as rules

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "course_utils"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
TESTS = sorted(path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("*.py"))
# Tests of the whole instead of one module
WHOLE = "alone architecture bad_inputs bad_settings contracts invariants nbval notebook_sections notebooks offline"
FREE = {f"test_{name}.py" for name in WHOLE.split()} | {"models/test_hostile_folders.py", "data/test_bad_rows.py"}
each_module = pytest.mark.parametrize("module", MODULES)


def parsed(text):
    return ast.parse(text)


def parts_of(module):
    return tuple(module.removesuffix(".py").removesuffix("/__init__").split("/"))


@each_module
def test_imports_go_from_right_to_left(module):
    assert rules.backward_imports(parsed((PACKAGE / module).read_text(encoding="utf-8")), parts_of(module)) == []


@each_module
def test_nothing_runs_code_from_elsewhere(module):
    assert rules.unsafe_code(parsed((PACKAGE / module).read_text(encoding="utf-8"))) == []


@each_module
def test_texts_are_read_and_written_in_a_named_encoding(module):
    assert rules.unnamed_encodings(parsed((PACKAGE / module).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_notebook_runs_code_from_elsewhere(path):
    cells = notebook_form.code_cells(nbformat.read(path, as_version=4))
    assert [(cell.id, found) for cell in cells for found in rules.unsafe_code(notebook_form.tree(cell))] == []


@pytest.mark.parametrize("path", [f"course_utils/{m}" for m in MODULES] + [f"tests/{t}" for t in TESTS])
def test_files_and_functions_are_short(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text.count("\n") <= rules.FILE_LINES
    assert rules.long_functions(parsed(text)) == []


@pytest.mark.parametrize("module", [module for module in MODULES if module.endswith("__init__.py")])
def test_init_files_only_say_what_the_room_is_for(module):
    tree = parsed((PACKAGE / module).read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "a sentence that says what belongs into this room"
    assert rules.init_contents(tree) == []


def test_each_room_is_a_package():
    rooms = {module.split("/")[0] for module in MODULES if "/" in module}
    assert [room for room in rooms if f"{room}/__init__.py" not in MODULES] == []
    assert rooms <= {*rules.ROOMS, *rules.TOP}, "a new room needs its place in source_rules.ROOMS"


@pytest.mark.parametrize(("outside", "most"), [(False, rules.ROOM_LINES), (True, rules.OUTSIDE_LINES)])
def test_the_package_is_small(outside, most):
    chosen = [module for module in MODULES if module.startswith(("commands/", "setup/")) == outside]
    assert 0 < sum(rules.lines_of_code((PACKAGE / module).read_text(encoding="utf-8")) for module in chosen) <= most


def test_no_room_is_crowded():
    assert rules.crowded(MODULES) == []


def test_tests_mirror_the_package():
    assert rules.mirror(MODULES, [test for test in TESTS if Path(test).name.startswith("test_")], FREE) == []


# Below, each rule is seen to fire.


@pytest.mark.parametrize(
    ("module", "source", "fires"),
    [
        ("data/reviews", "from course_utils.models import base", True),
        ("data/reviews", "def late():\n    import course_utils.models.base", True),
        ("data/reviews", "from ..models import base", True),
        ("data/reviews", "from . import splits", False),
        ("data/reviews", "from course_utils import models", True),
        ("runtime", "from course_utils import recipes", False),
        ("runtime", "from course_utils.data import reviews", True),
        ("reporting/claims", "from course_utils.training import loop", False),
        ("engine/loop", "from course_utils.evaluation import classification", True),
        ("reporting/claims", "from course_utils.commands import course", True),
        ("reporting/claims", "import notebooks", True),
        ("reporting/claims", "from tests.helpers.sample_notebooks import code", True),
        ("commands/course", "from course_utils.checks import icl", False),
        ("engine/loop", "import torch\nfrom course_utils import tensors", False),
    ],
)
def test_imports_to_the_right_are_found(module, source, fires):
    assert bool(rules.backward_imports(parsed(source), tuple(module.split("/")))) is fires


@pytest.mark.parametrize(
    ("source", "fires"),
    [
        ("import pickle", True),
        ("from pickle import load", True),
        ("torch.load(path)", True),
        ("torch.load(path, weights_only=False)", True),
        ("torch.load(path, weights_only=True)", False),
        ("AutoModel.from_pretrained(x, trust_remote_code=True)", True),
        ("AutoModel.from_pretrained(x, trust_remote_code=asked)", True),
        ("AutoModel.from_pretrained(x, trust_remote_code=False)", True),
        ("AutoModel.from_pretrained(x, use_safetensors=True)", True),
        ("AutoModel.from_pretrained(x, trust_remote_code=False, use_safetensors=asked)", True),
        ("AutoModel.from_pretrained(x, trust_remote_code=False, use_safetensors=True)", False),
        ("AutoTokenizer.from_pretrained(x)", True),
        ("AutoTokenizer.from_pretrained(x, trust_remote_code=False)", False),
        ("torch.nn.Embedding.from_pretrained(vectors)", False),
        ("options['trust_remote_code'] = True", True),
        ("np.load(path, allow_pickle=True)", True),
        ("exec(text)", True),
        ("model.eval()", False),
        ("subprocess.run(line, shell=True)", True),
        ("safetensors.torch.load_file(path)", False),
    ],
)
def test_unsafe_code_is_found(source, fires):
    assert bool(rules.unsafe_code(parsed(source))) is fires


@pytest.mark.parametrize(
    ("source", "fires"),
    [
        ("open(path)", True),
        ("open(path, 'a')", True),
        ("open(path, mode='w')", True),
        ("open(path, 'rb')", False),
        ("open(path, encoding='utf-8')", False),
        ("path.open('w')", True),
        ("path.open('wb')", False),
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, 'utf-8')", False),
        ("path.write_text(text, encoding='utf-8')", False),
        ("gzip.open(path, 'rt')", True),
        ("tarfile.open(path, 'r:gz')", False),
        ("tempfile.NamedTemporaryFile('w')", True),
        ("tempfile.TemporaryFile(dir=folder)", False),
        ("subprocess.run(command, text=True)", True),
        ("subprocess.run(command, text=True, encoding='utf-8')", False),
    ],
)
def test_an_encoding_that_is_left_to_the_system_is_found(source, fires):
    assert bool(rules.unnamed_encodings(parsed(source))) is fires


def test_long_functions_are_found_and_docstrings_are_free():
    body = "    x = 1\n"
    docstring = '    """' + "words\n" * 30 + '    """\n'
    assert rules.long_functions(parsed("def f():\n" + body * 39)) == []
    assert rules.long_functions(parsed("def f():\n" + docstring + body * 39)) == []
    assert rules.long_functions(parsed("def f():\n" + body * 40)) == ["f: 41 lines, at most 40"]


def test_lines_of_code_leave_out_what_explains():
    assert (
        rules.lines_of_code('"""Room.\n\nMore."""\n\n# why\nx = 1  # how\n\ndef f():\n    """Doc."""\n    return x\n')
        == 3
    )


def test_what_an_init_re_exports_is_found():
    assert rules.init_contents(parsed('"""Room."""\n__version__ = "1"\n')) == []
    assert rules.init_contents(parsed("from .loop import train\nX = 1")) == [
        "line 1: from .loop import train",
        "line 2: X = 1",
    ]


def test_a_crowded_room_is_found():
    house = ["runtime.py", "data/__init__.py", *(f"data/{name}.py" for name in "abcdefghijklmnopqrst")]
    assert rules.crowded(house) == []
    assert rules.crowded([*house, "data/u.py"]) == ["data holds 21 modules, at most 20"]


def test_missing_and_orphaned_tests_are_found():
    modules = ["__init__.py", "__main__.py", "runtime.py", "data/__init__.py", "data/reviews.py"]
    good = ["test_main.py", "test_runtime.py", "data/test_reviews.py", "test_nbval.py"]
    assert rules.mirror(modules, good, {"test_nbval.py"}) == []
    assert rules.mirror(modules, good[1:], {"test_nbval.py"}) == ["__main__.py has no tests/test_main.py"]
    assert rules.mirror(modules, [*good, "data/test_gone.py"], {"test_nbval.py"}) == [
        "tests/data/test_gone.py mirrors no module"
    ]
