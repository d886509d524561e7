"""The experiment on a tiny model: every kind of point is trained and judged, and gains are paired over openings."""

import pytest
import torch
from helpers import toy_rlhf

from course_utils import runtime
from course_utils.commands import run
from course_utils.data import preference, reviews
from course_utils.experiments import rlhf as sweep
from course_utils.training import reward

HELD_OUT = (0.7, 0.65, 0.75)


@pytest.fixture
def size(monkeypatch, tiny_folder, one_thread):
    monkeypatch.setattr(sweep, "STEPS", 4)
    monkeypatch.setattr(sweep, "EVERY", 2)
    monkeypatch.setattr(sweep, "CLINIC_STEPS", 2)
    monkeypatch.setattr(sweep, "SETTING", sweep.SETTING | {"best_of": 4, "look_samples": 2, "pair_batch": 4})
    monkeypatch.setattr(sweep, "proxy_right", lambda proxy, count: HELD_OUT)  # a toy learns nothing
    return toy_rlhf.arrange(monkeypatch, tiny_folder, test_openings=3, samples_each=86, steps=4, kl_samples=1)


def measured(point, folder):
    return sweep.measure(point, runtime.start(quiet=True), folder)


def test_a_longer_leash_is_watched_on_the_way(size, tmp_path):
    found = measured("beta-0.2", tmp_path)
    assert [look["step"] for look in found["looks"]] == [2, 4]
    assert all(len(look["gold"]) == size.test_openings for look in found["looks"])
    assert found["looks"][-1]["gold"] == found["gold"], "the last look and the judgement draw the same answers"


def test_the_better_texts_and_the_pairs_teach_as_many_answers(size, tmp_path):
    answers = size.steps * size.batch_size * size.epochs
    pairs, positives = (measured(point, tmp_path / point) for point in ("dpo", "positives"))
    assert pairs["steps"] * 2 * 4 == positives["steps"] * 4 == answers
    assert pairs["losses"][0] == pytest.approx(0.693, abs=0.01) and len(positives["losses"]) == positives["steps"]


def test_a_pipeline_has_a_base_of_its_own_seed(size, tmp_path):
    found = measured("ppo-1", tmp_path)
    assert found["wins"][1] <= found["wins"][0] <= found["wins"][2] and len(found["base"]["gold"]) == 3
    assert found["proxy_right"] == HELD_OUT
    assert found["base"]["gold"] != measured("ppo-2", tmp_path)["base"]["gold"]


def test_a_proxy_that_learned_nothing_stops_before_anything_is_trained():
    asked = []

    def blind(prompts, texts):
        asked.extend(texts)
        return torch.tensor([float(len(text) % 2) for text in texts])

    with pytest.raises(ValueError, match="held-out pairs as people do, expected more than half"):
        sweep.proxy_right(blind, 100)
    assert len(asked) == 200


def test_a_proxy_that_orders_like_people_is_let_through():
    rows = preference.rated_rows("proxy", "validation")
    rating = dict(zip(rows["text"], reviews.panel_mean(reviews.panel_parts(rows, 2)[1]), strict=True))
    share, low, high = sweep.proxy_right(lambda prompts, texts: torch.tensor([rating[t] for t in texts]), 50)
    assert share == low == high == 1.0


def test_a_library_learns_from_the_same_reward(size, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "RLOO_GROUP", 2)
    found = measured("rloo", tmp_path)
    assert len(found["paid"]) == size.steps and len(found["gold"]) == size.test_openings
    assert sum(found["kl"]) > 0, "the policy that was judged is the one that TRL trained"


def test_the_reference_is_chosen_from(size, tmp_path):
    found = measured("reference", tmp_path)
    assert [line[0] for line in found["best_of"]] == [1, 2, 4] and set(found["kl"]) == {0.0}
    assert len(found["text_ended"]) == len(found["texts"]) and set(found["text_ended"]) <= {True, False}


def test_every_broken_run_leaves_its_curves(size, tmp_path):
    runs = measured("clinic", tmp_path)["runs"]
    assert set(runs) == set(sweep.CLINIC) and all(len(metrics) == 2 for metrics in runs.values())
    assert runs["leash too short"][0]["kl_coef"] == pytest.approx(100 * size.kl_coef)


def test_points_measured_with_other_endings_are_not_taken_over(monkeypatch):
    endings = {"answer_tokens": reward.ANSWER_TOKENS, "cut_share": reward.CUT_SHARE}
    assert sweep.SETTING.items() >= endings.items()
    before = {name: value for name, value in sweep.SETTING.items() if name not in endings}
    assert len({run.setting_key(setting) for setting in (before, sweep.SETTING, before | {"cut_share": 0})}) == 3


def test_gains_are_paired_and_the_turn_is_from_half_to_end():
    base = {"gold": [0.0, 1.0, 2.0], "proxy": [0.0, 0.0, 0.0], "kl": [0.0] * 3}
    looks = [{"gold": [g, g + 1, g + 2], "proxy": [p] * 3} for g, p in ((1.0, 1.0), (0.5, 2.0))]
    points = {"reference": base, "clinic": {}, "beta-0.0": looks[1] | {"kl": [4.0] * 3, "looks": looks}}
    (line,) = sweep.summary(points).values()
    assert line["gold_gain"] == pytest.approx((0.5,) * 3) and line["proxy_gain"] == pytest.approx((2.0,) * 3)
    assert line["turned"] == pytest.approx((0.5,) * 3) and line["proxy_rose"] == pytest.approx((1.0,) * 3)
    assert line["kl"] == 4.0
