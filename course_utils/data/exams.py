"""Exam questions with choices, of five kinds; what two further kinds have in place of a right answer is in `probes`.

    knowledge     MMLU (Hendrycks et al. 2021), of all its subjects: four choices
    reasoning     LogiQA (Liu et al. 2020), questions about a passage: four choices
    common-sense  Social IQa (Sap et al. 2019), what people do and feel: three choices
    arithmetic    sums of two numbers below 100, made here: four choices, the wrong ones near the right one
    conversation  real dialogues: the second answer among four, of which three belong to other dialogues

The first three come from the wheel of exams (MIT; MMLU MIT, Social IQa CC BY 4.0). Long questions are left out, so that
a small machine gets through: the results are comparable among themselves, and with no leaderboard.
Nobody chose an item by a model's result; which ones are taken is decided by a hash of their text.
"""

import json
import random
import re
import zipfile
from dataclasses import dataclass, replace

from course_utils import assets
from course_utils.data import instructions
from course_utils.data.splits import stable_number

LETTERS = "ABCD"
LONGEST = 600  # characters of a question
ANSWER, TURN = 120, 190  # characters of a choice and of an earlier turn in a dialogue, cut there, behind a word


@dataclass(frozen=True)
class Item:
    """A question with its choices.

    question: what is asked, with its passage where it has one. choices: C texts. answer: the right one's place.
    """

    question: str
    choices: tuple[str, ...]
    answer: int

    def __post_init__(self):
        if not 2 <= len(self.choices) <= len(LETTERS) or len(set(self.choices)) < len(self.choices):
            raise ValueError(f"Expected two to four different choices, got {self.choices}.")
        if self.answer not in range(len(self.choices)):
            raise ValueError(f"The answer is {self.answer}; expected a place in the {len(self.choices)} choices.")

    @property
    def chance(self):
        """The share right of who guesses."""
        return 1 / len(self.choices)

    def rotated(self, by=1):
        """The same question with its choices moved on, so that the right one has another letter."""
        by %= len(self.choices)
        order = [*range(by, len(self.choices)), *range(by)]
        return replace(self, choices=tuple(self.choices[n] for n in order), answer=order.index(self.answer))

    def listed(self):
        """The question with its choices as "A. …" lines, up to where a letter would stand."""
        lines = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, self.choices, strict=False)]
        return "\n".join([self.question, *lines, "Answer:"])

    def unlisted(self):
        """The question alone, up to where the text of an answer would stand."""
        return f"{self.question}\nAnswer:"


def load(kind, count=None):
    """Items of a kind, in an order that looks random and is the same on every machine.

    Args:
        kind: one of KINDS. count: the first so many; None gives all.

    Raises:
        ValueError: no such kind, or fewer items.
        assets.AssetError: the files are not there and cannot be fetched.
    """
    if kind not in _READ:
        raise ValueError(f"There is no kind {kind!r}. Choose from: {', '.join(KINDS)}.")
    found = {}
    for item in _READ[kind]():
        if len(item.question) <= LONGEST:
            found.setdefault(item.question, item)
    ordered = sorted(found.values(), key=lambda item: stable_number(item.question, "exam"))
    if count is not None and count > len(ordered):
        raise ValueError(f"Expected {count} items of {kind}, there are {len(ordered)}. Ask for fewer.")
    return ordered[:count]


def _rows(name):
    with zipfile.ZipFile(next(assets.path("exams").glob("*.whl"))) as wheel:
        for line in wheel.read(f"evals/registry/data/{name}").decode("utf-8").splitlines():
            yield json.loads(line)


def parsed(text, marks, letter):
    """An Item of a text in which marks stand before the choices, or None where it does not have this form.

    Args:
        text: "question … mark choice mark choice …". marks: regular expressions, one a choice.
        letter: the right one's.
    """
    pattern = r"\s*(.*?)" + "".join(rf"\s*{mark}\s*(.*?)" for mark in marks) + r"[.;]?\s*(?:\nAnswer:)?"
    found = re.fullmatch(pattern, text, re.DOTALL)
    if not found:
        return None
    question, *choices = (re.sub(r"[ \t\xa0]+", " ", part).strip() for part in found.groups())
    choices = [choice.rstrip(".; ") for choice in choices]
    same = len(set(choices)) < len(choices) or not all(choices)
    return None if same else Item(question, tuple(choices), LETTERS.index(letter))


def _knowledge():
    for row in _rows("sandbagging/samples-non-ast.jsonl"):
        if item := parsed(row["question"], [rf"\n{letter}\." for letter in LETTERS], row["answer"]):
            yield item


def _reasoning():
    for row in _rows("logiqa/logiqa.jsonl"):
        text = re.sub(r"\s*Question:", "\nQuestion:", row["input"][-1]["content"].strip(), count=1)
        if item := parsed(text, [rf"\n{letter}\. {letter}\." for letter in LETTERS], row["ideal"]):
            yield item


def _common_sense():
    for row in _rows("theory_of_mind/socialiqa/test.jsonl"):
        if item := parsed(row["input"][-1]["content"], [" A:", "; B:", "; C:"], row["ideal"]):
            yield item


def sums(count, *, seed="exam"):
    """So many sums of two numbers below 100, all different, with wrong answers that are 1, 2 or 10 off."""
    rng, found = random.Random(f"sums-{seed}"), {}
    while len(found) < count:
        one, two = rng.randrange(10, 100), rng.randrange(10, 100)
        total = one + two
        choices = [total, *rng.sample([total - 10, total + 10, total - 1, total + 1, total - 2, total + 2], 3)]
        order = rng.sample(range(4), 4)
        texts = tuple(str(choices[n]) for n in order)
        found.setdefault((one, two), Item(f"What is {one} + {two}?", texts, order.index(0)))
    return list(found.values())


def _conversation():
    dialogues = [row["messages"] for half in ("train", "test") for row in instructions.two_turns(half)]
    seconds = [_cut(messages[3]["content"], ANSWER) for messages in dialogues]
    for place, messages in enumerate(dialogues):
        first, answer, second = (_cut(message["content"], TURN) for message in messages[:3])
        others = [text for number, text in enumerate(seconds) if number != place and text != seconds[place]]
        rng = random.Random(f"dialogue-{first}")
        choices = [seconds[place], *rng.sample(sorted(set(others)), 3)]
        order = rng.sample(range(4), 4)
        asked = f"User: {first}\nAssistant: {answer}\nUser: {second}"
        yield Item(asked, tuple(choices[n] for n in order), order.index(0))


def _cut(text, most):
    """The beginning of a text on one line, whole words."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[:most].rpartition(" ")[0]


_READ = {
    "knowledge": _knowledge, "reasoning": _reasoning, "common-sense": _common_sense,
    "arithmetic": lambda: sums(400), "conversation": _conversation,
}  # fmt: skip
KINDS = tuple(_READ)
