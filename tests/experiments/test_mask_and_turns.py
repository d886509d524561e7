"""The mask left out and two turns, on a tiny model: the arms differ in one thing, and the judge asks what it says."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from course_utils import recipes, records, runtime
from course_utils.commands import run as command
from course_utils.data import dialogue, instructions
from course_utils.engine import batching
from course_utils.engine.recipe import TrainingRecipe
from course_utils.experiments import mask_and_turns
from course_utils.experiments import sft as sft_experiment
from course_utils.training import sft

WORDS = ("good", "bad", "fine", "great", "a", "the")
ROWS = [
    {"id": f"row-{n}", "prompt": f"is the film {word}", "answer": ("yes", "yes yes")[n % 2]}
    for n, word in enumerate(WORDS)
]
SIDES = ("user", "assistant", "user", "assistant")
SAID = [(f"is the film {word}", f"it is {word}", "hello", f"{word} world yes yes yes") for word in WORDS]
TALKS = [[{"role": side, "content": text} for side, text in zip(SIDES, said, strict=True)] for said in SAID]
RECIPE = TrainingRecipe(steps=2, batch_size=2, learning_rate=1e-2, max_length=120)


@pytest.fixture(autouse=True)
def small(tiny_folder, monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    monkeypatch.setattr(instructions, "load", lambda split: ROWS)
    monkeypatch.setattr(instructions, "two_turns", lambda half: [{"messages": talk} for talk in TALKS])
    monkeypatch.setattr(sft, "recipe_of", lambda tier, seed, steps: replace(RECIPE, steps=steps, seed=seed))
    monkeypatch.setattr(mask_and_turns, "LENGTHS", {"short": (1, 99), "long": (1, 99)})
    monkeypatch.setattr(mask_and_turns, "MASK", {"rows": 4, "steps": 2, "written": 2})
    turns = {"dialogues": 4, "steps": 2, "batch": 2, "first_turn_tokens": 99, "learned": 4}
    monkeypatch.setattr(mask_and_turns, "TURNS", turns)
    size = replace(recipes.of("07", "cpu"), scored_tokens=3)
    monkeypatch.setattr(recipes, "of", lambda notebook, tier: size)


def measured(point, folder):
    return sft_experiment.measure(point, runtime.start(quiet=True), folder / point)


def test_without_the_mask_every_token_is_learned_and_nothing_else_is_changed(tmp_path):
    kept, left = (measured(f"mask-short-{arm}-1", tmp_path) for arm in ("kept", "left"))
    assert kept["read_tokens"] == left["read_tokens"] and kept["rows"] == left["rows"] == 4
    assert 0 < kept["learned_tokens"] < left["learned_tokens"] == left["read_tokens"] - left["rows"]
    assert kept["losses"] != left["losses"] and kept["size"] == left["size"] == mask_and_turns.MASK
    assert len(kept["swap"]) == len(kept["own"]) == len(ROWS) and len(kept["ended"]) == len(kept["length"]) == 2


def test_both_arms_of_a_seed_draw_the_same_rows_and_another_seed_others(tiny_tokenizer):
    jobs = {p: mask_and_turns.job_of(p, tiny_tokenizer, "cpu") for p in mask_and_turns.POINTS if p.startswith("mask")}
    tokens = {point: [row["input_ids"] for row in job.rows] for point, job in jobs.items()}
    assert tokens["mask-short-kept-0"] == tokens["mask-short-left-0"] != tokens["mask-short-kept-1"]
    assert jobs["mask-short-kept-1"].recipe == jobs["mask-short-left-1"].recipe
    with pytest.raises(ValueError, match="9 rows are to be drawn, and there are 6"):
        mask_and_turns.drawn(ROWS, 9, 0)


@pytest.mark.parametrize(
    ("rows", "batch", "steps"),
    [(mask_and_turns.MASK["rows"], 8, mask_and_turns.MASK["steps"])]
    + [(n * mask_and_turns.TURNS["dialogues"], n * mask_and_turns.TURNS["batch"], 12) for n in (1, 2)],
)
def test_each_row_is_read_twice(rows, batch, steps):
    recipe = TrainingRecipe(steps=steps, batch_size=batch, learning_rate=1e-3, pool=mask_and_turns.POOL)
    lengths = [7 * row % 31 for row in range(rows)]
    read = Counter(row for step in range(1, steps + 1) for row in batching.rows_of_step(step, lengths, recipe))
    assert len(read) == rows and set(read.values()) == {2}


def test_the_rows_of_a_length_lie_between_both_ends(tiny_tokenizer):
    short, long = (mask_and_turns.of_length(ROWS, tiny_tokenizer, *ends) for ends in ((1, 1), (2, 9)))
    assert {row["answer"] for row in short} == {"yes"} and {row["answer"] for row in long} == {"yes yes"}


def test_the_arms_of_the_turns_learn_the_same_tokens_as_often(tmp_path):
    two, single = (measured(f"turns-{arm}-0", tmp_path) for arm in ("two", "single"))
    assert two["learned_tokens"] == single["learned_tokens"] and 2 * two["rows"] == single["rows"] == 8
    assert len(two["swap"]) == len(single["own"]) == len(TALKS) and two["ended"] == []
    assert any(abs(value) > 1e-6 for value in two["swap"]), "the other first turn is a stranger's"
    assert two["losses"][0] == pytest.approx(single["losses"][0], rel=0.2), "the first step has learned nothing"


def test_a_second_answer_is_cut_behind_a_first_that_is_whole(tiny_tokenizer):
    jobs = {arm: mask_and_turns.turns_job(TALKS, arm, RECIPE, "cpu") for arm in ("two", "single")}
    said = {arm: [learned_text(row, tiny_tokenizer) for row in job.rows] for arm, job in jobs.items()}
    first, second = said["single"][:2]
    assert first == "it is good<end_of_turn>" and said["two"][0] == first + second
    assert "good world yes yes yes<end_of_turn>".startswith(second) and not second.endswith("<end_of_turn>")
    assert jobs["single"].recipe.batch_size == 2 * jobs["two"].recipe.batch_size == 4


def learned_text(row, tokenizer):
    return tokenizer.decode([t for t, counts in zip(row["input_ids"], row["completion_mask"], strict=True) if counts])


def test_a_short_second_answer_keeps_its_end():
    row = {"input_ids": [1, 2, 3, 4, 5], "completion_mask": [False, True, False, True, True]}
    assert mask_and_turns.cut(row) == row


def test_a_second_answer_is_read_behind_the_tokens_of_the_template(tiny_model, tiny_tokenizer, monkeypatch):
    style, asked = dialogue.chat(tiny_tokenizer), []
    monkeypatch.setattr(
        mask_and_turns.following, "answer_logprobs", lambda model, style, texts, answers, **_: asked.extend(texts)
    )
    mask_and_turns.second_logprobs(tiny_model, style, TALKS, TALKS[1:] + TALKS[:1])
    whole = [*TALKS[1][:2], *TALKS[0][2:3]]
    template = tiny_tokenizer.apply_chat_template(whole, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert style.beginning + style.question(asked[0]) == list(template)


def test_the_untrained_model_is_only_judged(tmp_path):
    found = measured("turns-base", tmp_path)
    assert "losses" not in found and len(found["own"]) == len(TALKS)


def test_gains_are_paired_over_the_seeds_of_which_both_arms_are_there():
    def point(own, ended=()):
        return {"own": own, "swap": [2 + value for value in own], "ended": list(ended), "length": list(ended)}

    items = [-1.0, -0.5, -1.5]
    points = {f"turns-{arm}-0": point([v + more for v in items]) for arm, more in (("two", 0.25), ("single", 0.0))}
    points |= {"turns-two-1": point(items), "turns-base": point(items)}
    lines = mask_and_turns.summary(points)["turns"]
    assert lines["seeds"] == [0] and lines["gain"]["own"] == pytest.approx((0.25, 0.25, 0.25)), "no spread"
    # own is −1 in the mean and a stranger's −3: two thirds are removed; 0.75 and −2.75 where the first turn helps
    assert lines["single"]["removed"][0] == lines["base"]["removed"][0] == pytest.approx(2 / 3, abs=0.34)
    assert "ended" not in lines["gain"] and set(lines) == {"two", "single", "base", "gain", "seeds"}
    masked = {f"mask-long-{arm}-{s}": point(items, [1.0, e]) for arm, e in (("kept", 1), ("left", 0)) for s in (0, 2)}
    lines = mask_and_turns.summary(masked)["mask-long"]
    assert lines["gain"]["ended"][0] == 0.5 and lines["seeds"] == [0, 2]
    assert mask_and_turns.summary({"turns-two-0": points["turns-two-0"]}) == {}


def test_the_share_removed_is_that_of_the_judge():
    run = {"own": [-1.0, -1.0], "swap": [1.0, 3.0], "ended": [], "length": []}
    # a stranger's costs 2 and 4, the right one 1 and 1: 4 of 6 are removed
    assert mask_and_turns.numbers_of([run])["removed"].mean() == pytest.approx(4 / 6)
    assert torch.equal(mask_and_turns.numbers_of([run])["own"], torch.tensor([[-1.0, -1.0]]))


def test_the_committed_points_were_made_with_the_present_sizes(monkeypatch):
    monkeypatch.undo()
    (record,) = records.read(command.REFERENCE / "sft.json", fields=("points",))
    present = {"mask": mask_and_turns.MASK, "turns": mask_and_turns.TURNS}
    for name in mask_and_turns.POINTS:
        if name in record["points"]:
            assert record["points"][name]["size"] == present[name.partition("-")[0]], f"{name} is stale: run it anew"
