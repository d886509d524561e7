"""A checker compares what came as numbers, whatever holds them, and turns a crash into a sentence."""

import importlib
import pkgutil
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import checks
from course_utils.checks import feedback, ppo_rlhf, quantization, reward_modeling
from course_utils.checks import in_context as in_context_checks
from course_utils.data import prompts
from course_utils.evaluation import in_context
from course_utils.reporting.numbers import Silent


def test_verdicts_are_one_line_each(capsys):
    right, wrong = feedback.passed("right"), feedback.failed("wrong")
    assert (right, wrong) == (True, False) and isinstance(right, Silent) and isinstance(wrong, Silent)
    assert capsys.readouterr().out == "✓ right\n✗ wrong\n"


def test_attempt_gives_the_result():
    assert feedback.attempt(lambda a, b: a + b, 1, 2) == (3, None)
    assert feedback.attempt(lambda: 0) == (0, None)


@pytest.mark.parametrize("nothing", [None, ...])
def test_attempt_knows_the_stub(nothing):
    result, problem = feedback.attempt(lambda: nothing)
    assert result is None and "returns nothing yet" in problem


def test_attempt_turns_a_crash_into_a_sentence():
    assert feedback.attempt(lambda x: x / 0, 1) == (None, "your function raised ZeroDivisionError: division by zero")
    result, problem = feedback.attempt(lambda: 1, "too", "many")
    assert result is None and "raised TypeError" in problem


@pytest.mark.parametrize("hold", [float, torch.tensor, np.float64, lambda x: [x], lambda x: torch.tensor([x])])
def test_a_number_is_close_whatever_holds_it(hold):
    assert feedback.close(hold(2.0), 2.0)
    assert not feedback.close(hold(2.1), 2.0)


@pytest.mark.parametrize("hold", [list, tuple, torch.tensor, np.array])
def test_numbers_are_close_whatever_holds_them(hold):
    assert feedback.close(hold([1.0, 2.0]), [1.0, 2.0])
    assert not feedback.close(hold([1.0, 2.1]), [1.0, 2.0])
    assert not feedback.close(hold([1.0]), [1.0, 2.0])


@pytest.mark.parametrize("came", ["words", {"a": 1}, object(), [[1.0], [2.0]], float("nan"), print, []])
def test_what_is_no_such_number_is_not_close(came):
    assert not feedback.close(came, 1.0)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-9, 0.5))
def test_tolerance_is_relative_and_absolute(value, tolerance):
    room = tolerance * max(1, abs(value))
    assert feedback.close(value + 0.9 * room, value, tolerance)
    assert not feedback.close(value + 3 * room, value, tolerance)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456, "0.1235"),
        (3, "3"),
        ("a", "'a'"),
        ([0.5, 1], "[0.5, 1]"),
        ((0.25,), "[0.25]"),
        (torch.tensor([0.5, 0.25]), "[0.5, 0.25]"),
        (torch.tensor(2.0), "2"),
    ],
)
def test_values_are_short_to_read(value, shown):
    assert feedback.short(value) == shown


def double(values):
    return [2 * value for value in values]


def not_double(result, values):
    return None if feedback.close(result, double(values)) else f"wrong: {feedback.short(result)}"


CASES = [([1.0, 2.0],), ([3.0, 0.5],)]


@pytest.mark.parametrize("right", [double, lambda x: 2 * x.clone(), lambda x: x.astype(float) * 2])
@pytest.mark.parametrize("first", ["list", "array", "tensor"])
def test_a_function_is_right_in_any_form(right, first):
    assert feedback.problem(right, CASES, not_double, first) is None


def test_one_form_has_to_be_right_in_all_cases():
    seen = []

    def by_turns(values):
        seen.append(type(values).__name__)
        return double(values) if (values[0] == 1) == isinstance(values, list) else [0.0]

    assert feedback.problem(by_turns, CASES, not_double) == "wrong: [0]"
    assert seen == ["list", "list", "Tensor", "ndarray"]


def test_a_wrong_number_is_told_before_an_exception():
    assert feedback.problem(lambda x: (x + 1).tolist(), CASES, not_double) == "wrong: [2, 3]"
    assert "raised TypeError" in feedback.problem(lambda x: None + 1, CASES, not_double)


def test_a_function_gets_copies():
    def spoil(values):
        result = double(values)
        values[:] = [0.0, 0.0]
        return result

    cases = [([1.0, 2.0],), ([1.0, 2.0],)]
    assert feedback.problem(spoil, cases, not_double) is None and cases == [([1.0, 2.0],)] * 2
    rows = [[1.0]]
    feedback.attempt(lambda given: given[0].clear() or 1, rows)
    assert rows == [[1.0]]


def test_only_the_first_form_prints_and_warns(capsys, recwarn):
    def loud(values):
        print("once")
        warnings.warn("once", stacklevel=1)
        return 0

    assert feedback.problem(loud, CASES, not_double) and capsys.readouterr().out == "once\n" and len(recwarn) == 1


def test_texts_stay_texts_in_every_form():
    seen = []
    feedback.problem(lambda words, n: seen.append((words, n)), [(["a", "b"], 3)], not_double)
    assert [type(words) for words, _ in seen] == [list, list, np.ndarray] and {n for _, n in seen} == {3}


# what a learner may give by mistake: none of it is right anywhere, and all of it deserves one line
ENDLESS = []
ENDLESS.append(ENDLESS)
BAD = {
    "nothing": None,
    "the stub": ...,
    "a text": "0.5",
    "two lines": "a\nb",
    "a dictionary": {"a": 1},
    "another shape": np.ones((3, 1, 2)),
    "no number": float("nan"),
    "a number too large": 10**400,
    "a complex number": 1j,
    "an object": object(),
    "a type": list,
    "ragged": [[1.0], [2.0, 3.0]],
    "endless": ENDLESS,
    "an empty list": [],
    "a tensor on no device": torch.ones(2, device="meta"),
    "True": True,
}


def checkers():
    """(name, what calls it with a learner's function, or with what a learner chose, and whether it is a function)."""
    for module in map(importlib.import_module, sorted(f"{checks.__name__}.{m.name}" for m in iter_modules(checks))):
        for name, checker in vars(module).items():
            if name.startswith("check_"):
                yield name, OTHERS.get(name, checker), name not in CHOICES


def iter_modules(package):
    return pkgutil.iter_modules(package.__path__)


POOL = [prompts.Example(f"review {n}", n % 2) for n in range(20)]
QUESTIONS = in_context.Questions(("a", "b"), (1, 0))
RUNS = {cause: [{"kl": 1.0, "reward": 0.0}] for cause in ppo_rlhf.CAUSES}
CHOICES = {"check_fits", "check_fooled", "check_spared", "check_worse_examples"}
OTHERS = {
    "check_clinic": lambda mine: ppo_rlhf.check_clinic(mine, RUNS),
    "check_fooled": lambda mine: reward_modeling.check_fooled(lambda texts: [0.0] * len(texts), mine),
    "check_spared": lambda mine: quantization.check_spared(mine, {"head": 1.0}, {"head": 1}, 1),
    "check_worse_examples": lambda mine: in_context_checks.check_worse_examples(None, POOL, QUESTIONS, mine),
}


@pytest.mark.parametrize(("name", "check", "of_function"), checkers())
def test_every_checker_refuses_what_is_no_answer_in_one_line(name, check, of_function, capsys):
    for kind, bad in BAD.items():
        assert not check((lambda *given, bad=bad: bad) if of_function else bad), kind
        said = capsys.readouterr().out
        assert said.startswith("✗ ") and said.count("\n") == 1 and len(said) < 1000, (kind, said)


@pytest.mark.parametrize(("name", "check", "of_function"), checkers())
def test_every_checker_survives_a_function_that_raises(name, check, of_function, capsys):
    def raising(*given):
        raise RuntimeError("first line\nsecond line")

    assert not check(raising) and not check(7)
    said = capsys.readouterr().out
    assert said.count("✗ ") == said.count("\n") == 2
    assert not of_function or "raised RuntimeError: first line second line" in said


def test_all_checkers_are_tried():
    assert {"check_softmax", "check_mask", "check_delta", "check_fits"} | CHOICES <= {name for name, *_ in checkers()}
