"""Every notebook has the form that notebook_form describes; each rule is seen to fire on a notebook that breaks it."""

import ast
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from helpers import notebook_form as form
from helpers import sample_notebooks as made
from nbformat.v4 import new_output

HOME, TEMPORARY = ("/" + name for name in ("home", "tmp"))  # what the form refuses; this file holds no such path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def package_functions():
    """Names that the package's modules define at their top."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "course_utils").rglob("*.py")]
    kinds = ast.FunctionDef | ast.ClassDef
    return {node.name for tree in trees for node in tree.body if isinstance(node, kinds)} - {"main"}


def checker_tests():
    return "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "checks").rglob("test_*.py"))


RULES = [form.counts_and_outputs, form.compared, form.shape, form.ids, form.parts]
RULES += [form.sizes, form.machine, form.first_cell]


@every_notebook
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_form(path, rule):
    assert rule(read(path)) == []


@every_notebook
def test_exercises(path):
    assert form.exercises(read(path), checker_tests()) == []


@every_notebook
def test_the_promise_agrees_with_the_recipes(path):
    from course_utils import recipes, runtime

    number = path.stem.split("_")[0]
    assert form.promise(read(path), lambda tier: recipes.of(number, tier), runtime.TIERS) == []


@every_notebook
def test_shown_sources_are_the_packages(path):
    assert form.shown_sources(read(path), ROOT) == []


@every_notebook
def test_names_are_a_number_and_words(path):
    assert re.fullmatch(r"\d\d(_[a-z0-9]+)+", path.stem)


def repeated(notebooks, taken):
    """Functions that notebooks define twice, or that the package has.

    Args:
        notebooks: name → notebook.
        taken: the package's names.
    """
    found = [(name, f"{book}/{id}") for book, nb in notebooks.items() for name, id in form.defined(form.code_cells(nb))]
    count = Counter(name for name, _ in found)
    return [f"{where} defines {name}" for name, where in found if count[name] > 1 or name in taken]


def first_cells(notebooks):
    """The distinct first code cells of notebooks; one, when all is well."""
    return {form.code_cells(notebook)[0].source.strip() for notebook in notebooks}


def test_no_function_stands_twice():
    assert repeated({path.stem: read(path) for path in NOTEBOOKS}, package_functions()) == []


def test_the_first_cell_is_the_same_everywhere():
    assert len(first_cells(read(path) for path in NOTEBOOKS)) <= 1


# Below, each rule meets a notebook that is good but for one thing.


def good():
    """A notebook to which no rule objects: 20 code cells that print, each after a word of prose."""
    cells = [made.prose("promise", "| tier | time | memory |\n|---|---|---|\n| cpu | 4 min | 1.9 GB |")]
    cells += [
        made.code("prediction-guess", "predictions.predict('a', 500, question='how many', unit='')", printed="500")
    ]
    cells += [made.code("claims-before", "claims.expect('a', statement='s', baseline='b', at_least=1000)", printed="s")]
    for number in range(17):
        cells += [
            made.prose(f"why-step-{number}"),
            made.code(f"run-step-{number}", "print(1)", printed="1\n"),
        ]
    cells += [
        made.prose("break-it"),
        made.code("claims", "claims.check('a')\npredictions.score('a', 1)", printed="ok"),
    ]
    codes = [cell for cell in cells if cell.cell_type == "code"]
    for count, cell in enumerate(codes, 1):
        cell.execution_count = count
    first = next(position for position, cell in enumerate(cells) if cell.id.startswith("claims-before"))
    cells[first].id = "expect-before"
    return made.notebook(cells)


def recipe(tier):
    return {"cpu": SimpleNamespace(minutes=4, memory_gb=1.9)}[tier]


def all_problems(notebook):
    problems = [problem for rule in RULES for problem in rule(notebook)]
    return problems + form.exercises(notebook, "") + form.promise(notebook, recipe, ["cpu"])


def changed(id="run-step-8", **changes):
    """The good notebook with one cell changed; `tags` and `output` are for short."""
    notebook = good()
    cell = next(cell for cell in notebook.cells if cell.id == id)
    if "tags" in changes:
        cell.metadata["tags"] = changes.pop("tags")
    if "output" in changes:
        cell.outputs = [changes.pop("output")]
    if "new_id" in changes:
        cell.id = changes.pop("new_id")
    cell.update(changes)
    return notebook


def test_the_good_notebook_has_no_problem():
    assert all_problems(good()) == []


PLOT = new_output("display_data", data={"text/plain": "<Figure size 640x480 with 1 Axes>", "image/png": ""})
WIDGET = new_output("display_data", data={"text/plain": "VBox(children=(Text(value='a'),\n Output()))"})
ERROR = new_output("error", ename="ValueError", evalue="no", traceback=[])
STDERR = new_output("stream", name="stderr", text="a warning")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"execution_count": None}, "no execution count"),
        ({"execution_count": 2}, "execution count 2 after 10"),
        ({"output": ERROR}, "a stored error"),
        ({"output": STDERR}, "on stderr"),
        ({"source": "x = 1\n" * 21}, "21 lines of code"),
        ({"new_id": "1c3e5a7b"}, "cell id '1c3e5a7b'"),
        ({"new_id": "deadbeef"}, "cell id 'deadbeef'"),
        ({"new_id": "Run_It"}, "cell id 'Run_It'"),
        ({"new_id": "run-step-7"}, "twice"),
        ({"source": "train(steps=64)"}, "steps is 64"),
        ({"source": "items = load(400)"}, "an argument is 400"),
        ({"source": "sizes = [32, 128, 512]"}, "sizes is 512"),
        ({"source": "learning_rate = 1e-4"}, "learning_rate is 0.0001"),
        ({"source": f"open('{HOME}/someone/data.txt')"}, "a path of one machine"),
        ({"output": new_output("stream", text=f"{TEMPORARY}/x/y")}, "a path of one machine"),
        ({"source": "folder = 'C:\\\\Users\\\\me'"}, "a path of one machine"),
        ({"source": "login('hf_abcdefghijklmnopqrstuvwxyz')"}, "a token"),
        ({"output": new_output("stream", text="at http://10.1.2.3/simple")}, "a private address"),
        ({"output": new_output("stream", text="from pypi.corp.internal")}, "a private host name"),
        ({"tags": ["nbval-skip"]}, "skipped by nbval and no exercise"),
        ({"new_id": "exercise-sum"}, "tag it nbval-skip"),
        ({"new_id": "exercise-sum", "tags": ["nbval-skip"]}, "no markdown cell 'solution-sum'"),
        ({"new_id": "exercise-sum", "tags": ["nbval-skip"]}, "calls no checker"),
        ({"id": "promise", "new_id": "welcome"}, "begins with 'promise'"),
        ({"id": "prediction-guess", "new_id": "guess"}, "begins with 'prediction'"),
        ({"id": "break-it", "new_id": "mend-it"}, "begins with 'break'"),
        ({"id": "claims", "new_id": "verdict"}, "begins with 'claims'"),
        ({"id": "claims", "source": "predictions.score('a', 1)"}, "'a' has expect(…) and no check(…)"),
        ({"id": "claims", "source": "claims.check('a')"}, "'a' has predict(…) and no score(…)"),
        ({"id": "expect-before", "source": "pass"}, "'a' has check(…) and no expect(…)"),
        ({"id": "why-step-16", "new_id": "prediction"}, ""),
        ({"id": "prediction-guess", "source": "x = 1\n" * 9}, "at most 8, because"),
        ({"id": "promise", "source": "| cpu | 5 min | 1.9 GB |"}, "recipes say | cpu | 4 min | 1.9 GB |"),
        ({"id": "promise", "source": "It takes 4 minutes."}, "no table row"),
    ],
)
def test_each_rule_fires(changes, message):
    problems = all_problems(changed(**changes))
    assert any(message in problem for problem in problems) if message else problems == []


def test_the_parts_stand_in_order():
    notebook = changed("why-step-16", new_id="promise-late")
    notebook.cells[0].id = "welcome"
    assert "the parts stand in another order" in form.parts(notebook)[0]


def test_no_recipe_is_a_problem_not_a_pass():
    assert "no row for tier gpu-16gb" in form.promise(good(), recipe, ["cpu", "gpu-16gb"])[0]


def test_a_comment_marks_a_cell_as_a_tag_does():
    assert form.tags(made.code("run-it", "x = 1\n# NBVAL_IGNORE_OUTPUT", "hide")) == {
        "nbval-ignore-output",
        "hide",
    }


@pytest.mark.parametrize("output", [PLOT, WIDGET], ids=["plot", "widget"])
def test_pictures_and_ignored_outputs_are_not_compared(output):
    notebook = good()
    for cell in form.code_cells(notebook)[5:9]:
        cell.outputs = [output]
    assert form.compared(notebook) == []
    form.code_cells(notebook)[9].metadata["tags"] = ["nbval-ignore-output"]
    assert "nothing compared in 5 of 20" in form.compared(notebook)[0]


def test_silent_cells_are_not_compared_text():
    notebook = good()
    for cell in form.code_cells(notebook)[5:13]:
        cell.outputs = []
    assert form.compared(notebook) == []
    form.code_cells(notebook)[13].outputs = [new_output("stream", text=" \n")]
    assert "text is compared in 11 of 20" in form.compared(notebook)[0]


@pytest.mark.parametrize(("removed", "fires"), [((3, 4, 7, 8), False), ((3, 4, 7, 8, 11, 12), True), ((3, 4, 5), True)])
def test_code_cells_in_a_row(removed, fires):
    notebook = good()
    gone = {f"why-step-{number}" for number in removed}
    notebook.cells = [cell for cell in notebook.cells if cell.id not in gone]
    notebook.cells += [made.prose(f"more-{number}") for number in range(9)]
    assert any("in a row" in problem for problem in form.shape(notebook)) is fires


def test_number_of_cells_and_median():
    notebook = good()
    for cell in form.code_cells(notebook):
        cell.source = "print(1)\n" * 9
    assert "9.0 lines in the median" in form.shape(notebook)[0] or "9 lines in the median" in form.shape(notebook)[0]
    notebook.cells = notebook.cells[:29]
    assert "29 cells" in form.shape(notebook)[0]


def test_an_exercise_with_checker_and_solution_passes():
    notebook = changed(
        new_id="exercise-sum", tags=["nbval-skip"], source="def mine():\n    ...\n\nsums.check_sum(mine)"
    )
    notebook.cells.append(made.prose("solution-sum", "<details>\nIt is…\n</details>"))
    assert form.exercises(notebook, "assert sums.check_sum(wrong)") == []
    assert "calls no checker" in form.exercises(notebook, "")[0]


def test_widget_state_is_refused():
    notebook = good()
    notebook.metadata["widgets"] = {}
    assert "metadata.widgets" in form.counts_and_outputs(notebook)[0]


def test_repeated_functions_and_first_cells_are_found():
    def book(*sources):
        return made.notebook([made.code(f"run-{n}", source) for n, source in enumerate(sources)])

    notebooks = {
        "00": book("def toy(): pass"),
        "01": book("%matplotlib inline\nclass toy: pass", "def masked_mean(): 0"),
    }
    assert repeated(notebooks, {"masked_mean"}) == [
        "00/run-0 defines toy",
        "01/run-0 defines toy",
        "01/run-1 defines masked_mean",
    ]
    assert "masked_mean" in package_functions()
    assert len(first_cells(notebooks.values())) == 2


def test_a_shown_source_that_was_changed_since_is_found(tmp_path):
    (tmp_path / "course_utils").mkdir()
    (tmp_path / "course_utils" / "short.py").write_text('def f(x):\n    """Doc."""\n    return x\n')
    shown = "# course_utils/short.py\ndef f(x):\n    return {}\n"
    today = changed(source="show_source(short.f)", output=new_output("stream", name="stdout", text=shown.format("x")))
    assert form.shown_sources(today, tmp_path) == []
    older = changed(source="show_source(short.f)", output=new_output("stream", name="stdout", text=shown.format("2")))
    assert (
        "run-step-8 shows what course_utils/short.py does not say: 'return 2'" in form.shown_sources(older, tmp_path)[0]
    )
