"""The comparison on a tiny model: a trial, a test at the best rate, full tuning's directions, and the summary."""

import json

import datasets
import numpy as np
import pytest
import torch

from course_utils import runtime
from course_utils.data import instructions, reviews
from course_utils.engine import batching
from course_utils.evaluation import graded
from course_utils.experiments import comparison as methods

ROWS = [
    {"id": str(n), "text": f"the film is {word} {word}", "ratings": [r, r, r + 1], "mean": r + 1 / 3}
    for n, (word, r) in enumerate([("good", 2), ("bad", -3), ("fine", 0), ("great", 3)] * 4)
]


@pytest.fixture(autouse=True)
def small(tiny_folder, monkeypatch, one_thread):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    monkeypatch.setattr(reviews, "load", lambda domain, split: datasets.Dataset.from_list(ROWS))
    monkeypatch.setattr(instructions, "load", lambda split: [{"answer": "the film is good and bad " * 20}])
    for name, value in {"STEPS": 3, "TRIAL_STEPS": 2, "BATCH": 4, "TEXTS": 2, "TEXT_TOKENS": 6, "SHOTS": 2}.items():
        monkeypatch.setattr(methods, name, value)
    monkeypatch.setattr(methods, "DIRECTIONS", (1, 8))


def keep(folder, point, result):
    (folder / f"{point}.json").write_text(json.dumps([result]))


def abroad(line):
    return dict.fromkeys(methods.SHIFTED, line)


def test_a_start_has_learned_nothing_and_is_graded_as_the_zero_shot_model():
    run = runtime.start(quiet=True)
    base, start = methods.baselines(), methods.measure("start-lora", run, None)
    assert start["calibrated"] == base["zero-shot"], "LoRA starts as the base model"
    told = methods.measure("start-prompt", run, None)
    assert told["calibrated"] != start["calibrated"], "an instruction stands there"
    same = graded.from_line(methods.measure("start-p-tuning", run, None)["predicted"])
    torch.testing.assert_close(same, graded.from_line(told["predicted"]), rtol=0, atol=0.02)


def test_the_gain_is_over_the_better_of_both_starts():
    truth = torch.arange(-10, 10) / 5
    noisy = truth + torch.tensor([1.0, -1.0]).repeat(10)
    start = {"predicted": graded.to_line(noisy), "calibrated": graded.to_line(-truth)}
    found = methods._over_start(truth[None], start, truth)
    assert found["start"]["calibrated"] == pytest.approx(-1)
    assert found["over start"][0] == pytest.approx(1 - found["start"]["predicted"], abs=1e-6)
    swapped = methods._over_start(truth[None], dict(zip(start, reversed(start.values()), strict=True)), truth)
    assert swapped["over start"] == found["over start"]


def test_intervals_are_over_seeds_too():
    truth = torch.arange(-10, 10) / 5
    noisy = truth + torch.tensor([1.0, -1.0]).repeat(10)
    one, mixed = (methods._triple(torch.stack(pair), None, truth) for pair in ([noisy, noisy], [truth, noisy]))
    assert mixed[2] > 0.99 and one[2] < 0.99, "another draw of seeds might have had the good one twice"


def test_a_test_takes_the_best_rate_of_its_trials(tmp_path):
    run = runtime.start(quiet=True)
    trials = [methods.measure(f"rate-lora-{trial}", run, tmp_path / "point") for trial in methods.TRIALS]
    assert [trial["learning_rate"] for trial in trials] == [3e-4, 1e-3, 3e-3]
    for score, trial, result in zip((0.1, 0.9, 0.5), methods.TRIALS, trials, strict=True):
        keep(tmp_path, f"rate-lora-{trial}", result | {"correlation": score})
    found = methods.measure("test-lora-1", run, tmp_path / "point")
    assert found["learning_rate"] == 1e-3 and found["seed"] == 1 and found["bytes"] > 0
    assert len(graded.from_line(found["predicted"])) == len(ROWS) and found["divergence"] >= 0
    assert not (tmp_path / "point").exists(), "a point leaves its result alone"


def test_full_tuning_says_in_how_many_directions_it_went(tmp_path):
    for trial in methods.TRIALS:
        keep(tmp_path, f"rate-full-{trial}", {"correlation": 0.5, "learning_rate": 1e-3})
    found = methods.measure("test-full-0", runtime.start(quiet=True), tmp_path / "point")
    assert 0 < found["directions"][1] < found["directions"][8] <= 1


def test_baselines_are_on_the_test_reviews(monkeypatch):
    monkeypatch.setattr(methods, "TEST", 12)
    found = methods.baselines()
    assert all(len(graded.from_line(found[name])) == 12 for name in ("truth", "zero-shot", "examples", "words"))
    assert 0.9 < found["person"] <= 1


def test_the_summary_is_paired_and_names_every_arm():
    truth = torch.arange(-10, 10) / 5
    noisy = truth + torch.tensor([1.0, -1.0]).repeat(10)
    points = {"baselines": {name: graded.to_line(noisy) for name in ("zero-shot", "examples", "words")}}
    points["baselines"] |= {"truth": graded.to_line(truth), "truth abroad": abroad(graded.to_line(truth))}
    for arm in methods.ARMS:
        said = graded.to_line(noisy if arm == "full" else truth)
        for seed in methods.SEEDS:
            points[f"test-{arm}-{seed}"] = {
                "predicted": said,
                **abroad(said),
                **dict.fromkeys(methods.FIGURES, 1 + seed),
            }
    found = methods.summary(points)
    assert found["ia3"]["median"] == pytest.approx(1) and found["ia3"]["over full"][0] > 0.05
    assert found["full"]["over full"] == [0, 0, 0] and found["ia3 over lora-r1"] == [0, 0, 0]
    assert found["ia3"]["news"][0] == pytest.approx(1) and found["full"]["news"][0] < 0.95
    assert found["ia3"]["news over full"][0] == pytest.approx(1 - found["full"]["news"][0], abs=1e-6)
    assert found["ia3"]["seconds_a_step"] == 2 and set(methods.ARMS) < set(found)


def test_few_reviews_are_seen_again(tmp_path, monkeypatch):
    for trial in methods.TRIALS:
        keep(tmp_path, f"rate-ia3-{trial}", {"correlation": 0.5, "learning_rate": 1e-2})
    given, train = [], methods.loop.train
    monkeypatch.setattr(
        methods.loop, "train", lambda module, rows, collate, recipe, *more, **named: given.append((rows, recipe))
        or train(module, rows, collate, recipe, *more, **named)
    )  # fmt: skip
    found = methods.measure("few-ia3-8", runtime.start(quiet=True), tmp_path / "point")
    assert len(graded.from_line(found["predicted"])) == len(ROWS)
    (rows, recipe), seen = given[0], set()
    assert len(rows) == 8 and recipe.steps * recipe.batch_size == 12, "four of the eight are seen again"
    lengths = np.array([len(row["input_ids"]) for row in rows])
    for step in (1, 2):
        batch = batching.rows_of_step(step, lengths, recipe)
        assert len(set(batch)) == len(batch), "no batch holds one review twice"
        seen |= set(batch)
    assert seen == set(range(8))


def test_the_summary_takes_what_there_is():
    assert methods.summary({}) == {}
    line = graded.to_line(torch.arange(-10, 10) / 5)
    points = {"baselines": dict.fromkeys(("truth", "zero-shot", "examples", "words"), line), "rate-lora-low": {}}
    assert set(methods.summary(points)) == {"zero-shot", "examples", "words"}
    points["baselines"] |= {"truth abroad": abroad(line)}
    one = {"predicted": line, **abroad(line), **dict.fromkeys(methods.FIGURES, 1)}
    assert methods.summary(points | {"few-ia3-32": one})["ia3"].keys() == {"from 32"}
    found = methods.summary(points | {"test-ia3-0": one, "few-ia3-32": one})
    assert found["ia3"]["seeds"] == [pytest.approx(1)] and "over full" not in found["ia3"]
    assert found["ia3"]["from 32"][0] == pytest.approx(1) and "ia3 over lora-r1" not in found
    assert "from 32 over prompt" not in found["ia3"]
    poor = {"predicted": graded.to_line(torch.arange(-10, 10) / 5 + torch.tensor([1.0, -1.0]).repeat(10))}
    few = methods.summary(points | {"few-ia3-32": one, "few-prompt-32": poor})
    assert few["ia3"]["from 32 over prompt"][0] == pytest.approx(1 - few["prompt"]["from 32"][0], abs=1e-6)


def test_arms_are_paired_over_all_the_seeds_that_both_have():
    truth = torch.arange(-10, 10) / 5
    good, poor = (graded.to_line(truth + noise * torch.tensor([1.0, -1.0]).repeat(10)) for noise in (0.0, 1.0))
    baselines = dict.fromkeys(("truth", "zero-shot", "examples", "words"), graded.to_line(truth))
    points = {"baselines": baselines | {"truth abroad": abroad(good)}}
    for name, said in {"lora-0": good, "lora-1": poor, "lora-2": good, "full-0": poor, "full-1": poor}.items():
        points[f"test-{name}"] = {"predicted": said, **abroad(good), **dict.fromkeys(methods.FIGURES, 1)}
    found = methods.summary(points)
    one_seed = methods._triple(graded.from_line(good), graded.from_line(poor), truth)[0]
    assert found["lora"]["over full"][0] == pytest.approx(one_seed / 2), "seed 0 gains, seed 1 does not, 2 has no pair"


def test_every_method_gets_the_same_trials_and_seeds():
    for arm in methods.ARMS:
        mine = [point for point in methods.POINTS if point.startswith((f"rate-{arm}-", f"test-{arm}-"))]
        assert len([p for p in mine if p.removeprefix(f"rate-{arm}-") in methods.TRIALS]) == 3
    assert len(set(methods.POINTS)) == len(methods.POINTS) == 1 + 7 * 8 + 3
    assert {f"start-{start}" for start in methods.STARTS.values()} < set(methods.POINTS)
    assert methods.STARTS.keys() == methods.ARMS.keys()
    first = [methods.POINTS.index(f"test-{arm}-0") for arm in methods.ARMS]
    assert max(first) < min(methods.POINTS.index(f"test-{arm}-1") for arm in methods.ARMS)
