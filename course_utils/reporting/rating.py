"""The reader as one more rater: pairs of texts to choose from, before anybody says what the panel thought.

    mine = rating.Rating(pairs)
    mine.choose(0, "B")         # or by hand, in widgets.pair_rater(mine)
    mine.bars()                 # {"you, 12 pairs": Estimate}, to be drawn beside the others; {} before two are rated

The choices lie among the reader's runs and last. A headless run (`make course`, the tests) rates nothing, and never
reads the reader's choices, so that what it prints does not depend on them.
"""

import itertools
import os
from dataclasses import dataclass, field

import torch

from course_utils import records, runtime
from course_utils.data import rows, splits
from course_utils.evaluation import comparison
from course_utils.reporting.claims import notebook_name

SIDES = ("A", "B")


def path():
    """Where the choices are kept."""
    place = runtime.results() if os.environ.get("COURSE_NOTEBOOK") else runtime.runs()
    return place / "ratings.json"


@dataclass
class Rating:
    """What the reader chose among some pairs. Which text stands left is decided by the pair's ids, so it is fixed."""

    pairs: object  # rows with columns chosen, rejected, chosen_id, rejected_id
    choices: dict = field(default_factory=dict)  # pair's number → "A" or "B"

    def __post_init__(self):
        self.pairs = [dict(pair) for pair in rows.listed(self.pairs)]
        rows.need(self.pairs, ("chosen", "rejected", "chosen_id", "rejected_id"))
        for number, name in itertools.product(range(len(self.pairs)), ("chosen", "rejected")):
            rows.text(self.pairs[number], number, name, marks=())
        kept = {record["id"]: record["choice"] for record in records.read(path(), ("id", "choice"))}
        self.choices = {n: kept[self._id(n)] for n in range(len(self.pairs)) if self._id(n) in kept} | self.choices

    def sides(self, number):
        """(text A, text B) of a pair."""
        texts = (self.pairs[number]["chosen"], self.pairs[number]["rejected"])
        return texts if self._preferred(number) == "A" else texts[::-1]

    def choose(self, number, side):
        """Prefer A or B of a pair; a later choice replaces an earlier one.

        Raises:
            ValueError: no such side, or no such pair.
        """
        if side not in SIDES or not isinstance(number, int) or not 0 <= number < len(self.pairs):
            raise ValueError(
                f"Expected 'A' or 'B' for one of the pairs 0 to {len(self.pairs) - 1}, got {side!r} for {number!r}."
            )
        self.choices[number] = side
        records.replace(path(), {"notebook": notebook_name(), "id": self._id(number), "choice": side})

    @property
    def open(self):
        """The numbers of the pairs without a choice."""
        return [number for number in range(len(self.pairs)) if number not in self.choices]

    @property
    def right(self):
        """(K,) float64 for the K rated pairs: 1 where the reader chose as the panel did, else 0."""
        chosen = sorted(self.choices.items())
        return torch.tensor([float(side == self._preferred(number)) for number, side in chosen], dtype=torch.float64)

    def bars(self):
        """{"you, K pairs": comparison.Estimate}, or nothing when fewer than two pairs are rated."""
        right = self.right
        return {f"you, {len(right)} pairs": comparison.mean_interval(right)} if len(right) > 1 else {}

    def _preferred(self, number):
        return SIDES[splits.stable_number(self._id(number), "side") % 2]

    def _id(self, number):
        return f"{self.pairs[number]['chosen_id']} over {self.pairs[number]['rejected_id']}"
