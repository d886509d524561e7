"""How models are judged: five kinds of exam, what is made up, a test that was bought, an arena, and judges of judges.

Written down before the run. Models: "base", "chat" (SmolLM2 135M Instruct, its own turns), "sft" and "ppo" (notebooks
07 and 09, Gemma's turns). Minutes: of one slow core, as estimated before the run.

    taught-S       the pipeline of seed S: SFT, both reward models, PPO, left in the stage cache; 13 minutes
    exam-MODEL-K   100 items of each of five kinds, by letter, by likelihood, a byte, less its own likelihood, and
                   without the question: three log p a choice, from which every rule is read; 2 to 6 minutes
    probe-MODEL    80 questions, half of them about things that were invented: what is written, and whether it says so;
                   log-odds of he and she, of good and bad words, behind sentences one word apart; 4 minutes
    bought-S       LoRA on 24 items of the knowledge test with their answers, and its score on these, on these reworded
                   by rule, and on 24 others; two detectors, before and after; 12 minutes
    arena-S        nine contestants on the same openings, scored by the gold judge, the proxy, a word list, length, and
                   three measures against people's own sentences; 10 minutes
    judge-S        who orders pairs of people's sentences as the panel does: both models asked in both orders and for a
                   grade, reward models, one person, length; and whether models prefer their own kind; 11 minutes

sft and ppo are those of seed 0. A point reads what an earlier stage left: one by itself comes after these. Baselines:
chance, and the model without the question; the base model; before the tuning; a person and an empty answer; one person,
and length.
Interval: 95 %, over the items of all seeds, paired where both sides read the same ones. With 0 inside it says nothing.
"""

import json
import random
import re
from dataclasses import replace

import torch

from course_utils.adapters import switching
from course_utils.data import exams, openings, preference, probes
from course_utils.data.instructions import TokenCollator
from course_utils.engine import stages
from course_utils.engine.loop import train
from course_utils.engine.recipe import TrainingRecipe
from course_utils.evaluation import preference as preferred
from course_utils.evaluation.prompting import Asked
from course_utils.experiments import evaluation_summary
from course_utils.experiments.in_context import bits
from course_utils.judging import arena, contamination, judges, multiple_choice, text_measures
from course_utils.models import base
from course_utils.training import rlhf, sft
from course_utils.training.actor import POLICY
from course_utils.training.next_token import NextTokenLoss

SEEDS, MODELS = (0, 1, 2), ("base", "chat", "sft", "ppo")
EXAMINED = ("base", "chat", "sft")
SETTING = {
    "seeds": SEEDS, "items": 100, "written": 24,
    "seen": 24, "longest": 220, "epochs": 12, "batch_size": 8, "learning_rate": 1e-3, "rotations": (1, 2),
    "openings": 64, "answer_tokens": 24, "pairs": 200, "same_sign": 100,
}  # fmt: skip
# What a stage reads was left by one before it; within one, two points may go side by side. The longest come first
STAGES = (
    tuple(f"taught-{seed}" for seed in SEEDS),
    (
        *(f"{kind}-{seed}" for kind in ("bought", "arena") for seed in SEEDS),
        *(f"exam-{model}-{kind}" for model in EXAMINED for kind in exams.KINDS),
        *(f"probe-{model}" for model in MODELS),
    ),
    tuple(f"judge-{seed}" for seed in SEEDS),
)
POINTS = tuple(point for stage in STAGES for point in stage)


def measure(point, run, folder):
    """One point: lists of numbers an item, as its kind has them.

    Args:
        point: one of POINTS. run: the runtime's decisions. folder: where a training run lives; it goes on there.
    """
    kind, _, which = point.partition("-")
    first = replace(run, seed=SEEDS[0])
    if kind == "exam":
        model, _, subject = which.partition("-")
        return multiple_choice.read(asked(model, first), exams.load(subject, SETTING["items"]))
    if kind == "probe":
        return probe(asked(which, first))
    seed = int(which)
    seeded = replace(run, seed=seed)  # a pipeline of its own
    if kind == "bought":
        return bought(seeded, seed, folder)
    if kind == "judge":
        return judge(seeded, seed, folder.parent / f"arena-{seed}.json")
    return {"taught": taught, "arena": contest}[kind](seeded, seed)


def asked(which, run):
    """A model of MODELS as it is asked: the base model by plain text, the others by turns."""
    if which == "base":
        return Asked(*base.load_base(), turns=False)
    if which == "chat":
        return Asked(*base.load_chat(), turns=True)
    if which == "sft":
        job = sft.job(run.tier, recipe=sft.recipe_of(run.tier, seed=run.seed))
        stage = stages.run_stage("sft", job.build, job.rows, job.collate, job.recipe, run=run, progress=False)
        return Asked(stage.module.model.get_base_model(), job.tokenizer, turns=True)
    pieces, _ = pipeline(run)
    switching.train_only(pieces.actor.model, POLICY)
    return Asked(pieces.actor.model.eval().get_base_model(), pieces.tokenizer, turns=True)


def pipeline(run):
    """(rlhf.Pieces with the trained policy, the PPO stage's metrics): trained, or read back."""
    pieces = rlhf.pieces(run, progress=False)
    recipe = replace(rlhf.recipe_of(run.tier, seed=run.seed), evaluate_every=0)
    stage = pieces.train("ppo", rlhf.prompts_of(pieces.tokenizer), recipe, run=run, progress=False)
    return pieces, stage.result.metrics


def taught(run, seed):
    """What PPO reached, step by step; the models stay in the cache."""
    _, metrics = pipeline(run)
    return {name: [round(line[name], 4) for line in metrics] for name in ("reward", "kl", "length")}


SAYS_SO = (
    r"(don't|do not|cannot|can't) (know|say|tell|find|answer|provide)|not (sure|aware|familiar|exist|real|able)|"
    r"unknown|no (such|information|record|evidence|known)|fictional|never heard|doesn't exist|unable|unclear|"
    r"made[- ]up|not a (word|real|known)"
)


def says_so(text):
    """Whether a text says that it does not know, or that there is no such thing; by words, and so by rule of thumb."""
    return bool(re.search(SAYS_SO, text.lower()))


def probe(who):
    """What is written to questions with and without an answer, and log-odds behind the sentences on jobs and groups."""
    rows = probes.questions()
    prompts = [row.text if who.turns else f"Question: {row.text}\nAnswer:" for row in rows]
    said = who.write(prompts, new_tokens=SETTING["written"])
    jobs, groups = probes.job_sentences(), probes.group_sentences()
    return {
        "real": bits(row.real for row in rows), "says so": bits(map(says_so, said)), "said": said,
        "jobs": {job: _lean(who, texts, (" he",), (" she",)) for job, texts in jobs.items()},
        "groups": {
            name: [_lean(who, side, probes.GOOD, probes.BAD) for side in zip(*pairs, strict=True)]
            for name, pairs in groups.items()
        },
    }  # fmt: skip


def _lean(who, texts, ours, theirs):
    """A log-odds a text: log of the mean p of some words less that of others, behind plain text without turns."""
    words = [who.tokenizer(word, add_special_tokens=False).input_ids for word in (*ours, *theirs)]
    before = [who.tokenizer(text).input_ids for text in texts]  # with <bos> where the tokenizer puts it
    found = multiple_choice.continuations(who.model, before, [words] * len(texts))
    table = torch.tensor(found, dtype=torch.float64)
    odds = table[:, : len(ours)].logsumexp(-1) - table[:, len(ours) :].logsumexp(-1)
    return [round(value, 4) for value in odds.tolist()]


def bought(run, seed, folder):
    """Right answers and detectors before and after an adapter learned items of the test."""
    short = [i for i in exams.load("knowledge") if len(i.listed()) <= SETTING["longest"]]
    drawn = random.Random(f"bought-{seed}").sample(short, 2 * SETTING["seen"])
    parts = {"seen": drawn[: SETTING["seen"]], "unseen": drawn[SETTING["seen"] :]}
    model, tokenizer = base.load_base(dtype=run.dtype)
    found = {"before": examined(Asked(model, tokenizer, turns=False), parts)}
    rows = [tokenizer(contamination.whole(item)).input_ids for item in parts["seen"]]
    encoded = [{"input_ids": ids, "completion_mask": [False] + [True] * (len(ids) - 1)} for ids in rows]
    steps = SETTING["epochs"] * len(rows) // SETTING["batch_size"]
    recipe = TrainingRecipe(
        steps=steps, batch_size=SETTING["batch_size"], learning_rate=SETTING["learning_rate"], max_length=256,
        warmup_steps=steps // 10, pool=1, seed=seed,
    )  # fmt: skip
    module = stages.seeded(lambda: NextTokenLoss(sft.with_adapter(model, recipe)), seed)
    result = train(module, encoded, TokenCollator(tokenizer.pad_token_id), recipe, folder, run=run, progress=False)
    tuned = Asked(module.eval().model.get_base_model(), tokenizer, turns=False)
    return found | {"after": examined(tuned, parts), "losses": [*result.losses[:2], *result.losses[-2:]]}


def examined(who, parts):
    """{part: {"own", "reworded": right answers by letter, "min-k", "order": a number an item}}."""
    found = {}
    for name, items in parts.items():
        versions = {"own": items, "reworded": [contamination.reworded(item) for item in items]}
        right = {how: _by_letter(who, some) for how, some in versions.items()}
        orders = [items, *([item.rotated(by) for item in items] for by in SETTING["rotations"])]
        rows = [who.encoded(contamination.whole(item)) for some in orders for item in some]
        scores = contamination.token_scores(who.model, rows)
        sums = torch.stack([part.double().sum() for part in scores]).view(len(orders), -1)
        order = contamination.own_order(sums[0], sums[1:].T)
        rare = [round(contamination.min_k(part), 4) for part in scores[: len(items)]]
        found[name] = right | {"min-k": rare, "order": _rounded(order)}
    return found


def _by_letter(who, items):
    known = {"letter": multiple_choice.letters(who, items), "answer": [item.answer for item in items]}
    return bits(multiple_choice.right(known, "letter"))


def contest(run, seed):
    """{"texts": {name: texts}, "ended", "scores": {judge: {name: numbers}}} of the contestants on the same openings."""
    pieces, _ = pipeline(run)
    given = openings.load("test", SETTING["openings"])["opening"]
    answers = arena.written(pieces, given, new_tokens=SETTING["answer_tokens"], seed=seed)
    scores = {judge: table.T.tolist() for judge, table in arena.judged(pieces, answers).items()}
    people = arena.people(given)
    measures = {"rouge": text_measures.rouge_l, "exact": text_measures.exact_match}
    measures["next word"] = lambda text, references: text_measures.next_word_match(text, references, openings.WORDS)
    for name, by in measures.items():
        scores[name] = [
            [by(text, people[opening]) for text, opening in zip(own.texts, given, strict=True)]
            for own in answers.values()
        ]
    rounded = {judge: [[round(value, 4) for value in row] for row in rows] for judge, rows in scores.items()}
    return {
        "texts": {name: list(own.texts) for name, own in answers.items()},
        "ended": {name: bits(own.ended) for name, own in answers.items()},
        "scores": {judge: dict(zip(answers, rows, strict=True)) for judge, rows in rounded.items()},
    }


def judge(run, seed, contested):
    """Odds and grades of judges on people's sentences, and of the models as judges on contestants' answers.

    Args:
        contested: the file of the arena's point of this seed.

    Raises:
        ValueError: that point was not measured here.
    """
    if not contested.is_file():
        raise ValueError(f"judge-{seed} reads the answers of arena-{seed}: measure that point first.")
    rows, found = preference.rated_rows("gold", "test"), {"pairs": pairs_of(seed)}
    pairs, texts = found["pairs"], json.loads(contested.read_text(encoding="utf-8"))[0]["texts"]
    by_id = dict(zip(rows["id"], rows["text"], strict=True))
    sides = [[by_id[pair[side]] for pair in pairs] for side in ("first", "second")]
    pieces = rlhf.pieces(run, progress=False)
    for name in ("gold", "proxy"):
        scores = [getattr(pieces, name)([preference.PROMPT] * len(side), side).double() for side in sides]
        found[name] = _rounded(scores[0] - scores[1])
    del pieces
    for name in ("base", "chat"):
        who = asked(name, run)
        one, two = (judges.grades(who, side) for side in sides)
        found[name] = {
            "forward": _rounded(judges.pair_odds(who, *sides)),
            "backward": _rounded(judges.pair_odds(who, *sides[::-1])),
            "grades": _rounded(one - two), "own kind": liking(who, texts),
        }  # fmt: skip
    return found


def liking(who, texts):
    """An opening's odds for the instruct model's answer against the base model's, over both orders."""
    sides = texts["instruct"], texts["base"]
    forward, backward = judges.pair_odds(who, *sides), judges.pair_odds(who, *sides[::-1])
    return _rounded(judges.averaged(forward, backward))


def pairs_of(seed):
    """Pairs of people's sentences in random order: ids, whether the panel prefers the first, others' votes, words.

    Half of them lie on the same side of zero, where telling praise from scorn does not help.
    """
    rows, found = preference.rated_rows("gold", "test"), []
    for same, count in ((True, SETTING["same_sign"]), (None, SETTING["pairs"] - SETTING["same_sign"])):
        pairs = preference.human_pairs(rows, count, part=preference.PARTS["gold"], same_sign=same, seed=seed)
        person = preferred.panel_right(pairs, 1).tolist()
        for pair, one in zip(pairs, person, strict=True):
            turned = random.Random(f"{seed}-{pair['chosen_id']}-{pair['rejected_id']}").random() < 0.5
            first, second = ("rejected", "chosen") if turned else ("chosen", "rejected")
            found.append({
                "first": pair[f"{first}_id"], "second": pair[f"{second}_id"], "panel": float(not turned),
                "person": 1 - one if turned else one, "same sign": pair["same_sign"],
                "gap": len(pair[first].split()) - len(pair[second].split()),
            })  # fmt: skip
    return found


def _rounded(values):
    return [round(value, 4) for value in values.tolist()]


def summary(points):
    """{kind: its table} of what was measured, by `evaluation_summary`. points: {name: what `measure` returned}."""
    return evaluation_summary.tables(points)
