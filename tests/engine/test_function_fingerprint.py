"""Whatever changes what a function gives changes its identity; nothing else does, and no process sees another one."""

import functools
import os
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from course_utils.engine.function_fingerprint import of as fingerprint_of

FACTOR, WORDS = 2.0, {"good", "fine", "great"}


def helper(text):
    return FACTOR * sum(word in WORDS for word in text.split())


def by_helper(prompts, texts):
    return [helper(text) for text in texts]


def by_default(prompts, texts, factor=1.0, *, shift=0):
    return [factor * len(text) + shift for text in texts]


def closing_over(value):
    return lambda prompts, texts: [value] * len(texts)


@dataclass
class Judge:
    weight: float

    def __call__(self, prompts, texts):
        return [self.score(text) for text in texts]

    def score(self, text):
        return self.weight * len(text)


def recursive(prompts, texts):
    return [0.0] if len(texts) == 1 else [*recursive(prompts, texts[1:]), 1.0]


def test_a_function_is_itself():
    for function in (by_helper, by_default, closing_over(1), Judge(1.0), recursive, functools.partial(by_default)):
        assert fingerprint_of(function) == fingerprint_of(function)
    assert fingerprint_of(Judge(1.0)) == fingerprint_of(Judge(1.0)) and fingerprint_of(
        closing_over(1)
    ) == fingerprint_of(closing_over(1))


@pytest.mark.parametrize(
    ("name", "value"), [("FACTOR", 3.0), ("WORDS", {"good", "fine"}), ("helper", lambda text: 2.0 * len(text))]
)
def test_a_changed_global_or_helper_is_another_function(monkeypatch, name, value):
    before = fingerprint_of(by_helper)
    monkeypatch.setitem(globals(), name, value)
    assert fingerprint_of(by_helper) != before
    monkeypatch.undo()
    assert fingerprint_of(by_helper) == before


def test_a_global_that_is_not_read_changes_nothing(monkeypatch):
    before = fingerprint_of(by_helper)
    monkeypatch.setitem(globals(), "split", 1)  # the name of a method that is called
    monkeypatch.setitem(globals(), "Judge", None)
    assert fingerprint_of(by_helper) == before


def test_defaults_arguments_and_closures_count(monkeypatch):
    before = fingerprint_of(by_default)
    assert len({fingerprint_of(functools.partial(by_default, factor=factor)) for factor in (1, 2)} | {before}) == 3
    monkeypatch.setattr(by_default, "__defaults__", (2.0,))
    second = fingerprint_of(by_default)
    monkeypatch.setattr(by_default, "__kwdefaults__", {"shift": 1})
    assert len({before, second, fingerprint_of(by_default)}) == 3
    values = (1, 2, [1, 2], [2, 1], {"a": 1}, torch.ones(2), torch.zeros(2), np.ones(2), np.zeros(2))
    assert len({fingerprint_of(closing_over(value)) for value in values}) == len(values)


def test_attributes_and_methods_count(monkeypatch):
    before = fingerprint_of(Judge(1.0))
    assert fingerprint_of(Judge(2.0)) != before and fingerprint_of(Judge(1.0).score) != fingerprint_of(Judge(2.0).score)
    assert fingerprint_of(closing_over(Judge(1.0))) != fingerprint_of(closing_over(Judge(2.0)))
    monkeypatch.setattr(Judge, "score", lambda self, text: -self.weight)
    assert fingerprint_of(Judge(1.0)) != before


def test_what_is_inherited_counts_and_so_do_a_static_method_and_a_property(monkeypatch):
    class Heir(Judge):
        @staticmethod
        def shift(text):
            return 1

        @property
        def factor(self):
            return 2

    found = [fingerprint_of(Heir(1.0))]
    for owner, name, part in (
        (Judge, "__call__", lambda self, prompts, texts: [0.0] * len(texts)),
        (Heir, "shift", staticmethod(lambda text: 3)),
        (Heir, "factor", property(lambda self: 4)),
    ):
        monkeypatch.setattr(owner, name, part)
        found.append(fingerprint_of(Heir(1.0)))
    assert len(set(found)) == 4


def test_the_order_in_which_one_object_comes_again_counts():
    one, two = [1], [2]
    orders = ([one, two, one], [one, two, two], [one, one, two])
    assert len({fingerprint_of(closing_over(order)) for order in orders}) == 3
    assert fingerprint_of(closing_over(((1,), (1,)))) == fingerprint_of(closing_over((tuple([1]), tuple([1]))))


def test_what_says_who_it_is_and_what_a_run_changes_are_not_looked_into():
    model = torch.nn.Linear(2, 2)
    before = fingerprint_of(closing_over(model))
    torch.nn.init.zeros_(model.weight)
    assert fingerprint_of(closing_over(model)) == before
    assert (
        len({fingerprint_of(closing_over(SimpleNamespace(identity=name, n=n))) for name in "ab" for n in (1, 2)}) == 2
    )


def test_every_process_finds_the_same():
    code = "from test_function_fingerprint import Judge, by_helper, fingerprint_of as of"
    code += "; print(of(by_helper), of(Judge(1))); from course_utils.data import lexicon; print(of(lexicon.reward))"
    path = os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in "12"
    }  # fmt: skip
    assert len(said) == 1 and len(said.pop().split()) == 3
