"""Notebook 09's parts at the size of a test: a tiny model, a handful of rows, pairs and openings."""

from dataclasses import replace

from datasets import Dataset

from course_utils import recipes
from course_utils.data import openings
from course_utils.engine.recipe import TrainingRecipe
from course_utils.training import reward, rlhf, sft

ANSWERS = [{"prompt": f"is the film {word}", "answer": "yes the film is good"} for word in ("good", "bad", "fine", "a")]
GOOD, BAD = ["good", "a great film", "fine", "great movie"], ["bad", "a bad film", "no", "bad movie is bad"]
PAIRS = Dataset.from_list([{"prompt": "the film?", "chosen": g, "rejected": b} for g in GOOD for b in BAD])
OPENINGS = [
    {"prompt": "a film", "opening": words} for words in ("the film is", "a movie is", "it was the", "the movie")
]
SIZES = {"steps": 2, "batch_size": 4, "answer_tokens": 5, "epochs": 2, "proxy_steps": 3, "proxy_batch": 4}
SIZES |= {"live_steps": 2, "live_openings": 2}


def arrange(monkeypatch, tiny_folder, **sizes):
    """Every stage becomes one of seconds; returns the recipes.PPO of tier cpu."""
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))
    few = TrainingRecipe(steps=2, batch_size=4, learning_rate=1e-2, max_length=120)
    monkeypatch.setattr(sft, "training_rows", lambda size, tokenizer, seed: ANSWERS)
    monkeypatch.setattr(sft, "recipe_of", lambda tier, seed=0: replace(few, seed=seed))
    monkeypatch.setattr(reward, "recipe_of", lambda tier, seed=0: replace(few, seed=seed))
    monkeypatch.setattr(reward, "MAX_LENGTH", 120)
    monkeypatch.setattr(rlhf, "MAX_LENGTH", 120)
    for rows in ("training_pairs", "training_texts"):
        monkeypatch.setattr(reward, rows, lambda size, seed: PAIRS, raising=False)
    monkeypatch.setattr(rlhf, "proxy_pairs", lambda size, seed=0: PAIRS)
    monkeypatch.setattr(openings, "load", lambda split, count=None: Dataset.from_list(OPENINGS[:count]))
    size = replace(recipes.of("09", "cpu"), **SIZES | sizes)
    monkeypatch.setitem(recipes._ROWS["09"], "cpu", size)
    return size
