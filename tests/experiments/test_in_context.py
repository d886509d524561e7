"""The experiment on a tiny model: every kind of point holds what the notebook reads, and naive Bayes is one."""

import math

import pytest
from datasets import Dataset

from course_utils.data import preference, prompts, reviews
from course_utils.evaluation import classification
from course_utils.evaluation.in_context import Questions
from course_utils.experiments import in_context

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def small(monkeypatch, tiny_model, tiny_tokenizer):
    rows = [
        {"text": f"the {word} film {n}", "mean": mean}
        for n in range(20)
        for word, mean in (("great", 2.0), ("no", -2.0))
    ]
    monkeypatch.setattr(reviews, "load", lambda domain, split: [{**r, "text": f"{split} {r['text']}"} for r in rows])
    monkeypatch.setattr(in_context, "load_base", lambda: (tiny_model, tiny_tokenizer))
    monkeypatch.setattr(in_context, "TEMPLATE", prompts.Template("{text} is", (" bad", " good"), end="\n"))
    monkeypatch.setattr(prompts, "word_tokens", lambda tokenizer, template: [5, 6])  # A and B are no words of its own
    monkeypatch.setattr(in_context, "SETTING", in_context.SETTING | {"questions": 6, "unlabelled": 10})
    monkeypatch.setattr(in_context, "INSTRUCTION", "hello world ")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("labels", ["0%", "25%", "50%", "75%", "100%", "A and B", "B and A"]),
        ("instruction", [f"{shots} {said}" for said in ("without", "with") for shots in (0, 1, 16)]),
        ("elsewhere", [f"{domain} {shots}" for domain in ("products", "tweets", "news") for shots in (0, 16)]),
        ("curve", ["0", "1", "2", "4", "8", "16"]),
    ],
)
def test_each_condition_is_judged_item_by_item(small, tmp_path, kind, names):
    points = {f"{kind}-{seed}": in_context.measure(f"{kind}-{seed}", None, tmp_path) for seed in (0, 1)}
    assert list(points[f"{kind}-0"]["conditions"]) == names
    draws = 4 if kind == "curve" else 2
    assert in_context.matrix(points, kind, names[-1]).shape == (draws, 6)
    line = in_context.summary(points)[kind][names[-1]]
    assert len(line["auc"]) == draws and line["raw"][1] <= line["raw"][0] <= line["raw"][2] and "calibrated" in line


def test_a_longer_prompt_costs_more_tokens(small, tmp_path):
    tokens = in_context.measure("instruction-0", None, tmp_path)["tokens"]
    assert tokens["16 without"] > tokens["1 without"] > tokens["0 without"] > 3
    assert tokens["0 with"] > tokens["0 without"] and tokens["16 with"] > tokens["16 without"]


def test_naive_bayes_by_hand(monkeypatch):
    examples = [prompts.Example("good good film", 1), prompts.Example("bad film", 0)]
    seen = []
    monkeypatch.setattr(classification, "correct", lambda scores, labels: seen.extend(scores.tolist()) or [1, 0])
    in_context.naive_bayes(examples, Questions(("good", "bad unknown"), (1, 0)))
    # three words known: p(good | positive) = (2 + 1) / (3 + 3), p(good | negative) = (0 + 1) / (2 + 3)
    assert seen == pytest.approx([math.log(3 / 6 / (1 / 5)), math.log(1 / 6 / (2 / 5))])


def test_bayes_needs_no_model(small, tmp_path):
    found = in_context.measure("bayes", None, tmp_path)
    assert found["conditions"]["all"][0]["right"] == "111111" and found["examples"] == 30
    assert "calibrated" not in in_context.summary({"bayes": found})["bayes"]["all"]


def test_a_text_of_unknown_words_gets_the_examples_share(monkeypatch):
    examples = [prompts.Example("good", 1), prompts.Example("fine", 1), prompts.Example("bad", 0)]
    seen = []
    monkeypatch.setattr(classification, "correct", lambda scores, labels: seen.extend(scores.tolist()) or [1, 1])
    in_context.naive_bayes(examples, Questions(("unknown", "never seen"), (1, 0)))
    assert seen == pytest.approx([math.log(2), math.log(2)])


def test_every_held_out_sentence_of_the_gold_judge_gets_its_odds(small, monkeypatch, tmp_path):
    texts = {"train": [f"a fine film {n}" for n in range(9)] + [f"a bad film {n}" for n in range(9)], "test": ["so so"]}

    def rows(role, split="train", domain="movies"):
        ratings = [[2, 2, 2, 2] if "fine" in text else [-2, -2, -2, -2] for text in texts[split]]
        columns = {"text": texts[split], "id": [f"{role}-{n}" for n in range(len(ratings))], "ratings": ratings}
        return Dataset.from_dict(columns)

    monkeypatch.setattr(preference, "rated_rows", rows)
    shown = []
    draw = prompts.draw_examples
    monkeypatch.setattr(prompts, "draw_examples", lambda *args, **seed: shown.extend(draw(*args, **seed)) or shown)
    found = in_context.measure("rated-1", None, tmp_path)
    assert list(found["odds"]) == ["gold-0"] and math.isfinite(found["odds"]["gold-0"])
    assert sorted(example.label for example in shown) == [0] * 8 + [1] * 8
    assert all(("fine" in example.text) == example.label for example in shown)  # by the ratings of the deciding half
    assert in_context.summary({"rated-1": found}) == {}
