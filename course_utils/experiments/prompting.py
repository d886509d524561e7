"""What prompts do: parts, wordings, roles, steps, search, a grammar; on the base and on an instruct model.

Written down before the run. "base" reads plain text, "chat" the turns of its own template; an answer is the likelier
label word, raw and with its threshold calibrated on unlabelled texts, or what greedy decoding writes. Minutes: of one
slow core, as estimated before the run.

    parts-MODEL-TASK     all sixteen sets of instruction, context, input and output indicator; 6 minutes
    wording-MODEL-TASK   the plain prompt, eight rewordings, appeals, roles, layouts, on 200 items of each of two tasks,
                         400 together; 13 minutes
    search-S             32 prompts drawn out of 192 on 160 items of the seed; base, raw; 11 minutes
    taught-ARM-S         LoRA on sums of six digits, answered at once or by steps, from equally many tokens; 13 minutes.
                         200 held-out sums, greedy, and five samples voting on the first 60
    words-MODEL-S        sums of three digits: asked plainly and "step by step" in words; behind four examples with
                         answers, with steps; 7 minutes
    votes-S              sums of six digits behind four examples: answers, steps, nine samples of steps that vote;
                         5 minutes
    heat-S               sums of two digits behind examples, three samples at each temperature; 2 minutes
    grammar-MODEL-S      a JSON answer on 100 reviews of the seed: asked for, shown, enforced, both; 10 minutes
    manner               chat: 40 instructions asked by nobody, by a child of ten, of a scientist …; 3 minutes

Baselines: for parts the sets without the part; for wordings the plain prompt, and the spread of the rewordings; for
steps the arm that answers at once; for the grammar the same prompt without it. Interval: 95 %, paired, over items and
seeds. One with 0 inside says nothing and stays.
"""

import random
import re

from course_utils.data import digit_sums, instructions, many_tasks, prompt_parts
from course_utils.data.instructions import TokenCollator
from course_utils.engine import stages
from course_utils.engine.loop import train
from course_utils.engine.recipe import TrainingRecipe
from course_utils.evaluation import prompt_effects, prompting
from course_utils.experiments.in_context import bits
from course_utils.models import base, grammar
from course_utils.training import sft
from course_utils.training.next_token import NextTokenLoss

SEEDS, MODELS, ARMS, HOW = (0, 1, 2), ("base", "chat"), ("answers", "steps"), ("greedy", "voted")
WORDED = ("sentiment", "source")
TEMPERATURES = (0.0, 0.3, 0.7, 1.0, 1.5)
SETTING = {
    "seeds": SEEDS, "items": 200, "worded": 400, "unlabelled": 24, "prompts": 32, "searched": 160,
    "validation": (16, 64), "tried": (1, 2, 4, 8, 16, 32),
    "numbers": 6, "few_numbers": 3, "shots": 4, "tokens": 24_000, "batch_size": 16, "learning_rate": 1e-3, "exam": 200,
    "voting": 60, "samples": 5, "asked": 200, "voted": 100, "votes": 9, "temperature": 0.7, "written": 64,
    "temperatures": TEMPERATURES, "json": 100, "letters": 40, "manners": 40,
}  # fmt: skip
POINTS = (
    *(f"parts-{model}-{task}" for model in MODELS for task in prompt_parts.TASKS),
    *(f"taught-{arm}-{seed}" for seed in SEEDS for arm in ARMS),
    *(f"words-{model}-{seed}" for model in MODELS for seed in SEEDS),
    *(f"grammar-{model}-{seed}" for model in MODELS for seed in SEEDS),
    *(f"{kind}-{seed}" for kind in ("votes", "heat", "search") for seed in SEEDS),
    *(f"wording-{model}-{task}" for model in MODELS for task in WORDED),
    "manner",
)


def measure(point, run, folder):
    """One point: right answers as "0110…" by condition, and what else its kind has.

    Args:
        point: one of POINTS. run: the runtime's decisions. folder: where a training run lives; it goes on there.
    """
    kind, *rest = point.split("-")
    if kind == "taught":
        return taught(rest[0], int(rest[1]), run, folder)
    model = "chat" if kind == "manner" else rest[0] if rest[0] in MODELS else "base"
    asked = prompting.Asked(*(base.load_chat() if model == "chat" else base.load_base()), turns=model == "chat")
    if kind in ("parts", "wording"):
        return {"parts": parts, "wording": wording}[kind](asked, rest[1])
    one = {"words": words, "grammar": answered, "votes": votes, "heat": heat, "search": search, "manner": manner}[kind]
    return one(asked, int(rest[-1])) if rest else one(asked)


def parts(asked, task):
    """Right answers under each of the sixteen sets of parts."""
    rows = many_tasks.load(task, test=SETTING["items"])
    found = {
        prompt_parts.code(on): asked.judged(prompt_parts.built(task, on), rows) for on in prompt_parts.combinations()
    }
    return _by_condition(found)


def wording(asked, task):
    """Right answers under every wording of a task."""
    rows = many_tasks.load(task, test=SETTING["worded"] // len(WORDED), unlabelled=SETTING["unlabelled"])
    return _by_condition({name: asked.judged(text, rows) for name, text in prompt_parts.wordings(task).items()})


def search(asked, seed):
    """Right answers under each candidate, on the seed's own items."""
    rows = many_tasks.load("sentiment", test=SETTING["worded"])
    rows = many_tasks.Task(
        rows.name, rows.question, rows.words, [], rows.unlabelled[:1], _some(rows.test, "searched", seed)
    )
    tried = prompt_parts.candidates(SETTING["prompts"], seed=seed)
    return {"prompts": [[*line] for line in tried]} | {
        "right": [bits(asked.judged(text, rows, labels)["raw"]) for text, labels in tried]
    }


def _some(rows, size, seed):
    return random.Random(f"items-{seed}").sample(list(rows), SETTING[size])


def _by_condition(found):
    return {"conditions": {name: {how: bits(right) for how, right in both.items()} for name, both in found.items()}}


def taught(arm, seed, run, folder):
    """An adapter that learned sums at once or by steps; what it gets right, greedily and by vote."""
    model, tokenizer = base.load_base(dtype=run.dtype)
    exam = digit_sums.draw(SETTING["exam"], SETTING["numbers"], seed="exam")
    rows = rows_of(arm, tokenizer, seed, exam)
    steps = len(rows) // SETTING["batch_size"]
    recipe = TrainingRecipe(
        steps=steps, batch_size=SETTING["batch_size"], learning_rate=SETTING["learning_rate"], max_length=64,
        warmup_steps=steps // 10, pool=4, seed=seed,
    )  # fmt: skip
    module = stages.seeded(lambda: NextTokenLoss(sft.with_adapter(model, recipe)), seed)
    result = train(module, rows, TokenCollator(tokenizer.pad_token_id), recipe, folder, run=run, progress=False)
    asked = prompting.Asked(module.eval().model.get_base_model(), tokenizer, turns=False)
    said, voted = answers(asked, "", exam, "greedy"), _voted(asked, "", exam[: SETTING["voting"]], SETTING["samples"])
    known = {"rows": len(rows), "tokens": sum(len(row["input_ids"]) for row in rows), "losses": result.losses[-5:]}
    return known | {"conditions": {"greedy": bits(digit_sums.right(said, exam)), "voted": voted}, "said": said[:20]}


def rows_of(arm, tokenizer, seed, exam):
    """Training rows of an arm, as many as the budget of tokens allows, none of the exam's sums among them."""
    write = {"answers": digit_sums.at_once, "steps": digit_sums.by_steps}[arm]
    rows, used = [], 0
    for row in digit_sums.draw(SETTING["tokens"] // 10, SETTING["numbers"], seed=seed, without=exam):
        asked = tokenizer(digit_sums.question(row)).input_ids
        answer = tokenizer(write(row) + "\n", add_special_tokens=False).input_ids
        used += len(asked) + len(answer)
        if used > SETTING["tokens"]:
            break
        rows.append({"input_ids": asked + answer, "completion_mask": [False] * len(asked) + [True] * len(answer)})
    return rows


def answers(asked, before, rows, how, seed=0):
    """What is written behind each sum. before: examples; how: "greedy", or a temperature."""
    return asked.write(
        [before + digit_sums.question(row) for row in rows], new_tokens=4 * SETTING["numbers"],
        temperature=0.0 if how == "greedy" else how, seed=seed,
    )  # fmt: skip


def _voted(asked, before, rows, samples):
    drawn = [answers(asked, before, rows, SETTING["temperature"], seed=draw) for draw in range(samples)]
    return bits(digit_sums.voted(texts) == sum(row) for texts, row in zip(zip(*drawn, strict=True), rows, strict=True))


def shown(arm, numbers, seed):
    """Examples of sums with their answers, one a line, of the form of an arm."""
    write = {"answers": digit_sums.at_once, "steps": digit_sums.by_steps}[arm]
    rows = digit_sums.draw(SETTING["shots"], numbers, seed=f"shown-{seed}")
    return "".join(f"{digit_sums.question(row)}{write(row)}\n" for row in rows)


def words(asked, seed):
    """Sums asked in words, plainly and step by step, and behind examples."""
    rows = digit_sums.draw(SETTING["asked"], SETTING["few_numbers"], seed=f"asked-{seed}")
    said = {}
    for name, more in {"plain": "", "step by step": " Let's think step by step."}.items():
        asks = [f"What is {digit_sums.question(row)[:-1]}?" for row in rows]
        texts = [ask + more if asked.turns else f"Question: {ask}\nAnswer:{more}" for ask in asks]
        said[name] = asked.write(texts, new_tokens=SETTING["written"], lines=True)
    for arm in ARMS:
        said[f"shown {arm}"] = answers(asked, shown(arm, SETTING["few_numbers"], seed), rows, "greedy")
    right = {name: bits(digit_sums.right(texts, rows)) for name, texts in said.items()}
    return {"conditions": right, "said": {name: texts[:5] for name, texts in said.items()}}


def votes(asked, seed):
    """Sums behind examples with answers and with steps, and many samples of steps that vote."""
    rows, numbers = digit_sums.draw(SETTING["voted"], SETTING["numbers"], seed=f"voted-{seed}"), SETTING["numbers"]
    right = {
        arm: bits(digit_sums.right(answers(asked, shown(arm, numbers, seed), rows, "greedy"), rows)) for arm in ARMS
    }
    return {"conditions": right | {"voted": _voted(asked, shown("steps", numbers, seed), rows, SETTING["votes"])}}


def heat(asked, seed):
    """Right answers at each temperature, three samples one after another, and how many of the three differ."""
    rows = digit_sums.draw(SETTING["items"] // 4, 2, seed=f"heat-{seed}")
    right, different = {}, {}
    for degree in TEMPERATURES:
        drawn = [answers(asked, shown("answers", 2, seed), rows, degree or "greedy", seed=n) for n in range(3)]
        right[str(degree)] = "".join(bits(digit_sums.right(texts, rows)) for texts in drawn)
        read = [{digit_sums.read(text) for text in texts} for texts in zip(*drawn, strict=True)]
        different[str(degree)] = sum(map(len, read)) / len(read)
    return {"conditions": right, "different": different}


FORM = 'Answer with a JSON object that has "sentiment" ("negative" or "positive"), "stars" (0 to 9) and "because".'
EXAMPLES = (
    ("A warm and funny film that never drags.", '{"sentiment": "positive", "stars": 8, "because": "warm and funny"}'),
    ("Two hours of noise without a story.", '{"sentiment": "negative", "stars": 2, "because": "noise, no story"}'),
)


def answered(asked, seed):
    """JSON answers to reviews, with and without examples and grammar: what parses, and what is right."""
    language = grammar.JSONObject(
        {
            "sentiment": grammar.Choice(("negative", "positive")),
            "stars": grammar.Number(1),
            "because": grammar.Text(SETTING["letters"]),
        }
    )
    rule = grammar.Constraint(language, asked.tokenizer, asked.ends)
    rows, examples = _some(many_tasks.load("sentiment", test=SETTING["items"]).test, "json", seed), ""
    valid, right, said = {}, {}, {}
    for name in ("asked", "shown"):
        if name == "shown":
            examples = "".join(f"Review: {text}\nJSON:\n{answer}\n\n" for text, answer in EXAMPLES)
        texts = [f"{FORM}\n\n{examples}Review: {row.text}\nJSON:\n" for row in rows]
        for how, reshape in {name: None, f"{name}, grammar": rule}.items():
            written = asked.write(texts, new_tokens=language.longest + 1, reshape=reshape)
            read = [language.read(text) for text in written]
            valid[how], said[how] = bits(value is not None for value in read), written[:3]
            right[how] = bits(
                _label(value, text) == row.label for value, text, row in zip(read, written, rows, strict=True)
            )
    return {"valid": valid, "conditions": right, "said": said}


def _label(value, text):
    """Which of the two labels an answer gives: by its field, or by the only label word of a broken text."""
    found = {value["sentiment"]} if value else set(re.findall("negative|positive", text.lower()))
    return ("negative", "positive").index(found.pop()) if len(found) == 1 else None


def manner(asked):
    """Letters a word and words a sentence of answers to the same instructions, by who asks and who shall answer."""
    rows = [row["prompt"] for row in instructions.load("test") if len(row["prompt"].split()) < 20][: SETTING["manners"]]
    found, said = {}, {}
    for name, before in prompt_parts.PERSONAS.items():
        texts = asked.write([f"{before} {row}".strip() for row in rows], new_tokens=SETTING["written"], lines=True)
        split = [re.findall(r"[A-Za-z']+", text) or [""] for text in texts]
        sentences = [max(len(re.findall(r"[.!?]", text)), 1) for text in texts]
        found[name] = {
            "letters": [round(sum(map(len, words)) / len(words), 3) for words in split],
            "words": [round(len(words) / count, 3) for words, count in zip(split, sentences, strict=True)],
        }
        said[name] = texts[:3]
    return {"manner": found, "said": said}


def summary(points):
    """{kind: its table}: shares right and paired gains as [mean, low, high], over the points that were measured.

    Args:
        points: {name: what `measure` returned}.
    """
    steps, form = [("step by step", "plain"), ("shown steps", "shown answers")], [
        ("asked, grammar", "asked"), ("shown, grammar", "shown"), ("shown", "asked"),
    ]  # fmt: skip
    found = {
        "parts": {model: prompt_effects.parts(points, model) for model in MODELS},
        "words": {model: prompt_effects.shares(points, f"words-{model}", steps) for model in MODELS},
        "grammar": {model: prompt_effects.shares(points, f"grammar-{model}", form) for model in MODELS},
        "valid": {model: prompt_effects.shares(points, f"grammar-{model}", key="valid") for model in MODELS},
        "votes": prompt_effects.shares(points, "votes", [("steps", "answers"), ("voted", "steps")]),
        "heat": prompt_effects.shares(points, "heat", [("1.0", "0.0"), ("1.5", "0.0")]),
        "search": prompt_effects.searched(points, SETTING["tried"], SETTING["validation"]),
        "taught": taught_apart(points),
        "wording": {
            model: {how: prompt_effects.wordings(points, model, how) for how in ("raw", "calibrated")}
            for model in MODELS
            if any(name.startswith(f"wording-{model}-") for name in points)
        },
        "manner": prompt_effects.manners(points["manner"]) if "manner" in points else {},
    }
    return {kind: table for kind, table in found.items() if table and any(table.values())}


def taught_apart(points):
    """{arm: its share right}, and what steps gain over answers at once, over the seeds that both arms have."""
    both = [seed for seed in SEEDS if all(f"taught-{arm}-{seed}" in points for arm in ARMS)]
    if not both:
        return {}
    joined = {}
    for seed in both:
        lines = {f"{arm}, {how}": points[f"taught-{arm}-{seed}"]["conditions"][how] for arm in ARMS for how in HOW}
        joined[f"taught-{seed}"] = {
            how: {name: row for name, row in lines.items() if name.endswith(how)} for how in HOW
        }
    pairs = [(f"{ARMS[1]}, {how}", f"{ARMS[0]}, {how}") for how in HOW]
    found = prompt_effects.shares(joined, "taught", pairs[:1], key="greedy")
    return found | prompt_effects.shares(joined, "taught", pairs[1:], key="voted")
