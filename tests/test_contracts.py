"""What we use of torch, transformers, peft, datasets and others exists in the installed versions.

The list is read from our own sources, notebooks included, so it is complete as far as sources tell. A failure names the
line, the symbol and the version: the library moved, nothing else is broken.
"""

from collections import defaultdict
from pathlib import Path

import nbformat
import pytest
from helpers import library_use, notebook_form

ROOT = Path(__file__).resolve().parents[1]


def all_uses():
    """library → its uses, over the package and the notebooks."""
    found = set()
    for path in (ROOT / "course_utils").rglob("*.py"):
        found |= library_use.uses(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in notebook_form.code_cells(nbformat.read(path, as_version=4)):
            lines = ["pass" if line.lstrip().startswith(("%", "!")) else line for line in cell.source.splitlines()]
            found |= library_use.uses("\n".join(lines), f"{path.name}/{cell.id}")
    grouped = defaultdict(list)
    for use in sorted(found, key=lambda use: (use.symbol, use.where)):
        grouped[use.symbol.split(".")[0]].append(use)
    return grouped


USES = all_uses()


@pytest.mark.parametrize("library", sorted(USES))
def test_library_has_what_we_use(library):
    problems = [library_use.missing(use) for use in USES[library]]
    assert [problem for problem in problems if problem] == []


def test_the_list_is_not_empty():
    assert {"torch", "transformers"} <= set(USES)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("from json5000 import loads", "json5000 is not installed"),
        ("from torch.nn import Lineal", "torch.nn.Lineal is gone in torch"),
        ("import torch\ntorch.nn.functional.cross_entropi(a)", "torch.nn.functional.cross_entropi is gone"),
        ("import torch.nn.functional as F\nF.softmax(a, dimension=1)", "takes no keyword dimension"),
        ("def f():\n    from transformers import AutoModel, Auto5\n", "transformers.Auto5 is gone in transformers"),
        ("import torch.utils.nothing", "torch.utils.nothing is gone"),
        ("import torch.nn.functional as F\nF.softmax(a, dim=1)", None),
        ("import torch.utils.data\ntorch.utils.data.DataLoader(x, batch_size=2)", None),
        ("import torch\ntorch.Tensor.mean(x, dim=1)", None),
        ("import torch\nx = torch.float32.itemsize", None),
        ("import json\njson.nothing()", None),
        ("from course_utils import nothing", None),
    ],
)
def test_a_moved_api_is_found(source, message):
    problems = [library_use.missing(use) for use in library_use.uses(source, "notebook.py")]
    problems = [problem for problem in problems if problem]
    assert problems == [] if message is None else any(message in problem for problem in problems), problems
