"""Does a method forget what the base could do and nobody trained? LoRA r8 against full tuning, at equal steps.

Written down before the run:

    base            the model as it comes: what there is to forget
    METHOD-SEED     LoRA r8, or all weights, learns to grade film reviews as in `run comparison`: as many steps, at the
                    best of the three rates tried there; then it grades reviews and does what nobody trained

    written         dates, Korean words, capitals, opposites: behind eight examples, 40 questions each (Korean words
                    32). Judge: the share that greedy writing gets exactly right; beside it log p of the right answer,
                    which moves before an answer turns
    judged          products, tweets, news, good or bad behind sixteen film examples, calibrated on unlabelled texts:
                    a task near the trained one in another form. Judge: the share right of 150 each
    text            the first 64 tokens of 48 people's instructions answered: log p, in nats a token

Baseline: the base, on the same questions. Interval: 95 %, over questions and seeds together; each question of a group
weighs the same. The claim: LoRA keeps more than full tuning, as the difference of their shares right, paired by
question and seed, over all written tasks, above 0. Equal gain is no matter of belief: the correlation of both with the
panel on REVIEWS test reviews stands beside it. An interval with 0 inside is "not told apart", and stays.
"""

import torch

from course_utils.data import instructions, prompts, reviews, small_tasks
from course_utils.data.graded import digit_tokens
from course_utils.evaluation import comparison, forgetting, graded
from course_utils.evaluation import in_context as learning
from course_utils.experiments import comparison as methods
from course_utils.experiments import in_context as shown
from course_utils.models.base import load_base
from course_utils.models.packing import use_row_attention
from course_utils.training.graded import GradedLoss

SEEDS, STEPS, REVIEWS = (0, 1, 2), methods.STEPS, 400
RATES = {"lora": 1e-3, "full": 1e-5}  # the best of the comparison's trials
QUESTIONS, JUDGED, UNLABELLED, SHOTS = 40, 150, 100, 16
TEXTS, TEXT_TOKENS = 48, 64
GROUPS = {"written": ("dates", "Korean", "capitals", "opposites"), "judged": ("products", "tweets", "news")}
SETTING = {
    "seeds": SEEDS, "steps": STEPS, "batch_size": methods.BATCH, "rates": RATES, "reviews": REVIEWS,
    "questions": QUESTIONS, "judged": JUDGED, "unlabelled": UNLABELLED, "shots": SHOTS, "texts": TEXTS,
    "text_tokens": TEXT_TOKENS, "groups": GROUPS,
}  # fmt: skip
POINTS = ("base", *(f"{method}-{seed}" for seed in SEEDS for method in RATES))


def measure(point, run, folder):
    """One point: grades of the reviews as a line, "right" ("0110…") and "logps" of each task, and its training.

    Args:
        point: one of POINTS.
        run: the runtime's decisions.
        folder: where the training run lives; one that was killed goes on there.
    """
    if point == "base":
        model, tokenizer = load_base()
        module, known = GradedLoss(model, digit_tokens(tokenizer)), {}
    else:
        method, _, seed = point.partition("-")
        changes = {"steps": STEPS, "learning_rate": RATES[method], "seed": int(seed)}
        module, tokenizer, known = methods.train(method, run, folder, **changes)
        model = module.model.get_base_model() if method == "lora" else module.model.to(run.dtype)
    use_row_attention(model)
    exam = graded.Exam.of(REVIEWS, tokenizer)
    known |= {"truth": graded.to_line(exam.truth)} if point == "base" else {}
    return known | {"predicted": graded.to_line(exam.ratings(module)), "tasks": tasks(model.eval(), tokenizer)}


def tasks(model, tokenizer):
    """{task: {"right": "0110…", "logps": a line}}, as far as the task has them."""
    asked = {
        "dates": small_tasks.dates(48), "Korean": small_tasks.korean(), "capitals": small_tasks.capitals(),
        "opposites": small_tasks.opposites(),
    }  # fmt: skip
    found = {}
    for name, pairs in asked.items():
        logps, right = forgetting.answers(model, tokenizer, pairs[: 8 + QUESTIONS])
        found[name] = {"right": shown.bits(right), "logps": graded.to_line(logps)}
    rows = plain_rows(tokenizer)
    found["text"] = {"logps": graded.to_line(forgetting.ends(model, rows, [1] * len(rows))[0])}
    judge = learning.Judge(model, tokenizer, shown.TEMPLATE)
    examples = prompts.draw_examples(shown.film_reviews()[1], SHOTS, seed="forgetting")
    for domain in GROUPS["judged"]:
        test, train = (learning.clear_cases(reviews.load(domain, split)) for split in ("test", "train"))
        unlabelled = [row["text"] for row in train[:UNLABELLED]]
        said = shown.judged(judge, examples, learning.as_questions(test[:JUDGED]), unlabelled)
        found[domain] = {"right": said["calibrated"]}
    return found


def plain_rows(tokenizer):
    """TEXTS lists of TEXT_TOKENS token ids, <bos> first: beginnings of answers that nobody trained on."""
    texts = (tokenizer(row["answer"], add_special_tokens=False).input_ids for row in instructions.load("test"))
    long = [ids for ids in texts if len(ids) >= TEXT_TOKENS - 1]
    return [[tokenizer.bos_token_id, *ids[: TEXT_TOKENS - 1]] for ids in long[:TEXTS]]


def summary(points):
    """{method: its correlation; of each task and group the base's share and the change}, LoRA over full tuning, counts.

    Args:
        points: {name: what `measure` returned}; the difference is over the seeds that both methods have.
    """
    if "base" not in points:
        return {}
    truth, found = graded.from_line(points["base"]["truth"]), {}
    done = {method: {s: points[name] for s in SEEDS if (name := f"{method}-{s}") in points} for method in RATES}
    for method, ours in done.items():
        if ours:
            base = dict.fromkeys(ours, points["base"])
            found[method] = {"correlation": _correlation(ours, None, truth)} | _changes(ours, base)
    if both := [seed for seed in done["full"] if seed in done["lora"]]:
        full, lora = ({seed: done[method][seed] for seed in both} for method in ("full", "lora"))
        found["lora over full"] = {"correlation": _correlation(lora, full, truth)} | _changes(lora, full)
    counts = {name: _values([points["base"]], names, "right").shape[1] for name, names in _named("right")}
    return found | {"base": _shares(points["base"]), "questions": counts}


def _shares(base):
    """{task or group: what the base reaches}: the share right, of the text nats a token."""
    shares = {name: _values([base], names, "right").mean().item() for name, names in _named("right")}
    return shares | {"text": _values([base], ("text",), "logps").mean().item()}


def _changes(ours, rival):
    """{"right" and "logps": {task or group: [mean, low, high] of ours minus the rival's}}, {seed: point} each."""
    found = {"right": {}, "logps": {}}
    for key, lines in found.items():
        for name, names in _named(key):
            pair = (_values([*side.values()], names, key) for side in (ours, rival))
            lines[name] = _triple(comparison.paired_difference(*pair))
    return found


def _named(key):
    """(name, its tasks) of every task and group that has this key."""
    groups = {"right": GROUPS, "logps": {"written": GROUPS["written"], "text": ("text",)}}[key]
    return (groups | {task: (task,) for names in groups.values() for task in names}).items()


def _values(points, names, key):
    """(seeds, questions) of these tasks side by side; those of the text in nats a token."""
    read = graded.from_line if key == "logps" else lambda bits: torch.tensor([float(bit) for bit in bits])
    rows = torch.stack([torch.cat([read(point["tasks"][name][key]) for name in names]) for point in points])
    return rows / (TEXT_TOKENS - 1) if names == ("text",) else rows


def _correlation(ours, rival, truth):
    """[mean, low, high] of the correlation with the panel, or of a difference of two; {seed: point} each."""
    lines = [
        side and torch.stack([graded.from_line(point["predicted"]) for point in side.values()])
        for side in (ours, rival)
    ]
    return _triple(comparison.correlation_difference(*lines, truth))


def _triple(found):
    return [found.mean, found.low, found.high]
