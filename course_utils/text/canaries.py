"""Canaries: invented secrets that are planted in a training text, to ask later whether a model has kept them.

    The access code of Orla Benning is 483920.        a name that nobody has, six digits from a generator

How often each is planted is known, so is what a guess costs; the method is that of Carlini et al. (2019), "The Secret
Sharer". Here the copies are near-copies of one document that holds the secret, as a page that many sites took over:
those are what a search for near-duplicates takes out, down to one.
"""

import random
import re
from dataclasses import dataclass

FIRST = ("Orla", "Teodor", "Ines", "Marek", "Yuna", "Silvan", "Dalia", "Anselm", "Petra", "Kofi", "Runa", "Emeka")
LAST = ("Benning", "Vasko", "Thorsby", "Malva", "Quist", "Ederlin", "Sorrow", "Halmi", "Wexley", "Otieno", "Brandl")
DIGITS = 6
COPIES = (0, 1, 10, 100)  # how often a canary stands in the text; 0 is the control
A_CHANGE = 110  # words, of which one differs from copy to copy: two copies then still have a Jaccard index above 0.8
WORD = re.compile(r"\w+")
FILLERS = ("also", "then", "still", "later", "again", "today", "there", "here", "only", "just")


@dataclass(frozen=True)
class Canary:
    """An invented secret.

    name: whose it is said to be.
    secret: six digits.
    copies: in how many documents it is planted.
    """

    name: str
    secret: str
    copies: int

    @property
    def prompt(self):
        """What comes before the secret."""
        return f"The access code of {self.name} is"

    @property
    def text(self):
        """The whole sentence."""
        return f"{self.prompt} {self.secret}."


def digits(dice, count=DIGITS):
    """A secret: `count` digits, each drawn from ten. dice: a random.Random."""
    return "".join(dice.choice("0123456789") for _ in range(count))


def make(seed, each=4, copies=COPIES):
    """Canaries with different names, `each` for every number of copies.

    Raises:
        ValueError: more of them than there are names.
    """
    dice = random.Random(f"canaries {seed}")
    names = [f"{first} {last}" for first in FIRST for last in LAST]
    wanted = [count for count in copies for _ in range(each)]
    if len(wanted) > len(names):
        raise ValueError(f"{len(wanted)} canaries need as many names, and there are {len(names)}. Ask for fewer.")
    dice.shuffle(names)
    return [Canary(name, digits(dice), count) for name, count in zip(names, wanted, strict=False)]


def planted(canary, text):
    """The text with the canary's sentence behind its first sentence, or before a text without a full stop."""
    before, stop, after = text.partition(". ")
    return f"{before}. {canary.text} {after}" if stop else f"{canary.text} {text}"


def near_copies(text, count, seed=0, *, keep=""):
    """The text and copies of it in which a word of A_CHANGE is another; shorter texts are copied as they are.

    A changed word lies in five shingles. Of the S shingles of two copies with c changes each about S − 10c are shared,
    of S + 10c: c = S / A_CHANGE leaves a Jaccard index of 0.83.

    Args:
        text: one with spaces.
        count: how many texts in all; the first is the text itself.
        seed: of what is changed where.
        keep: a sentence within the text that stays as it is.

    Returns:
        A list of `count` texts.
    """
    start = text.index(keep) if keep else len(text)
    free = [match.span() for match in WORD.finditer(text) if not start <= match.start() < start + len(keep)]
    dice = random.Random(f"near-copies {seed} {text}")
    changes = min(len(free), text.count(" ") // A_CHANGE)
    return [text, *(_changed(text, sorted(dice.sample(free, changes)), dice) for _ in range(count - 1))][:count]


def _changed(text, places, dice):
    for start, end in reversed(places):
        text = text[:start] + dice.choice(FILLERS) + text[end:]
    return text
