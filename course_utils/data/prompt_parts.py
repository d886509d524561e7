"""Prompts taken apart and put together: the four parts, harmless rewordings, appeals, roles, layouts, candidates.

A prompt here is a text with at most one place {text}. Nobody chose a wording by its result: all were written down
before the first run. The four parts are those of the lecture: instruction, context, input, output indicator.
"""

import itertools
import random

PARTS = ("instruction", "context", "input", "indicator")
# task of data.many_tasks → its four parts
_TASKS = {
    "sentiment": (
        "Say whether the review is negative or positive.",
        "It comes from a page on which people write about films that they have seen.",
        "Review: {text}",
        "Sentiment:",
    ),
    "language": (
        "Name the language of the text: Spanish, Italian, Portuguese or Dutch.",
        "It comes from a collection of small talk in many languages.",
        "Text: {text}",
        "Language:",
    ),
    "turn": (
        "Say whether the line is a question or a reply.",
        "It was taken from a conversation of two people, and its last mark is missing.",
        "Line: {text}",
        "This is a",
    ),
}
TASKS = tuple(_TASKS)


def built(task, on):
    """The prompt of a task with some of its parts, one a line, in the order of PARTS.

    Args:
        task: one of TASKS. on: the names of the parts that stand there; none gives an empty prompt.

    Raises:
        ValueError: no such part.
    """
    if unknown := set(on) - set(PARTS):
        raise ValueError(f"A prompt has the parts {', '.join(PARTS)}; got {', '.join(sorted(unknown))}.")
    lines = [text for name, text in zip(PARTS, _TASKS[task], strict=True) if name in on]
    return "\n".join(lines) + ("" if not lines or "indicator" in on else "\n")


def combinations():
    """All sixteen sets of parts, from none to all four."""
    return [on for size in range(5) for on in itertools.combinations(PARTS, size)]


def code(on):
    """A set of parts as a name: "i-x-" for instruction and input, a dash for each that is missing."""
    return "".join(letter if name in on else "-" for name, letter in zip(PARTS, "icxo", strict=True))


# Nine ways to say one instruction; the first is the plain one with which all others are compared
REWORDINGS = {
    "sentiment": (
        "Say whether the review is negative or positive.",
        "Decide if this review is negative or positive.",
        "Is the following review negative or positive?",
        "Tell me whether the review is negative or positive.",
        "Judge the review: negative or positive.",
        "Read the review and say if it is negative or positive.",
        "Classify the review as negative or positive.",
        "State if the review is negative or positive.",
        "The review is either negative or positive. Say which.",
    ),
    "source": (
        "Say whether the text is from a film review, a product review, a tweet or the news.",
        "Decide if this text is from a film review, a product review, a tweet or the news.",
        "Is the following text from a film review, a product review, a tweet or the news?",
        "Tell me whether the text is from a film review, a product review, a tweet or the news.",
        "Judge where the text is from: a film review, a product review, a tweet or the news.",
        "Read the text and say if it is from a film review, a product review, a tweet or the news.",
        "Classify the text as film review, product review, tweet or news.",
        "State if the text is from a film review, a product review, a tweet or the news.",
        "The text is from a film review, a product review, a tweet or the news. Say which.",
    ),
}
# What is said beside the plain instruction, by kind. "emotion", "politeness" and "reward" follow it; "role" (who the
# model is) and "user" (who asks) stand before it, as the lecture advises
BESIDE = {
    "emotion": (
        "This is very important to my career.",
        "You had better be sure.",
        "I believe in you; take pride in your work.",
    ),
    "politeness": ("Please. Thank you very much in advance.", "Hurry up and do not be stupid about it."),
    "reward": ("I will tip you 200 dollars for a right answer.",),
    "form": ("Answer in one word.", "Take a deep breath and work on this step by step."),
    "role": (
        "You are an experienced critic.",
        "You are a professor of linguistics.",
        "You are a child of ten.",
    ),
    "user": ("I am ten years old.", "I am an expert in this field."),
}
# The plain prompt laid out otherwise: sections with headings, marks around the text
LAYOUTS = {
    "sections": "## Task\n{instruction}\n\n## {name}\n{{text}}\n\n## Answer\n{indicator}",
    "quotes": '{instruction}\n{name}: """{{text}}"""\n{indicator}',
    "tags": "{instruction}\n<text>{{text}}</text>\n{indicator}",
}
_NAMES = {"sentiment": ("Review", "Sentiment:"), "source": ("Text", "Kind:")}


def wordings(task):
    """{"kind: wording": prompt} of a task of REWORDINGS; "plain" first, then the rewordings, then everything else.

    The names are the same for every task, so that tasks can be counted together.
    """
    name, indicator = _NAMES[task]
    rest = f"{name}: {{text}}\n{indicator}"
    plain = REWORDINGS[task][0]
    found = {"plain": f"{plain}\n{rest}"}
    found |= {f"reworded: {n}": f"{said}\n{rest}" for n, said in enumerate(REWORDINGS[task][1:], start=1)}
    for kind, sentences in BESIDE.items():
        for said in sentences:
            both = f"{said} {plain}" if kind in ("role", "user") else f"{plain} {said}"
            found[f"{kind}: {said}"] = f"{both}\n{rest}"
    for layout, text in LAYOUTS.items():
        found[f"layout: {layout}"] = text.format(instruction=plain, name=name, indicator=indicator)
    return found


_OPENINGS = ("", *REWORDINGS["sentiment"][:5])
_INPUTS = ("Review: {text}", "{text}", '"{text}"', "Film review: {text}")
_ENDS = ("\nSentiment:", "\nThe review is", "\nAnswer:", " =>")
_WORDS = ((" negative", " positive"), (" bad", " good"))


def candidates(count, *, seed):
    """So many different prompts for the sentiment of a review, each (prompt, label words), out of 192.

    Args:
        count: how many. seed: of the draw.
    """
    every = list(itertools.product(_OPENINGS, _INPUTS, _ENDS, _WORDS))
    drawn = random.Random(f"candidates-{seed}").sample(every, count)
    return [(f"{opening}\n{asked}{end}" if opening else f"{asked}{end}", words) for opening, asked, end, words in drawn]


PERSONAS = {
    "nobody": "",
    "user: ten": "I am ten years old.",
    "user: professor": "I am a professor.",
    "role: teacher": "You are a kind teacher of small children.",
    "role: scientist": "You are a scientist who writes for other scientists.",
}

# What is said behind a sum that is asked in words; the first has no room to write before the answer
ASKED = {"plain": "", "room to write": "", "step by step": " Let's think step by step."}
# An answer of a fixed form, asked for in words
FORM = (
    'Answer with a JSON object that has "sentiment" ("negative" or "positive"), "stars" (0 to 9) and "because" '
    "({} letters at most)."
)
# reviews with such an answer
ANSWERED = (
    ("A warm and funny film that never drags.", '{"sentiment": "positive", "stars": 8, "because": "warm and funny"}'),
    ("Two hours of noise without a story.", '{"sentiment": "negative", "stars": 2, "because": "noise, no story"}'),
)
