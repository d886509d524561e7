"""What prompts do: parts, wordings, roles, steps, search, a grammar; on the base and on an instruct model.

Written down before the run. "base" reads plain text, "chat" the turns of its own template; an answer is the likelier
label word, raw and with its threshold calibrated on unlabelled texts, or what greedy decoding writes. Minutes: of one
slow core, as estimated before the run.

    taught-ARM-S         LoRA on sums of six digits, answered at once or by steps, from equally many tokens; 10 minutes.
                         200 held-out sums, greedy, and five samples voting on the first 60
    wording-MODEL-TASK   the plain prompt, eight rewordings, appeals, roles, layouts, on 200 items of each of two tasks,
                         400 together; 15 minutes
    search-S             32 prompts drawn out of 192 on 132 items of the seed; base, raw; 11 minutes
    words-MODEL-S        sums of three digits: asked plainly, asked plainly with room to write first, and with "step by
                         step" and the same room; behind four examples with answers, with steps; 9 minutes
    grammar-MODEL-S      a JSON answer on 100 reviews of the seed: asked for, shown, enforced, both; 9 minutes
    parts-MODEL-TASK     all sixteen sets of instruction, context, input and output indicator; 7 minutes
    votes-S              sums of three digits behind four examples: answers, steps, nine samples of steps that vote;
                         3 minutes
    heat-S               25 sums of two digits behind examples, five samples at each temperature; 2 minutes
    manner               chat: 40 instructions asked by nobody, by a child of ten, of a scientist …; 3 minutes

Each seed has items of its own. What is written before an answer is never read as the answer: "Therefore, the answer is"
follows it (Kojima et al. 2022), "The answer is" follows the plain prompt, and the number behind counts. A free JSON
answer may take lines and stand among other text; its first object counts. Three digits, since steps have something to
gain there: in a try on sixteen sums behind examples the base model had 15 of two digits right, and 1 of three.

Baselines: for parts the sets without the part; for wordings the plain prompt, and the spread of the rewordings; for
steps the arm that answers at once, and for "step by step" the same room without these words; for the grammar the same
prompt without it. Interval: 95 %, paired, over items and seeds; over the items of all seeds where seeds differ in
nothing else. One with 0 inside says nothing and stays.
"""

import random
import re

from course_utils.data import digit_sums, instructions, many_tasks, prompt_parts
from course_utils.data.instructions import TokenCollator
from course_utils.engine import stages
from course_utils.engine.loop import train
from course_utils.engine.recipe import TrainingRecipe
from course_utils.evaluation import prompting
from course_utils.experiments.in_context import bits
from course_utils.judging import prompt_effects
from course_utils.models import base, grammar
from course_utils.training import sft
from course_utils.training.next_token import NextTokenLoss

SEEDS, MODELS, ARMS, HOW = (0, 1, 2), ("base", "chat"), ("answers", "steps"), ("greedy", "voted")
WORDED = ("sentiment", "source")
TEMPERATURES = (0.0, 0.3, 0.7, 1.0, 1.5)
SETTING = {
    "seeds": SEEDS, "items": 200, "worded": 400, "unlabelled": 24, "prompts": 32, "searched": 132,
    "validation": (16, 64), "tried": (1, 2, 4, 8, 16, 32),
    "numbers": 6, "few_numbers": 3, "shots": 4, "tokens": 24_000, "batch_size": 16, "learning_rate": 1e-3, "exam": 200,
    "voting": 60, "samples": 5, "asked": 200, "voted": 100, "votes": 9, "temperature": 0.7, "written": 96, "stated": 16,
    "temperatures": TEMPERATURES, "heated": 25, "drawn": 5, "json": 100, "letters": 40, "manners": 40,
}  # fmt: skip
POINTS = (  # the longest first, so that two cores end together
    *(f"taught-{arm}-{seed}" for seed in SEEDS for arm in ARMS),
    *(f"wording-{model}-{task}" for model in MODELS for task in WORDED),
    *(f"search-{seed}" for seed in SEEDS),
    *(f"{kind}-{model}-{seed}" for kind in ("words", "grammar") for model in MODELS for seed in SEEDS),
    *(f"parts-{model}-{task}" for model in MODELS for task in prompt_parts.TASKS),
    *(f"{kind}-{seed}" for kind in ("votes", "heat") for seed in SEEDS),
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
    """The seed's own rows, of which no other seed has one. Raises ValueError when there are too few for all seeds."""
    rows, count = list(rows), SETTING[size]
    if len(rows) < count * len(SEEDS):
        raise ValueError(f"{len(SEEDS)} seeds need {count * len(SEEDS)} rows for {size!r}, there are {len(rows)}.")
    return random.Random("items").sample(rows, len(rows))[seed * count : (seed + 1) * count]


def _sums(size, numbers, seed):
    """The seed's own sums, in the same way."""
    return _some(digit_sums.draw(SETTING[size] * len(SEEDS), numbers, seed=size), size, seed)


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


def shown(arm, rows, seed):
    """Examples of sums with their answers, one a line, of the form of an arm; none of them is among the rows."""
    write, numbers = {"answers": digit_sums.at_once, "steps": digit_sums.by_steps}[arm], len(rows[0])
    examples = digit_sums.draw(SETTING["shots"], numbers, seed=f"shown-{seed}", without=rows)
    return "".join(f"{digit_sums.question(row)}{write(row)}\n" for row in examples)


def words(asked, seed):
    """Sums asked in words, plainly, with room to write before the answer, and step by step; and behind examples."""
    rows = _sums("asked", SETTING["few_numbers"], seed)
    asks, said, right = [f"What is {digit_sums.question(row)[:-1]}?" for row in rows], {}, {}
    for name, more in prompt_parts.ASKED.items():
        texts = [ask + more if asked.turns else f"Question: {ask}\nAnswer:{more}" for ask in asks]
        before = ["The answer is" if asked.turns else " The answer is"] * len(rows)
        if name != "plain":
            written = asked.write(texts, new_tokens=SETTING["written"], lines=True)
            own = [text.partition("Question:")[0].rstrip() for text in written]  # a base model goes on to ask itself
            before = [f"{text}\nTherefore, the answer is" for text in own]
        ends = asked.write(texts, new_tokens=SETTING["stated"], begun=before)
        said[name] = [start + end for start, end in zip(before[:5], ends, strict=False)]
        right[name] = bits(digit_sums.right(ends, rows, by=digit_sums.stated))
    for arm in ARMS:
        texts = answers(asked, shown(arm, rows, seed), rows, "greedy")
        said[f"shown {arm}"], right[f"shown {arm}"] = texts[:5], bits(digit_sums.right(texts, rows))
    return {"conditions": right, "said": said}


def votes(asked, seed):
    """Sums behind examples with answers and with steps, and many samples of steps that vote."""
    rows = _sums("voted", SETTING["few_numbers"], seed)
    right = {arm: bits(digit_sums.right(answers(asked, shown(arm, rows, seed), rows, "greedy"), rows)) for arm in ARMS}
    return {"conditions": right | {"voted": _voted(asked, shown("steps", rows, seed), rows, SETTING["votes"])}}


def heat(asked, seed):
    """Right answers at each temperature, some samples one after another, and how many of them differ."""
    rows = _sums("heated", 2, seed)
    right, different = {}, {}
    for degree in TEMPERATURES:
        before, draws = shown("answers", rows, seed), range(SETTING["drawn"])
        drawn = [answers(asked, before, rows, degree or "greedy", seed=n) for n in draws]
        right[str(degree)] = "".join(bits(digit_sums.right(texts, rows)) for texts in drawn)
        read = [set(map(digit_sums.read, texts)) for texts in zip(*drawn, strict=True)]
        different[str(degree)] = sum(map(len, read)) / len(read)
    return {"conditions": right, "different": different}


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
    rows, examples = _some(many_tasks.load("sentiment", test=SETTING["worded"]).test, "json", seed), ""
    valid, right, said = {}, {}, {}
    for name in ("asked", "shown"):
        if name == "shown":
            examples = "".join(f"Review: {text}\nJSON:\n{answer}\n\n" for text, answer in prompt_parts.ANSWERED)
        form = prompt_parts.FORM.format(SETTING["letters"])
        texts = [f"{form}\n\n{examples}Review: {row.text}\nJSON:\n" for row in rows]
        for how, reshape in {name: None, f"{name}, grammar": rule}.items():
            written = asked.write(texts, new_tokens=language.longest + 1, reshape=reshape, lines=reshape is None)
            read = [language.read(text if reshape else prompting.object_in(text)) for text in written]
            valid[how], said[how] = bits(value is not None for value in read), written[:3]
            labels = [_label(value, text) for value, text in zip(read, written, strict=True)]
            right[how] = bits(label == row.label for label, row in zip(labels, rows, strict=True))
    return {"valid": valid, "conditions": right, "said": said}


def _label(value, text):
    """Which of the two labels an answer gives: by its field, or by the only label word of a broken text's beginning."""
    found = {value["sentiment"]} if value else set(re.findall("negative|positive", text.split("\n\n")[0].lower()))
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
    steps = [("step by step", "plain"), ("step by step", "room to write"), ("shown steps", "shown answers")]
    form = [("asked, grammar", "asked"), ("shown, grammar", "shown"), ("shown", "asked")]
    shares, told = prompt_effects.shares, [*form[0], *form[1]]  # nothing but items differs between their seeds
    found = {
        "parts": {model: prompt_effects.parts(points, model) for model in MODELS},
        "words": {model: shares(points, f"words-{model}", steps, only_items=prompt_parts.ASKED) for model in MODELS},
        "grammar": {model: shares(points, f"grammar-{model}", form, only_items=told) for model in MODELS},
        "valid": {model: shares(points, f"grammar-{model}", key="valid", only_items=told) for model in MODELS},
        "votes": shares(points, "votes", [("steps", "answers"), ("voted", "steps")]),
        "heat": shares(points, "heat", [("1.0", "0.0"), ("1.5", "0.0")], samples=SETTING["drawn"]),
        "search": prompt_effects.searched(points, SETTING["tried"], SETTING["validation"]),
        "taught": prompt_effects.apart(points, SEEDS, ARMS, HOW),
        "wording": {
            model: {how: prompt_effects.wordings(points, model, how) for how in ("raw", "calibrated")}
            for model in MODELS
            if any(name.startswith(f"wording-{model}-") for name in points)
        },
        "manner": prompt_effects.manners(points["manner"]) if "manner" in points else {},
    }
    return {kind: table for kind, table in found.items() if table and any(table.values())}
