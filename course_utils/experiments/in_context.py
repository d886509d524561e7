"""What sixteen examples do: labels turned, renamed, swapped; an instruction beside them; a rival without a model.

Written down before the run. Each seed has its own draws of examples; the questions and the unlabelled reviews, on
whose median score the threshold is calibrated, are the same for all:

    curve-S        0, 1, 2, 4, 8 and 16 examples, two draws
    labels-S       sixteen examples with 0 to 100 % of the labels turned, and called A and B, or B and A
    instruction-S  an instruction no and yes × 0, 1, 16 examples; tokens that an answer reads when asked on its own
    elsewhere-S    the same film examples before products, tweets and news, raw and calibrated on that domain's texts
    bayes          naive Bayes on words: three draws of sixteen labels, and all labels
    rated-S        no questions: log-odds of "positive" behind sixteen examples for every sentence by which notebook 08
                   compares, a rival of its reward model that learns nothing; examples are clear cases of that judge's
                   training sentences
"""

import math
import time
from collections import Counter

import torch

from course_utils.data import preference, prompts, reviews
from course_utils.evaluation import classification, comparison, in_context
from course_utils.models.base import load_base

SEEDS, SHOTS, FLIPPED = (0, 1, 2), (0, 1, 2, 4, 8, 16), (0.0, 0.25, 0.5, 0.75, 1.0)
INSTRUCTION = "Say of each film review whether it is negative or positive.\n"
SETTING = {
    "seeds": SEEDS, "shots": SHOTS, "curve_draws": 2, "flipped": FLIPPED, "questions": 200, "unlabelled": 100,
    "instruction": INSTRUCTION, "asked": (0, 1, 16), "domains": ("products", "tweets", "news"),
}  # fmt: skip
POINTS = ("bayes", *(f"{kind}-{s}" for kind in ("labels", "instruction", "elsewhere", "curve", "rated") for s in SEEDS))
TEMPLATE = prompts.Template("{text} =>", (" negative", " positive"), end="\n")


def measure(point, run, folder):
    """One point: {"labels": "0110…", "conditions": {name: [a draw, …]}} and, for instruction, tokens an answer.

    A point of "rated" has {"odds": {id of a sentence: log-odds}} alone.

    Args:
        point: one of POINTS. run, folder: as for every experiment; nothing is trained, so nothing is kept there.
    """
    kind, _, seed = point.partition("-")
    if kind == "bayes":
        return bayes()
    judge = in_context.Judge(*load_base(), TEMPLATE)
    if kind == "rated":
        return rated(judge, int(seed))
    test, pool, unlabelled = film_reviews()
    return {"curve": curve, "labels": labels, "instruction": instruction, "elsewhere": elsewhere}[kind](
        judge, pool, test, unlabelled, int(seed)
    )


def film_reviews():
    """(questions, pool of examples, unlabelled texts), as in notebook 05; none is in two of the three."""
    test, train = (in_context.clear_cases(reviews.load("movies", split)) for split in ("test", "train"))
    unlabelled = [row["text"] for row in train[: SETTING["unlabelled"]]]
    pool = [example for example in in_context.as_examples(train) if example.text not in set(unlabelled)]
    return in_context.as_questions(test[: SETTING["questions"]]), pool, unlabelled


def judged(judge, examples, questions, unlabelled):
    """One draw: who was right without and with calibration ("0110…"), AUC, and the share called positive, raw."""
    both = judge.scores(examples, [*questions.texts, *unlabelled])
    scores, threshold = both[: len(questions.texts)], classification.calibrated_threshold(both[len(questions.texts) :])
    return {
        "right": bits(classification.correct(scores, questions.labels)),
        "calibrated": bits(classification.correct(scores, questions.labels, threshold)),
        "auc": round(classification.auc(scores, questions.labels), 4),
        "positive": round((scores > 0).double().mean().item(), 4),
    }


def curve(judge, pool, questions, unlabelled, seed):
    found = {}
    for shots in SHOTS:
        draws = range(SETTING["curve_draws"]) if shots else (0,)
        drawn = [prompts.draw_examples(pool, shots, seed=f"curve-{seed}-{draw}") for draw in draws]
        found[str(shots)] = [judged(judge, examples, questions, unlabelled) for examples in drawn]
    return {"labels": bits(questions.labels), "conditions": found}


def labels(judge, pool, questions, unlabelled, seed):
    examples = prompts.draw_examples(pool, 16, seed=f"labels-{seed}")
    found = {
        f"{share:.0%}": judged(judge, prompts.flip_labels(examples, share, seed=seed), questions, unlabelled)
        for share in FLIPPED
    }
    for name, words in {"A and B": (" A", " B"), "B and A": (" B", " A")}.items():
        letters = in_context.Judge(judge.model, judge.tokenizer, judge.template.with_words(*words))
        found[name] = judged(letters, examples, questions, unlabelled)
    return {"labels": bits(questions.labels), "conditions": {name: [draw] for name, draw in found.items()}}


def instruction(judge, pool, questions, unlabelled, seed):
    found, prices = {}, {}
    for said in ("", INSTRUCTION):
        template = prompts.Template(TEMPLATE.question, TEMPLATE.words, TEMPLATE.end, instruction=said)
        asking = in_context.Judge(judge.model, judge.tokenizer, template)
        for shots in SETTING["asked"]:
            examples = prompts.draw_examples(pool, shots, seed=f"instruction-{seed}")
            name = f"{shots} {'with' if said else 'without'}"
            found[name] = [judged(asking, examples, questions, unlabelled)]
            prices[name] = tokens_read(asking, examples, questions.texts)
    return {"labels": bits(questions.labels), "conditions": found, "tokens": prices}


def tokens_read(judge, examples, texts):
    """The mean number of tokens that an answer reads when each question comes alone and nothing is kept."""
    before = len(prompts.prompt_tokens(judge.tokenizer, judge.template, examples))
    own = [len(tokens) for tokens in prompts.question_tokens(judge.tokenizer, judge.template, texts)]
    return round(before + sum(own) / len(own), 2)


def seconds_alone(judge, examples, texts):
    """The median seconds for an answer when each question comes alone and the prompt is read each time."""
    seconds = []
    for text in texts:
        start = time.perf_counter()
        judge.scores(examples, [text])
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[len(seconds) // 2]


def elsewhere(judge, pool, questions, unlabelled, seed):
    found, truth = {}, {}
    for domain in SETTING["domains"]:
        rows = in_context.clear_cases(reviews.load(domain, "test"))
        there = in_context.as_questions(rows[: SETTING["questions"]])
        texts = [row["text"] for row in in_context.clear_cases(reviews.load(domain, "train"))[: SETTING["unlabelled"]]]
        truth[domain] = bits(there.labels)
        for shots in (0, 16):
            examples = prompts.draw_examples(pool, shots, seed=f"elsewhere-{seed}")
            found[f"{domain} {shots}"] = [judged(judge, examples, there, texts)]
    return {"labels": truth, "conditions": found}


def rated(judge, seed):
    train, test = (preference.rated_rows("gold", split) for split in ("train", "test"))
    means = reviews.panel_mean(reviews.panel_parts(train)[preference.PARTS["gold"]])
    clear = in_context.clear_cases([{"text": t, "mean": m} for t, m in zip(train["text"], means, strict=True)])
    examples = prompts.draw_examples(in_context.as_examples(clear), 16, seed=f"rated-{seed}")
    odds = judge.scores(examples, test["text"]).tolist()
    return {"odds": {row: round(value, 4) for row, value in zip(test["id"], odds, strict=True)}}


def bayes():
    questions, pool, _ = film_reviews()
    few = [prompts.draw_examples(pool, 16, seed=f"labels-{seed}") for seed in SEEDS]
    found = {"16": [naive_bayes(examples, questions) for examples in few], "all": [naive_bayes(pool, questions)]}
    return {"labels": bits(questions.labels), "examples": len(pool), "conditions": found}


def naive_bayes(examples, questions):
    """log p(positive | words) − log p(negative | words), words independent, one added to every count."""
    counts = [Counter(), Counter()]
    for example in examples:
        counts[example.label].update(example.text.lower().split())
    known = set(counts[0]) | set(counts[1])
    totals = [sum(count.values()) + len(known) for count in counts]
    prior = [sum(example.label == label for example in examples) for label in (0, 1)]

    def score(text):
        words = [word for word in text.lower().split() if word in known]
        odds = [math.log((counts[1][w] + 1) / totals[1]) - math.log((counts[0][w] + 1) / totals[0]) for w in words]
        return math.log(prior[1] / prior[0]) + sum(odds)

    scores = torch.tensor([score(text) for text in questions.texts], dtype=torch.float64)
    right = bits(classification.correct(scores, questions.labels))
    return {"right": right, "auc": round(classification.auc(scores, questions.labels), 4)}


def bits(values):
    return "".join(str(int(value)) for value in values)


def matrix(points, kind, name, how="right"):
    """(draws, items) float of right decisions under one condition, over all seeds that were measured."""
    found = [points[point] for point in points if point.partition("-")[0] == kind]
    rows = [draw[how] for point in found for draw in point["conditions"][name]]
    return torch.tensor([[float(bit) for bit in row] for row in rows], dtype=torch.float64)


def summary(points):
    """{kind: {condition: {"raw", "calibrated": (mean, low, high), "auc": [a draw, …]}}} over all seeds.

    Args:
        points: {name: what `measure` returned}.
    """
    lines = {}
    for point in points:
        kind = point.partition("-")[0]
        if kind in lines or "conditions" not in points[point]:
            continue
        lines[kind] = {}
        for name, draws in points[point]["conditions"].items():
            line = {
                "auc": [d["auc"] for p in points if p.partition("-")[0] == kind for d in points[p]["conditions"][name]]
            }
            for label, how in (("raw", "right"), ("calibrated", "calibrated")):
                if how in draws[0]:
                    found = comparison.mean_interval(matrix(points, kind, name, how))
                    line[label] = (found.mean, *found.interval)
            lines[kind][name] = line
    return lines
