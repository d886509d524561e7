"""A threshold stands before the run, the verdict follows from it, and the printed line holds no measured digits."""

import json
import os

import pytest

from course_utils.reporting import claims

GAIN = {"statement": "examples raise accuracy", "baseline": "calibrated zero-shot", "kind": "required"}


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(claims, "_checked", {})


def stored():
    return json.loads(claims.path().read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("measured", "interval", "limits", "expected"),
    [
        (0.10, (0.05, 0.15), {"at_least": 0.0}, "holds"),
        (0.10, (-0.01, 0.21), {"at_least": 0.0}, "undecided"),
        (-0.10, (-0.2, -0.01), {"at_least": 0.0}, "fails"),
        (0.10, (0.0, 0.2), {"at_least": 0.0}, "undecided"),
        (0.00, (0.0, 0.0), {"at_least": 0.0}, "undecided"),
        (-0.10, (-0.2, 0.0), {"at_least": 0.0}, "undecided"),
        (0.00, None, {"at_least": 0.0}, "holds"),
        (-1e-9, None, {"at_least": 0.0}, "fails"),
        (0.14, (0.13, 0.15), {"at_most": 0.2}, "holds"),
        (0.19, (0.13, 0.25), {"at_most": 0.2}, "undecided"),
        (0.15, (0.13, 0.20), {"at_most": 0.2}, "undecided"),
        (0.30, (0.21, 0.35), {"at_most": 0.2}, "fails"),
        (0.20, None, {"at_most": 0.2}, "holds"),
        (0.21, None, {"at_most": 0.2}, "fails"),
    ],
)
def test_verdicts(measured, interval, limits, expected):
    claims.expect("c", **GAIN, **limits)
    assert claims.check("c", measured=measured, interval=interval) == expected
    assert stored()[0]["holds"] is (expected == "holds")


def test_each_prints_the_measured_numbers_behind_the_mark_and_below_what_they_are(capsys):
    claims.expect("icl-few-shot", **GAIN, at_least=0.02)
    claims.check("icl-few-shot", measured=0.123456, interval=(0.1, 0.15), n=400)
    below = ["    examples raise accuracy", "    against calibrated zero-shot"]
    assert capsys.readouterr().out.splitlines() == [
        "written down before the run: icl-few-shot (required): at least 0.02", *below,
        "icl-few-shot (required): ≈0.123 [≈0.100, ≈0.150] against at least 0.02: holds", *below,
    ]  # fmt: skip


def test_a_recorded_claim_says_that_no_run_of_the_reader_s_is_measured(capsys):
    claims.expect("c", **GAIN, at_least=0, recorded=True)
    assert capsys.readouterr().out.startswith("written down before the course's recording: c (required): at least 0\n")


def test_no_line_is_so_long_that_a_notebook_breaks_it_inside_a_word(capsys):
    claims.expect("c", kind="observed", statement=30 * "measured ", baseline=30 * "before ", at_least=0)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100 and len(lines) > 5 and set(" ".join(lines[1:]).split()) <= {
        "measured", "against", "before"}  # fmt: skip


def test_a_gain_over_nothing_has_a_sign_and_an_exact_number_no_mark(capsys):
    rest = {"kind": "observed", "statement": "s", "baseline": "b"}
    claims.check("a", measured=0.1, interval=(-0.05, 0.25), at_least=0, **rest)
    claims.check("b", measured=46080, exact=True, at_most=50000, **rest)
    claims.check("c", measured=0.91, at_least=0.9, **rest)
    claims.check("d", measured=0.1, interval=(-0.05, 0.25), exact=True, at_least=0, **rest)
    assert capsys.readouterr().out.splitlines()[::3] == [
        "a (observed): ≈+0.10 [≈−0.05, ≈+0.25] against at least 0: undecided",
        "b (observed): 46,080 against at most 50000: holds",
        "c (observed): ≈0.910 against at least 0.9: holds",
        "d (observed): +0.10 [−0.05, +0.25] against at least 0: undecided",
    ]


def test_the_record_has_every_field_and_replaces_its_predecessor(monkeypatch):
    monkeypatch.setenv("COURSE_NOTEBOOK", "05_in_context_learning")
    claims.expect("c", **GAIN, at_least=0)
    assert stored()[0]["verdict"] == "unchecked" and stored()[0]["holds"] is False
    claims.check("c", measured=0.1, interval=(0.05, 0.15), n=400)
    claims.check("c", measured=0.2, interval=(0.15, 0.25), n=400, kind="required", at_least=0)
    assert stored() == [
        {
            "id": "c",
            "notebook": "05_in_context_learning",
            "kind": "required",
            "statement": "examples raise accuracy",
            "baseline": "calibrated zero-shot",
            "measured": 0.2,
            "threshold": 0.0,
            "direction": "at_least",
            "interval": [0.15, 0.25],
            "n": 400,
            "verdict": "holds",
            "holds": True,
        }
    ]


def test_the_same_id_in_two_notebooks_is_two_records(monkeypatch):
    for name in ("05_a", "06_b"):
        monkeypatch.setenv("COURSE_NOTEBOOK", name)
        claims.expect("c", **GAIN, at_least=0)
    assert [record["notebook"] for record in stored()] == ["05_a", "06_b"]
    claims.forget("05_a")
    assert [record["notebook"] for record in stored()] == ["06_b"]


def test_a_threshold_cannot_move_in_check():
    claims.expect("c", **GAIN, at_least=0.05)
    for moved in ({"at_least": 0.01}, {"at_most": 0.05}):
        with pytest.raises(ValueError, match=r"moved after the run: at_least 0\.05 was written down"):
            claims.check("c", measured=0.02, **moved)
    assert stored()[0]["verdict"] == "unchecked"


def test_a_threshold_cannot_move_by_expecting_again_after_the_check():
    claims.expect("c", **GAIN, at_least=0.05)
    claims.expect("c", **GAIN, at_least=0.04)  # nothing measured yet: a correction
    claims.check("c", measured=0.02)
    with pytest.raises(ValueError, match="restart the notebook"):
        claims.expect("c", **GAIN, at_least=0.01)
    claims.expect("c", **GAIN, at_least=0.04)


@pytest.mark.parametrize("name", ["kind", "baseline", "statement"])
def test_check_cannot_say_otherwise(name):
    claims.expect("c", **GAIN, at_least=0)
    with pytest.raises(ValueError, match=f"check says {name} 'observed'"):
        claims.check("c", measured=1, **{name: "observed"})


def test_a_claim_that_was_never_written_down_needs_all_its_terms():
    with pytest.raises(ValueError, match="leaves out kind, statement, baseline, threshold"):
        claims.check("c", measured=1)
    assert claims.check("c", measured=1, at_least=0, **GAIN) == "holds"


@pytest.mark.parametrize(
    ("limits", "message"),
    [({}, "needs one threshold"), ({"at_least": 0, "at_most": 1}, "needs one"), ({"at_least": float("nan")}, "finite")],
)
def test_expect_refuses_an_unclear_threshold(limits, message):
    with pytest.raises(ValueError, match=message):
        claims.expect("c", **GAIN, **limits)


def test_expect_refuses_an_unknown_kind():
    with pytest.raises(ValueError, match="'optional'; expected 'required' or 'observed'"):
        claims.expect("c", statement="s", baseline="b", kind="optional", at_least=0)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"measured": float("nan")}, "measured is nan"),
        ({"measured": 1, "interval": (0, float("inf"))}, "interval is inf"),
        ({"measured": 1, "interval": (2, 0)}, "runs backwards"),
    ],
)
def test_check_refuses_numbers_that_mean_nothing(numbers, message):
    claims.expect("c", **GAIN, at_least=0)
    with pytest.raises(ValueError, match=message):
        claims.check("c", **numbers)


def test_broken_lists_required_claims_that_are_not_shown_to_hold(monkeypatch):
    monkeypatch.setenv("COURSE_NOTEBOOK", "05_a")
    for id in ("good", "bad", "unsure", "never"):
        claims.expect(id, **GAIN, at_least=0)
    claims.expect("seen", **{**GAIN, "kind": "observed"}, at_least=0)
    claims.check("good", measured=1)
    claims.check("bad", measured=-1)
    claims.check("unsure", measured=1, interval=(-1, 3))
    claims.check("seen", measured=-1)
    assert [record["id"] for record in claims.broken({"05_a"})] == ["bad", "unsure", "never"]
    assert claims.broken({"06_b"}) == []
    required = [("05_a", "good"), ("05_a", "bad"), ("05_a", "lost"), ("06_b", "good")]
    found = [(record["notebook"], record["id"], record["verdict"]) for record in claims.broken({"05_a"}, required)]
    assert found[3:] == [("05_a", "lost", "no record"), ("06_b", "good", "no record")]


def test_the_notebook_is_named_by_the_runner_then_by_jupyter(monkeypatch):
    assert claims.notebook_name() == "interactive"
    monkeypatch.setenv("JPY_SESSION_NAME", os.path.join("somewhere", "05_in_context_learning.ipynb"))
    assert claims.notebook_name() == "05_in_context_learning"
    monkeypatch.setenv("COURSE_NOTEBOOK", "00_start_here")
    assert claims.notebook_name() == "00_start_here"
