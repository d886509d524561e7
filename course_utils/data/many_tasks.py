"""Six tasks of which each used to have a model of its own: real texts, a question, and two or four label words.

    sentiment   snippets of film reviews, by the mean of 15 to 29 people: negative or positive
    sarcasm     headlines of a news site and of a satirical one (Misra and Arora 2019): news or satire
    language    lines of small talk: Spanish, Italian, Portuguese or Dutch
    source      snippets of film reviews, product reviews, tweets and news articles: which of the four
    direction   the questions of QuaRTz (Tafjord et al. 2019) whose two choices are increase and decrease
    turn        lines of English small talk without full stop and question mark: does one ask, or answer?

`own` makes one more of the reader's rows. No text stands in two of train, unlabelled and test, and the test part holds
equally many of each label, so that chance is 1 / C for C labels. Nobody chose a question or a word by its result.
"""

import json
import random
import re
import zipfile
from dataclasses import dataclass

from course_utils import assets
from course_utils.data import reviews
from course_utils.data.prompts import Example
from course_utils.data.splits import stable_number, words

TEST, UNLABELLED, LONGEST = 200, 60, 24  # items to be asked, texts to calibrate on, words of a text at most
LANGUAGES = ("Spanish", "Italian", "Portuguese", "Dutch")
SOURCES = {"movies": " film", "products": " product", "tweets": " tweet", "news": " news"}
CLEAR = 1.0  # a review is asked about where the mean rating is at least so far from zero


@dataclass(frozen=True)
class Task:
    """One kind of question with its rows.

    name: how results call it.
    question: the text up to the answer, with {text}.
    words: the C label words, each beginning with the space that belongs to its token.
    train: list of Example to draw from; a label is a place in `words`.
    unlabelled: texts whose labels nobody looks at, for calibration.
    test: list of Example, equally many of each label.
    """

    name: str
    question: str
    words: tuple[str, ...]
    train: list
    unlabelled: tuple[str, ...]
    test: list

    def __post_init__(self):
        if self.question.count("{text}") != 1:
            raise ValueError(f"The question {self.question!r} needs the place {{text}} once: there the text goes.")
        if len(set(self.words)) != len(self.words) or len(self.words) < 2:
            raise ValueError(f"Expected at least two different label words, got {self.words!r}.")
        if any(not word.startswith(" ") for word in self.words):
            raise ValueError(f"Label words start with a space, as in ' good', got {self.words}; else tokens differ.")

    @property
    def labels(self):
        """The right answers of the test part, a list of places in `words`."""
        return [example.label for example in self.test]

    def asked(self, text):
        """The question about a text, up to the place where a label word would stand."""
        return self.question.replace("{text}", text)

    def prompt(self, examples):
        """Examples with their answers, one under the other; what a question follows."""
        return "".join(f"{self.asked(example.text)}{self.words[example.label]}\n\n" for example in examples)

    def draw(self, shots, *, seed):
        """Examples out of `train`, as many of each label as can be, in random order.

        Args:
            shots: how many.
            seed: the draw's number or name; equal on every machine.

        Raises:
            ValueError: a label has too few rows.
        """
        rng = random.Random(f"{self.name}-{seed}-{shots}")
        order = rng.sample(range(len(self.words)), len(self.words))
        drawn = []
        for place, label in enumerate(order):
            count = shots // len(order) + (place < shots % len(order))
            rows = [example for example in self.train if example.label == label]
            if len(rows) < count:
                raise ValueError(f"{self.name} has {len(rows)} rows of {self.words[label]!r}, {count} are to be drawn.")
            drawn += rng.sample(rows, count)
        rng.shuffle(drawn)
        return drawn


def load(name, *, test=TEST, unlabelled=UNLABELLED):
    """One of the six tasks.

    Args:
        name: one of NAMES.
        test, unlabelled: sizes of these parts; a task with fewer rows is refused.

    Raises:
        ValueError: no such task, or too few rows.
        assets.AssetError: its files are not there and cannot be fetched.
    """
    if name not in _TASKS:
        raise ValueError(f"There is no task {name!r}. Choose from: {', '.join(NAMES)}.")
    question, labels, read = _TASKS[name]
    return make(name, question, labels, *read(), test=test, unlabelled=unlabelled)


def own(name, question, labels, rows, *, test=TEST, unlabelled=UNLABELLED):
    """A task of the reader's own.

    Args:
        name, question, labels: as Task has them.
        rows: list of (text, place in `labels`); a third of them, as a rule, is asked about and never learned from.
        test, unlabelled: as for `load`.

    Raises:
        ValueError: too few rows of a label, or a label that is no place in `labels`.
    """
    if odd := [label for _, label in rows if label not in range(len(labels))]:
        raise ValueError(f"Expected labels from 0 to {len(labels) - 1}, places in {labels}, got {odd[0]!r}.")
    return make(name, question, labels, *_by_hash(rows), test=test, unlabelled=unlabelled)


def make(name, question, labels, learned, asked, *, test, unlabelled):
    """A Task of two disjoint lists of (text, label): a balanced test part of one, the rest of the other.

    Raises:
        ValueError: too few rows of a label to ask about, or to calibrate on.
    """
    each, kept = test // len(labels), []
    for label in range(len(labels)):
        rows = [row for row in asked if row[1] == label][:each]
        if len(rows) < each:
            raise ValueError(f"{name} has {len(rows)} rows of {labels[label]!r} to ask about, expected {each}.")
        kept += rows
    kept.sort(key=lambda row: stable_number(row[0], "asked"))
    if len(learned) <= unlabelled:
        raise ValueError(f"{name} has {len(learned)} rows to learn from, expected more than {unlabelled}.")
    texts = tuple(text for text, _ in learned[:unlabelled])
    return Task(name, question, tuple(labels), _examples(learned[unlabelled:]), texts, _examples(kept))


def _examples(rows):
    return [Example(text, label) for text, label in rows]


def _by_hash(rows):
    """(rows to learn from, rows to ask about), each text once, two thirds to one, decided by its words alone."""
    seen = {}
    for text, label in rows:
        seen.setdefault(" ".join(words(text)), (text, label))
    mixed = sorted(seen.items(), key=lambda item: stable_number(item[0], "order"))
    parts = ([], [])
    for key, row in mixed:
        parts[stable_number(key, "part") % 3 == 0].append(row)
    return parts


def _short(text):
    return 3 <= len(text.split()) <= LONGEST


def _sentiment():
    return [
        [(r["text"], int(r["mean"] > 0)) for r in part if abs(r["mean"]) >= CLEAR and _short(r["text"])]
        for part in (reviews.load("movies", "train"), reviews.load("movies", "test"))
    ]


def _source():
    parts = []
    for split in ("train", "test"):
        rows = [
            (row["text"], label)
            for label, domain in enumerate(SOURCES)
            for row in reviews.load(domain, split)
            if _short(row["text"])
        ]
        parts.append(sorted(rows, key=lambda row: stable_number(row[0], "order")))
    return parts


def _questions(name):
    """(question, ideal answer) of a set in the wheel of exams."""
    with zipfile.ZipFile(next(assets.path("exams").glob("*.whl"))) as wheel:
        for line in wheel.read(f"evals/registry/data/{name}/samples.jsonl").decode("utf-8").splitlines():
            row = json.loads(line)
            yield row["input"][-1]["content"], row["ideal"]


def _sarcasm():
    return _by_hash([(text, int(ideal)) for text, ideal in _questions("sarcasm") if _short(text)])


def _direction():
    rows = []
    for content, ideal in _questions("quartz"):
        text, first, second = re.fullmatch(r"(.*?)\s+A: (.*)\n B: (.*)", content, re.DOTALL).groups()
        kinds = [re.fullmatch(r"(in|de)crease[sd]?\.?", choice.strip().lower()) for choice in (first, second)]
        if all(kinds) and {kind[1] for kind in kinds} == {"in", "de"} and len(text.split()) <= 2 * LONGEST:
            rows.append((text, int(kinds["AB".index(ideal)][1] == "in")))
    return _by_hash(rows)


def _talk(language):
    """The dialogues of one language, each a list of its lines, in the wheel of small talk."""
    with zipfile.ZipFile(next(assets.path("small-talk").glob("*.whl"))) as wheel:
        for path in sorted(wheel.namelist()):
            if path.startswith(f"chatterbot_corpus/data/{language}/") and path.endswith(".yml"):
                dialogue = []
                for line in wheel.read(path).decode("utf-8").splitlines():
                    found = re.fullmatch(r"\s*-( +-)? +(\S.*)", line)
                    if found and found[1] and dialogue:
                        yield dialogue
                    dialogue = [*([] if found and found[1] else dialogue), *([found[2]] if found else [])]
                yield dialogue


def _language():
    return _by_hash(
        [
            (line.strip("\"' "), label)
            for label, language in enumerate(LANGUAGES)
            for dialogue in _talk(language.lower())
            for line in dialogue
            if _short(line)
        ]
    )


def _turn():
    rows = [(dialogue[turn], turn) for dialogue in _talk("english") for turn in (0, 1) if len(dialogue) > 1]
    plain = [(line.strip("\"' ").rstrip("?.!"), turn) for line, turn in rows]
    return _by_hash([(line, turn) for line, turn in plain if _short(line)])


_TASKS = {
    "sentiment": ("Review: {text}\nSentiment:", (" negative", " positive"), _sentiment),
    "sarcasm": ("Headline: {text}\nKind:", (" news", " satire"), _sarcasm),
    "language": ("Text: {text}\nLanguage:", tuple(f" {name}" for name in LANGUAGES), _language),
    "source": ("Text: {text}\nKind:", tuple(SOURCES.values()), _source),
    "direction": ("Question: {text}\nAnswer: it will", (" decrease", " increase"), _direction),
    "turn": ("Line: {text}\nThis is a", (" question", " reply"), _turn),
}
NAMES = tuple(_TASKS)
