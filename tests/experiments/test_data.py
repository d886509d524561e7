"""Every point on a tiny corpus, its summary, and that of a part."""

import math
import random

import pytest
from helpers import tiny_stream

from course_utils import runtime
from course_utils.evaluation import pretraining
from course_utils.experiments import data as experiment
from course_utils.text import training_sets
from course_utils.text.corpus import Document


def article(seed):
    """About 140 words in seven lines; nobody's."""
    dice = random.Random(seed)
    words = [f"w{dice.randrange(500)}x" for _ in range(150)]
    return "\n".join(" ".join(["the", "and", "of", *dice.sample(words, 17)]) + "." for _ in range(7))


TEXTS = [article(seed) if seed % 3 else f"menu {seed}" for seed in range(600)]


@pytest.fixture
def small(tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    documents = [Document(f"news/{number}", "news", text) for number, text in enumerate(TEXTS)]
    held = pretraining.held_out("test", documents=4, size=60, source=tiny_stream.documents)
    monkeypatch.setattr(experiment, "documents", lambda: documents)
    monkeypatch.setattr(experiment, "held_out", lambda: held)
    monkeypatch.setattr(training_sets, "CARRIER", (100, 2000))
    values = {
        "STEPS": 40, "BATCH": 4, "LENGTH": 64, "TOKENS": 10240, "WARMUP": 2, "WIDTH": 16, "LAYERS": 2, "HEADS": 2,
        "KEY_VALUE_HEADS": 1, "HEAD_WIDTH": 8, "MLP_WIDTH": 24, "EACH": 2, "COPIES": (0, 1, 5), "OTHERS": 15,
        "VOCABULARY": 300,
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setattr(experiment, name, value)
    return runtime.start(quiet=True)


def test_all_arms_of_a_seed_and_their_summary(small, tmp_path):
    points = {f"{arm}-0": experiment.measure(f"{arm}-0", small, tmp_path / arm) for arm in experiment.ARMS}
    assert points["raw-0"]["losses"][0] == pytest.approx(math.log(300), abs=0.3)
    assert points["raw-0"]["losses"][-1] < points["raw-0"]["losses"][0] and "canaries" not in points["raw-0"]
    summary = experiment.summary(points)
    assert set(summary["bits"]) == set(experiment.ARMS) and set(summary["quality"]) == {"all", "news", "web"} - (
        {"web", "news"} - {name.partition("/")[0] for name in points["raw-0"]["ids"]}
    )
    assert summary["documents"]["filtered"]["kept"] < summary["documents"]["filtered"]["taken"]
    assert summary["reasons"]["filtered"]["sentences"] and summary["reasons"]["deduplicated"]["near-copy"]
    assert summary["held_out"]["all"] == len(points["raw-0"]["ids"]) == sum(summary["held_out"].values()) / 2
    mean, low, high = summary["dedup"]["all"]
    assert low <= mean <= high
    assert summary["canaries"]["copied"]["5"]["of"] == 2 and set(summary["canaries"]["copied"]) == {"0", "1", "5"}
    assert all(0 <= bits <= 4 for bits in summary["canaries"]["deduplicated"]["0"]["exposures"])


def test_a_part_has_a_summary_as_well():
    empty = {"held_out": {}, "documents": {}, "reasons": {}, "bits": {}, "quality": {}, "dedup": {}, "canaries": {}}
    assert experiment.summary({}) == empty and len(set(experiment.POINTS)) == 12


def test_the_order_is_the_seeds_own():
    pool = [Document(f"news/{number}", "news", "x") for number in range(20)]
    assert experiment.in_order(pool, 0) == experiment.in_order(pool[::-1], 0) != experiment.in_order(pool, 1)
