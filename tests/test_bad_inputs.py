"""One table of bad inputs for what a notebook shows: plots, tables, numbers, guesses, claims.

Each is refused in one message of this package, before anything is drawn or written. The other kinds stand in
test_bad_settings.py, data/test_bad_rows.py and models/test_hostile_folders.py.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from course_utils import folders, recipes
from course_utils.evaluation.comparison import Estimate
from course_utils.reporting import (
    claims,
    numbers,
    plots,
    predictions,
    rating,
    records,
    reference,
    source,
    tables,
    widgets,
)

NAN, INF = float("nan"), float("inf")
GOOD, BETTER, BROKEN = Estimate(0.5, 0.4, 0.7, 1, 20), Estimate(0.8, 0.7, 0.9, 1, 20), Estimate(NAN, NAN, NAN, 1, 2)
WORDS = {"title": "t", "xlabel": "x", "ylabel": "y"}


def drawn(draw=lambda ax: ax.plot([1, 2]), **changed):
    with plots.axes(**(WORDS | changed)) as ax:
        draw(ax)


def bars(estimates, ours=(), **more):
    plots.bars(estimates, ours=ours, title="t", xlabel="x", **more)


def curve(x=(0, 1), series=None, **more):
    plots.curve(x, {"a": (plots.OURS, [GOOD, BETTER])} if series is None else series, **WORDS, **more)


def tokens(pairs):
    plots.next_tokens(pairs, title="t")


FIGURES = {  # call → what the message says
    "plots/a title of None": (lambda: drawn(title=None), "The plot's title is None; expected a text"),
    "plots/an alt that is a list": (lambda: drawn(alt=["a"]), r"The plot's alt is \['a'\]; expected a text"),
    "plots/a size of one number": (lambda: drawn(size=3), r"size is 3; expected \(width, height\) in inches"),
    "plots/a size of zero": (lambda: drawn(size=(0, 0)), r"size is \(0, 0\); expected .* from 0.5 to 100"),
    "plots/a size of NaN": (lambda: drawn(size=(NAN, 2)), "A side of the plot is nan; expected a finite number"),
    "plots/a size in pixels": (lambda: drawn(size=(900, 460)), "expected .* in inches"),
    "plots/nothing drawn": (lambda: drawn(lambda ax: None), "Nothing was drawn in the plot. Draw on ax inside"),
    "plots/a line of NaN": (lambda: drawn(lambda ax: ax.plot([NAN, NAN], label="ours")), "line 'ours' has no finite"),
    "plots/an empty line": (lambda: drawn(lambda ax: ax.plot([])), "has no finite point to draw. Is it empty"),
    "plots/no tokens": (lambda: tokens([]), r"Expected pairs as .*got \[\]"),
    "plots/tokens of a dictionary": (lambda: tokens({"a": 0.5}), "Expected pairs as .*Take them from"),
    "plots/a token that is a number": (lambda: tokens([(5, 0.5)]), "A token to draw is 5; expected a text"),
    "plots/a percentage": (lambda: tokens([("a", 60.0)]), "probability of 'a' is 60; expected 0 to 1. Is it a percent"),
    "plots/a log-probability": (lambda: tokens([("a", -0.2)]), "is -0.2; expected 0 to 1. .* or a log-probability"),
    "plots/a probability of NaN": (lambda: tokens([("a", NAN)]), "probability of 'a' is nan; expected a finite"),
    "plots/no bars": (lambda: bars({}), "The bars are {}; expected .* at least one"),
    "plots/bars of numbers": (lambda: bars({"a": 0.5}), "the bar 'a' is 0.5; expected an Estimate"),
    "plots/a bar of NaN": (lambda: bars({"a": BROKEN}), "The mean of the bar 'a' is nan"),
    "plots/a bar backwards": (lambda: bars({"a": Estimate(0.5, 0.7, 0.4, 1, 2)}), r"\(0.7, 0.4\) runs backwards"),
    "plots/ours as a text": (lambda: bars({"a": GOOD}, "a"), "No bar is named 'a'; ours is a list of some of"),
    "plots/ours unknown": (lambda: bars({"a": GOOD}, ["b"]), r"No bar is named 'b'; ours is a list of some of \['a'\]"),
    "plots/a person of NaN": (lambda: bars({"a": GOOD}, human=NAN), "dashed line, human, is nan"),
    "plots/labels fewer": (lambda: curve((0, 1, 2)), "line 'a' has 2 estimates for 3 labels"),
    "plots/labels none": (lambda: curve(()), r"The labels x are \(\); expected a list"),
    "plots/series without colour": (lambda: curve(series={"a": [GOOD, BETTER]}), "'a' begins with no colour"),
    "plots/series none": (lambda: curve(series={}), "The series are {}; expected"),
    "plots/a point of NaN": (lambda: curve(series={"a": (plots.OURS, [GOOD, BROKEN])}), "the line 'a' at 1 is nan"),
    "plots/a line across of NaN": (lambda: curve(lines=[("z", plots.HUMAN, NAN)]), "The line 'z' is nan"),
    "plots/a range of one": (lambda: curve(ylim=1), r"The range ylim is 1; expected two numbers, \(low, high\)"),
    "plots/no bars in a widget": (lambda: widgets.bars_html([]), "Expected pairs as"),
    "tables/no rows": (lambda: tables.show([]), "A table needs at least one row, got none"),
    "tables/None": (lambda: tables.show(None), "A table needs at least one row"),
    "tables/lists": (lambda: tables.show([[1, 2]]), "Row 0 is a list .*expected a dictionary"),
    "tables/a generator": (lambda: tables.show(row for row in [{"a": 1}]), r"a generator.*Write list\(rows\)"),
    "tables/an unknown column": (
        lambda: tables.show([{"a": 1}], ["b"]),
        "No row of the table has the column 'b'. .*: a",
    ),
    "tables/a column as text": (lambda: tables.show([{"name": 1}], "name"), "columns are 'name'; expected a list"),
    "tables/NaN": (lambda: tables.show([{"a": 1.0}, {"a": NAN}]), "Row 1, column 'a' is nan; .* missing is None"),
    "tables/infinity of numpy": (lambda: tables.show([{"a": np.float32(INF)}]), "Row 0, column 'a' is inf"),
    "tables/a title of 7": (lambda: tables.show([{"a": 1}], title=7), "The table's title is 7; expected a text"),
    "tables/numbers side by side": (lambda: tables.side_by_side([{"a": 1}]), "Row 0, column 'a' is 1; expected a text"),
    "tables/other keys": (lambda: tables.side_by_side([{"a": "x"}, {"b": "y"}]), "'b'] is missing"),
    "numbers/a text": (lambda: numbers.about("0.9"), "number to show is '0.9'; expected a number. Write it without"),
    "numbers/None": (lambda: numbers.about(None), "is None; expected a number. Was the cell that measures it run"),
    "numbers/several": (lambda: numbers.about(torch.ones(2)), "expected a number. Pass one number, for example their"),
    "numbers/NaN": (lambda: numbers.about(NAN), "is nan; expected a finite number. Is it the mean of no items"),
    "numbers/a spread of NaN": (lambda: numbers.about(1, spread=NAN), "The spread is nan"),
    "numbers/digits below zero": (lambda: numbers.about(1, digits=-1), "digits is -1; expected a whole number"),
    "numbers/a mean alone": (lambda: numbers.estimate(0.5), "without an interval, is 0.5; expected an Estimate"),
    "numbers/half an interval": (lambda: numbers.estimate(0.5, 0.1), r"is 0.1; expected two numbers, \(low, high\)"),
    "numbers/an interval backwards": (lambda: numbers.estimate(0.5, (0.6, 0.4)), "runs backwards"),
    "numbers/an interval elsewhere": (lambda: numbers.estimate(0.9, (0.1, 0.2)), "lies far from the mean 0.9"),
    "source/a text": (
        lambda: source.show_source("plots.bars"),
        "Expected a function or class of course_utils, got 'pl",
    ),
    "source/another's": (lambda: source.show_source(os.path.join), "take inspect.getsource"),
    "source/a result": (lambda: source.show_source(GOOD), "got Estimate.*without quotes and brackets"),
}


def guess(value=0.5, id="a", question="q", **more):
    predictions.predict(id, value, question=question, **more)


def score(measured, **more):
    guess()
    predictions.score("a", measured, **more)


def expect(id="c", **changed):
    claims.expect(id, **({"statement": "s", "baseline": "b", "kind": "observed", "at_least": 0} | changed))


def check(**changed):
    expect()
    claims.check("c", **({"measured": 0.5} | changed))


def ledger(text, call):
    path = predictions.path()
    path.mkdir() if text is None else path.write_text(text, encoding="utf-8")
    call()


def choose(*chosen, **changed):
    rating.Rating([{"chosen": "a", "rejected": "b", "chosen_id": "1", "rejected_id": "2"} | changed]).choose(*chosen)


FIGURES |= {
    "predictions/a text": (lambda: guess("0.8"), "Your guess for 'a' is '0.8'; expected a number. Write it without"),
    "predictions/the stub": (lambda: guess(...), "is Ellipsis; expected a number. Replace the … by a number"),
    "predictions/beyond floats": (lambda: guess(10**400), "expected a finite number"),
    "predictions/a name of None": (lambda: guess(id=None), "The name of your guess is None; expected a text"),
    "predictions/no question": (lambda: guess(question=" "), "The question of 'a' is ' '; expected a text"),
    "predictions/a unit of None": (lambda: guess(unit=None), "The unit of 'a' is None"),
    "predictions/a range of one": (lambda: guess(within=1), r"within, is 1; expected two numbers, \(low, high\)"),
    "predictions/a range backwards": (lambda: guess(within=(1, 0)), r"within, \(1, 0\) runs backwards"),
    "predictions/a truth of None": (lambda: score(None), "measured for 'a' is None; expected a number. Was the cell"),
    "predictions/a truth of NaN": (lambda: score(NAN), "measured for 'a' is nan; expected a finite number"),
    "predictions/a truth as text": (lambda: score("0.9"), "measured for 'a' is '0.9'; expected a number"),
    "predictions/an Estimate": (lambda: score(GOOD), "expected a number. Pass its mean"),
    "predictions/half a digit": (lambda: score(0.5, digits=1.5), "digits is 1.5; expected a whole number"),
    "predictions/a tolerance below zero": (
        lambda: score(0.5, tolerance=-1),
        "tolerance for 'a' is -1; expected how far",
    ),
    "predictions/another ledger": (lambda: ledger('["a"]', guess), "record 0 is no dictionary with id, guess"),
    "predictions/a deep ledger": (lambda: ledger("[" * 100_000, guess), "it is nested too deeply"),
    "predictions/a folder as ledger": (lambda: ledger(None, guess), "it is a folder(?s:.*)Delete the file"),
    "predictions/what is no JSON": (
        lambda: records.write("x.json", [{"a": torch.ones(1)}]),
        "What goes into x.json is no",
    ),
    "predictions/no record": (lambda: reference.load("nope"), "There is no reference/nope.json"),
    "predictions/no recipe": (lambda: recipes.of(99, "cpu"), "No recipe for notebook 99"),
    "predictions/a pair as text": (lambda: choose("0", "A"), "one of the pairs 0 to 0, got 'A' for '0'"),
    "predictions/a side C": (lambda: choose(0, "C"), "Expected 'A' or 'B'"),
    "predictions/a pair of None": (lambda: choose(0, "A", chosen=None), "Row 0, column 'chosen' is empty"),
    "predictions/no pairs": (lambda: rating.Rating(None), "Expected rows with a length, got a NoneType"),
    "claims/a name of None": (lambda: expect(None), "The claim's name is None; expected a text"),
    "claims/no statement": (lambda: expect(statement=""), "Claim 'c': statement is ''; expected a text"),
    "claims/no baseline": (lambda: expect(baseline=None), "Claim 'c': baseline is None"),
    "claims/an unknown kind": (lambda: expect(kind="must"), "kind 'must'; expected 'required' or 'observed'"),
    "claims/a threshold as text": (lambda: expect(at_least="0.5"), "at_least is '0.5'; expected a number"),
    "claims/no threshold": (lambda: expect(at_least=None), "needs one threshold"),
    "claims/a measure of None": (lambda: check(measured=None), "measured is None; expected a number"),
    "claims/several measures": (lambda: check(measured=[0.5, 0.6]), "Pass one number, for example their mean"),
    "claims/an Estimate": (lambda: check(measured=GOOD), "Pass its mean and its interval"),
    "claims/half an interval": (lambda: check(interval=0.1), "interval is 0.1; expected two numbers"),
    "claims/three ends": (lambda: check(interval=(0.1, 0.2, 0.3)), "expected two numbers"),
    "claims/an interval elsewhere": (lambda: check(interval=(0.8, 0.9)), "lies far from the mean 0.5. Are both of one"),
    "claims/no items": (lambda: check(n=0), "Claim 'c': n is 0; expected a whole number of at least 1"),
    "claims/half an item": (lambda: check(n=2.5), "n is 2.5"),
    "claims/never expected": (lambda: claims.check("z", measured=1), "was not written down before the run"),
}


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """No claim and no figure of an earlier case; files of a case lie in a folder of its own."""
    monkeypatch.setattr(claims, "_checked", {})
    monkeypatch.setattr(plots.plt, "show", lambda: None)
    monkeypatch.chdir(tmp_path)
    predictions.path()  # its folder


@pytest.mark.parametrize("case", FIGURES)
def test_a_bad_figure_guess_or_claim_is_named(case):
    call, says = FIGURES[case]
    with pytest.raises((ValueError, FileNotFoundError), match=says) as caught:
        call()
    raised_in = caught.traceback[-1].path
    assert Path(folders.PACKAGE) in Path(raised_in).parents and len(str(caught.value)) < 400
    assert plots.plt.get_fignums() == []


def test_what_is_only_unusual_is_taken(capsys):
    drawn(title="half \ud83d, $x$")
    drawn(lambda ax: ax.plot([1, NAN, 2]))
    bars({"a": Estimate(0.5, 0.5, 0.5, 1, 1)}, human=0.4)
    tables.show([{1: torch.tensor(0.5), "b": None}])
    assert "0.500  –" in capsys.readouterr().out
    check(measured=np.float32(0.5), interval=(0.6, 0.7), n=np.int64(3))


def test_each_kind_has_at_least_six():
    kinds = [case.split("/")[0] for case in [*FIGURES]]
    assert all(kinds.count(kind) >= 6 for kind in {"plots", "tables", "numbers", "predictions", "claims"})
