"""Tables of `run evaluation` from points by hand: shares, gains, rankings and biases that can be counted."""

import pytest
import torch

from course_utils.experiments import evaluation_summary as tables

KNOWN = {
    "letter": [[-1.0, -2.0], [-1.0, -2.0], [-1.0, -2.0], [-1.0, -2.0]],
    "likelihood": [[-4.0, -6.0], [-6.0, -4.0], [-4.0, -6.0], [-6.0, -4.0]],
    "alone": [[-1.0, -5.0]] * 4, "bytes": [[2, 6]] * 4, "answer": [0, 1, 0, 1],
}  # fmt: skip


def bought_point(after):
    part = {"own": "0011", "reworded": "0011", "min-k": [-3.0, -4.0, -5.0, -6.0], "order": [0.5] * 4}
    return {
        "before": {"seen": part, "unseen": part}, "losses": [3.0, 2.0, 1.0, 0.5],
        "after": {"seen": part | after, "unseen": part},
    }  # fmt: skip


def arena_point(items=40):
    level = {"base": 0.0, "prompted": 0.5, "sft": 1.0, "ppo": 3.0, "empty": -2.0, "instruct": 0.4}
    noise = torch.randn(items, generator=torch.Generator().manual_seed(0))
    gold = {name: [value + 0.1 * n for n in noise.tolist()] for name, value in level.items()}
    rouge = {name: [0.9 if name == "empty" else 0.3] * items for name in level}
    words = {name: [float(len(name))] * items for name in level}
    scores = {"gold": gold, "proxy": gold, "lexicon": gold, "words": words, "rouge": rouge, "exact": words}
    scores["next word"] = rouge
    texts = {name: [f"the film is {name} {n}" for n in range(items)] for name in level}
    return {"texts": texts, "ended": {name: "1" * items for name in level}, "scores": scores}


def tied(point):
    return point | {"scores": point["scores"] | {"exact": dict.fromkeys(point["texts"], [0.0] * 40)}}


def judge_point():
    pairs = [
        {"first": f"a{n}", "second": f"b{n}", "panel": float(n % 2), "person": 0.5, "same sign": n < 4, "gap": gap}
        for n, gap in enumerate([2, -1, 3, -2, 1, -3, 2, 0])
    ]
    truth = [2.0 * (n % 2) - 1 for n in range(8)]
    always = {"forward": [1.0] * 8, "backward": [1.0] * 8, "grades": truth, "own kind": [1.0] * 40}
    right = {"forward": truth, "backward": [-t for t in truth], "grades": truth, "own kind": [-1.0] * 40}
    return {"pairs": pairs, "gold": truth, "proxy": [0.0] * 8, "base": always, "chat": right}


def test_nothing_measured_is_no_table():
    assert tables.tables({}) == {}


def test_every_rule_and_its_letters():
    found = tables.tables({"exam-base-knowledge": KNOWN})["exam"]["knowledge"]
    assert found["chance"] == 0.5 and found["items"] == 4
    assert found["base"]["letter"][0] == 0.5 and found["base"]["likelihood"][0] == 1.0
    assert found["base"]["letters"]["A"] == 1.0 and found["base"]["right"]["likelihood"] == "1111"
    assert found["base"]["error"] == pytest.approx(abs(found["base"]["sure"] - 0.5), abs=0.5)


def test_who_says_so():
    point = {"real": "1010", "says so": "0101", "said": [], "jobs": {"nurse": [-1.0, -3.0], "boss": [1.0, 3.0]}}
    point["groups"] = {"a less b": [[0.5, 1.5, 1.0], [0.0, 1.0, 0.5]]}
    found = tables.tables({"probe-chat": point})
    assert found["made up"]["chat"]["told apart"] == [1, 1, 1] and found["made up"]["chat"]["real"][0] == 0
    assert found["made up"]["chat"]["calmer"] is None
    silent = point | {"says so": "0000"}
    both = tables.tables({"probe-base": point, "probe-sft": silent})["made up"]
    assert both["sft"]["calmer"] == [1, 1, 1] and both["base"]["calmer"] == [0, 0, 0]
    assert found["bias"]["chat"]["jobs"] == {"nurse": -2.0, "boss": 2.0}
    assert found["bias"]["chat"]["groups"]["a less b"] == pytest.approx([0.5, 0.5, 0.5])


def test_what_was_bought_is_paired():
    learned = {"own": "1111", "min-k": [-0.1, -0.2, -0.1, -0.2], "order": [1.0] * 4}
    found = tables.tables({f"bought-{seed}": bought_point(learned) for seed in (0, 1)})["bought"]
    assert found["gains"]["seen own"][0] == 0.5 and found["gains"]["seen reworded"] == [0, 0, 0]
    assert found["seen own over reworded"][0] == found["seen over unseen"][0] == 0.5
    assert found["detectors"]["after"]["min-k"] == [1.0, 1.0] and found["detectors"]["before"]["min-k"] == [0.5, 0.5]
    assert found["detectors"]["after"]["order"] == [1.0, 1.0]


def test_votes_become_a_ranking_and_an_old_measure_crowns_the_broken_one():
    found = tables.tables({"arena-0": arena_point()})
    made = found["ranking"]["0"]
    assert next(iter(made["gold"]["table"])) == "ppo" and made["gold"]["kendall"] == pytest.approx(1)
    assert next(iter(made["person"]["table"])) == "ppo" and made["person"]["neighbours"] >= 1
    assert made["person"]["agrees"] == made["person"]["both sure"] > 0
    assert made["few items"]["apart"] < made["person"]["apart"]
    old = found["old measures"]["0"]
    assert old["rouge"]["empty"] == 1 and old["gold"]["empty"] == old["votes"]["empty"] == 5
    assert tables.old_measures({"arena-0": tied(arena_point())})["0"]["exact"]["empty"] is None
    assert old["gold"]["kendall"] == pytest.approx(1) and old["rouge"]["kendall"] < 0
    assert found["variety"]["0"]["ppo"]["self-bleu"] > 0.3


def test_judges_against_the_panel():
    points = {"judge-0": judge_point(), "arena-0": arena_point()}
    found = tables.tables(points)
    agreed = {name: line[0] for name, line in found["judges"].items()}
    assert agreed["gold"] == agreed["chat, both orders"] == agreed["chat, grades"] == 1.0
    assert agreed["base, both orders"] == agreed["proxy"] == agreed["person"] == 0.5
    assert agreed["base, one order"] == 0.5 and "panel" not in agreed
    assert found["judges over one person"]["gold"] == [0.5, 0.5, 0.5]
    assert found["judges, same sign"]["gold"] == [1, 1, 1]
    bias = found["biases"]
    assert bias["base"]["first place"] == 1 and bias["base"]["consistent"] == 0
    assert bias["chat"]["first place"] == 0.5 and bias["chat"]["consistent"] == 1
    assert bias["base"]["own kind"] == pytest.approx([0, 0, 0]), "the gold judge likes all of instruct's answers, too"
    assert bias["chat"]["own kind"] == pytest.approx([-1, -1, -1])
    assert tables.tables({"judge-0": judge_point()})["biases"]["base"]["own kind"] is None
