"""A notebook shows the code that runs: the function of the package, its file, and no docstring unless asked."""

import inspect
import textwrap

import pytest

from course_utils.evaluation import classification, comparison, next_token
from course_utils.models import sampling
from course_utils.reporting import plots, source


def printed(capsys, *given, **how):
    source.show_source(*given, **how)
    return capsys.readouterr().out.splitlines()


def test_a_function_without_its_docstring(capsys):
    assert printed(capsys, sampling._logits) == [
        "# course_utils/models/sampling.py",
        "def _logits(model, hidden):",
        "    return model.get_output_embeddings()(hidden.contiguous()).float()",
    ]


def test_the_docstring_on_request(capsys):
    lines = printed(capsys, classification.calibrated_threshold, docstring=True)
    assert lines[1:] == inspect.getsource(classification.calibrated_threshold).rstrip().splitlines()


@pytest.mark.parametrize(
    "function", [classification.calibrated_threshold, comparison.mean_interval, sampling.sample, plots.axes, plots.bars]
)
def test_nothing_but_the_docstring_is_left_out(capsys, function):
    whole = inspect.getsource(function)
    docstring = next(part for part in whole.split('"""')[1:])
    expected = whole.replace(f'    """{docstring}"""\n', "", 1).rstrip().splitlines()
    assert printed(capsys, function)[1:] == expected


def test_a_decorated_function_stands_in_its_own_file(capsys):
    lines = printed(capsys, plots.axes)
    assert lines[:2] == ["# course_utils/reporting/plots.py", "@contextlib.contextmanager"]


def test_a_class_loses_its_own_docstring_only(capsys):
    text = "\n".join(printed(capsys, next_token.Trigrams))
    assert text.startswith("# course_utils/evaluation/next_token.py\nclass Trigrams:\n")
    assert "The best of the cheap tables" not in text
    assert '"""Count what follows two, one and no tokens.' in text


def without(text):
    return source._without_docstring(textwrap.dedent(text).strip().splitlines())


def test_strings_that_are_no_docstring_stay():
    kept = 'def f():\n    text = """not\n    a docstring"""\n    return text'
    assert without(kept) == kept.splitlines()
    assert without("def f():\n    r'''One.\n\n    More.'''\n    return 1") == ["def f():", "    return 1"]
    assert without("class C:\n    x: int\n\n    def f(self):\n        '''Doc.'''") == [
        "class C:",
        "    x: int",
        "",
        "    def f(self):",
        "        '''Doc.'''",
    ]
