"""Every notebook has a size on every tier, and no size that its claims could not bear."""

import dataclasses
from pathlib import Path

import pytest

from course_utils import recipes, runtime
from course_utils.data import reviews
from course_utils.experiments import comparison

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
ROWS = [(number, tier) for number in recipes.notebooks() for tier in recipes.TIERS]


def test_the_tiers_are_those_that_the_runtime_chooses():
    assert tuple(recipes.TIERS) == tuple(runtime.TIERS)
    assert set(recipes.READING_SPEED) == set(recipes.TIERS)
    assert sorted(recipes.READING_SPEED.values()) == [recipes.READING_SPEED[tier] for tier in recipes.TIERS]


@pytest.mark.parametrize(("number", "tier"), ROWS)
def test_each_row_is_whole_and_fixed(number, tier):
    row = recipes.of(number, tier)
    assert row.minutes > 0 and row.memory_gb > 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.minutes = 0


def test_a_notebook_goes_by_number_or_name():
    assert recipes.of("05_in_context_learning", "cpu") is recipes.of("05", "cpu")
    assert recipes.notebooks() == sorted(recipes.notebooks())
    there = {path.name[:2] for path in NOTEBOOKS.glob("*.ipynb")}
    assert set(recipes.notebooks()) == there
    assert {"00", "05"} <= set(recipes.notebooks())


@pytest.mark.parametrize("tier", recipes.TIERS)
def test_in_context_has_what_its_claim_needs(tier):
    row = recipes.of("05", tier)
    assert {0, 2, 16} <= set(row.shots), "zero-shot, the dip and the claim"
    assert row.probe_questions % 2 == 0, "half of each label"
    assert row.flipped[0] == 0.0 and row.flipped[-1] == 1.0 and list(row.flipped) == sorted(row.flipped)
    assert row.unlabelled >= 50  # for a median that means something
    assert row.probe_questions <= row.questions and 2 <= row.probe_draws <= row.draws


@pytest.mark.parametrize("tier", recipes.TIERS)
def test_quantization_calibrates_on_more_tokens_than_the_widest_layer_has_inputs(tier):
    row = recipes.of("15", tier)
    assert row.calibration * row.length > 2048 and row.few_documents <= row.documents


def test_larger_tiers_ask_no_fewer_questions():
    asked = [recipes.of("05", tier).questions for tier in recipes.TIERS]
    assert asked == sorted(asked)


@pytest.mark.parametrize("wrong", [{"questions": 199}, {"draws": 5}])
def test_a_claim_on_too_little_is_refused(wrong):
    with pytest.raises(ValueError, match="at least 200 questions and 6 draws, got "):
        dataclasses.replace(recipes.of("05", "cpu"), **wrong)


@pytest.mark.parametrize("wrong", [{"minutes": 0}, {"memory_gb": -1}])
@pytest.mark.parametrize("number", recipes.notebooks())
def test_minutes_and_memory_are_positive(number, wrong):
    with pytest.raises(ValueError, match="must be positive"):
        dataclasses.replace(recipes.of(number, "cpu"), **wrong)


@pytest.mark.parametrize(("number", "tier"), [("99", "cpu"), ("05", "tpu"), ("", "cpu")])
def test_an_unknown_row_is_an_error_that_lists_what_there_is(number, tier):
    with pytest.raises(ValueError, match=r"there are \['00', .*'05'.*gpu-80gb"):
        recipes.of(number, tier)


@pytest.mark.parametrize("tier", recipes.TIERS)
@pytest.mark.parametrize("number", ["10", "11", "12", "13", "14"])
def test_no_adapter_asks_for_more_reviews_than_there_are(number, tier):
    row = recipes.of(number, tier)
    there = {split: len(reviews.load("movies", split)) for split in ("train", "validation", "test")}
    assert row.rows <= there["train"] and row.test <= there["test"] and row.probe_test <= row.test
    assert 2 * row.unlabelled <= there["validation"]  # for the calibration, and for the strength of the ridge
    assert row.probe_steps < row.steps


def test_the_adapters_learn_as_the_trials_of_the_long_comparison_do():
    for number in ("10", "11", "12", "13", "14"):
        row = recipes.of(number, "cpu")
        assert (row.steps, row.batch_size) == (comparison.TRIAL_STEPS, comparison.BATCH)


@pytest.mark.parametrize("wrong", [{"prompts": 99}, {"new_tokens": 64}])
def test_a_claim_of_following_on_too_little_is_refused(wrong):
    with pytest.raises(ValueError, match="at least 100 prompts and 128 tokens, got "):
        dataclasses.replace(recipes.of("07", "cpu"), **wrong)


def test_a_claim_of_preference_on_too_little_is_refused():
    with pytest.raises(ValueError, match=r"at least 600 test pairs, .* got 599"):
        dataclasses.replace(recipes.of("08", "cpu"), test_pairs=599)


@pytest.mark.parametrize("tier", recipes.TIERS)
def test_every_text_is_learned_from_once(tier):
    row = recipes.of("08", tier)
    assert row.texts == row.steps * row.batch_size <= 5533 and row.break_steps < row.steps


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"samples_each": 7}, "at least 256 paired samples, got 32 openings × 7"),
        ({"proxy_pairs": 257}, "at most 256 pairs, got 257"),
        ({"live_steps": 15}, "at most the recorded one, got 15 of 14 steps"),
        ({"live_openings": 33}, "33 of 32 openings"),
    ],
)
def test_a_claim_about_a_policy_on_too_little_or_from_too_much_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(recipes.of("09", "cpu"), **wrong)


@pytest.mark.parametrize("tier", recipes.TIERS)
def test_every_pair_of_the_proxy_is_learned_from(tier):
    row = recipes.of("09", tier)
    assert row.proxy_steps * row.proxy_batch >= row.proxy_pairs and row.own_steps < row.steps
