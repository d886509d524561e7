"""Effects by hand: parts, wordings, the lead of the best, and tables from points."""

import itertools
import math

import pytest
import torch

from course_utils.judging import prompt_effects as effects

CODES = ["".join(parts) for parts in itertools.product("i-", "c-", "x-", "o-")]


def sixteen(rule):
    """Right answers to eight items where `rule(code)` gives how many of them are right."""
    return {code: "1" * rule(code) + "0" * (8 - rule(code)) for code in CODES}


def test_a_main_effect_is_with_less_without():
    right = {code: effects.line(row) for code, row in sixteen(lambda code: 4 * ("x" in code) + ("i" in code)).items()}
    assert effects.main_effect(right, 2).mean == pytest.approx(4 / 8)
    assert effects.main_effect(right, 0).mean == pytest.approx(1 / 8)
    assert effects.main_effect(right, 1).mean == effects.main_effect(right, 3).mean == 0


def test_parts_over_tasks_and_among_those_with_the_input():
    row = sixteen(lambda code: 4 + 2 * (code[0] != "-" and code[2] != "-"))
    conditions = {code: {"raw": bits, "calibrated": "1" * 8} for code, bits in row.items()}
    points = {f"parts-base-{task}": {"conditions": conditions} for task in ("a", "b")}
    found = effects.parts(points, "base")
    assert found["raw"]["instruction"][0] == pytest.approx(1 / 8)
    assert (
        found["raw, with input"]["instruction"][0] == pytest.approx(2 / 8) and "input" not in found["raw, with input"]
    )
    assert found["calibrated"]["input"] == [0, 0, 0]
    assert found["a"]["i-x-"] == [6 / 8, 1.0] and effects.parts(points, "chat") == {}


def test_what_can_be_detected():
    assert effects.detectable(400, 0.25) == pytest.approx(2.8 * math.sqrt(0.25 / 400))
    assert effects.detectable(1600, 0.25) == effects.detectable(400, 0.25) / 2


def test_an_appeal_counts_beyond_the_spread_of_rewordings_alone():
    def point(**shares):
        names = {name: f"{'emotion' if name[0] == 'e' else 'reworded'}: {name}" for name in shares}
        rows = {
            names[name]: "1" * round(400 * share) + "0" * (400 - round(400 * share)) for name, share in shares.items()
        }
        rows = {"plain": "1" * 200 + "0" * 200} | rows
        half = [{name: {"raw": row[start::2]} for name, row in rows.items()} for start in (0, 1)]
        return {"wording-base-a": {"conditions": half[0]}, "wording-base-b": {"conditions": half[1]}, "manner": {}}

    found = effects.wordings(point(r1=0.45, r2=0.52, e1=0.51, e2=0.60, e3=0.40, e4=0.5), "base", "raw")
    assert found["items"] == 400 and effects.wordings(point(r1=0.5), "chat", "raw") == {}
    assert found["beyond"] == ["emotion: e2", "emotion: e3"]
    assert found["spread"] == pytest.approx([-0.05, 0.02]) and found["plain"] == 0.5
    assert found["effects"]["emotion: e2"][0] == pytest.approx(0.1)
    assert found["detectable"] == pytest.approx(effects.detectable(400, (0.05 + 0.02 + 0.01 + 0.1 + 0.1 + 0) / 6))
    assert effects.wordings(point(r1=0.55, r2=0.55, e1=0.51), "base", "raw")["spread"] == pytest.approx([0, 0.05])


def test_the_best_of_equal_prompts_loses_its_lead_and_a_better_one_keeps_it():
    torch.manual_seed(0)
    equal = (torch.rand(40, 200) < 0.6).double()
    seen, unseen = effects.lead_lost(equal, tried=40, validation=16)
    assert seen > 0.15 and abs(unseen) < 0.03
    one, again = effects.lead_lost(equal, tried=1, validation=16)
    assert abs(one) < 0.02 and abs(again) < 0.02
    better = equal.clone()
    better[7] = 1
    seen, unseen = effects.lead_lost(better, tried=40, validation=64)
    lead = 1 - better.mean().item()
    assert seen == pytest.approx(lead, abs=0.01) and unseen == pytest.approx(lead, abs=0.01)
    for wrong in ({"tried": 41, "validation": 16}, {"tried": 1, "validation": 200}):
        with pytest.raises(ValueError, match="up to 40 prompts and fewer than 200 items"):
            effects.lead_lost(equal, **wrong)


def test_searches_by_size_and_number(monkeypatch):
    monkeypatch.setattr(effects, "lead_lost", lambda right, **how: (how["tried"] / 10, right.mean().item()))
    points = {"search-0": {"right": ["11", "00"]}, "search-1": {"right": ["11", "11"]}, "votes-0": {}}
    assert effects.searched(points, (1, 2), (16,)) == {
        "16": {"1": {"validation": [0.1, 0.1], "test": [0.5, 1.0]}, "2": {"validation": [0.2, 0.2], "test": [0.5, 1.0]}}
    }
    assert effects.searched({}, (1,), (16,)) == {}


def test_shares_and_gains_over_seeds():
    points = {
        f"words-base-{seed}": {"conditions": {"a": "1100", "b": "1000"}, "valid": {"a": "1111"}} for seed in (0, 1)
    }
    found = effects.shares(points, "words-base", [("a", "b")])
    assert found["a"][0] == 0.5 and found["b"][0] == 0.25 and found["a over b"][0] == 0.25
    assert found["a"][1] <= 0.5 <= found["a"][2]
    assert effects.shares(points, "words-base", key="valid")["a"] == pytest.approx([1, 1, 1])
    assert effects.shares(points, "words-chat") == {}


def test_an_item_asked_twice_is_one_item():
    points = {f"heat-{seed}": {"conditions": {"hot": "1100" + "1000"}} for seed in (0, 1)}
    assert effects.over_seeds(points, "heat", "hot", samples=2).tolist() == [[1, 0.5, 0, 0]] * 2
    assert effects.shares(points, "heat", samples=2)["hot"][0] == 0.375


def test_seeds_that_differ_in_items_alone_stand_in_one_row():
    rows = {0: "1" * 90 + "0" * 10, 1: "1" * 10 + "0" * 90}
    points = {f"words-base-{seed}": {"conditions": {"a": row, "b": row}} for seed, row in rows.items()}
    found = effects.shares(points, "words-base", only_items=("a",))
    assert found["a"][0] == found["b"][0] == 0.5
    assert found["a"][2] - found["a"][1] < 0.16 < 0.5 < found["b"][2] - found["b"][1]


def test_arms_are_compared_over_the_seeds_that_both_have():
    def point(greedy, voted):
        return {"conditions": {"greedy": greedy, "voted": voted}}

    points = {"taught-a-0": point("1000", "10"), "taught-b-0": point("1110", "11"), "taught-b-1": point("1111", "11")}
    found = effects.apart(points, (0, 1), ("a", "b"), ("greedy", "voted"))
    assert found["a, greedy"][0] == 0.25 and found["b, greedy"][0] == 0.75
    assert found["b, greedy over a, greedy"][0] == 0.5 and found["b, voted over a, voted"][0] == 0.5
    assert effects.apart({"taught-b-1": point("1", "1")}, (0, 1), ("a", "b"), ("greedy",)) == {}


def test_manners_are_paired_with_nobody():
    point = {"manner": {"nobody": {"letters": [4.0, 5.0]}, "user: ten": {"letters": [3.0, 4.5]}}}
    assert effects.manners(point)["user: ten"]["letters"][0] == -0.75
