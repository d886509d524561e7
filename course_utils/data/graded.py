"""Graded reviews: what share of people gives each of nine grades? The task of the adapter notebooks.

The model reads a review and a question and puts a probability on each digit; the panel's ratings, −4 … +4, are the
digits 1 … 9. A two-way decision would not tell the methods apart: sixteen examples in the prompt already solve it.

    Rate each review from 1, very bad, to 9, very good.

    Review: a gorgeous, witty, seductive movie.
    Rating:␣                                           → p(1) … p(9)

The instruction stands first, so that packed rows share it.

Shapes: B batch, T tokens.
"""

from dataclasses import dataclass

import torch

from course_utils.data import rows as tables
from course_utils.data.dialogue import first_token, need_tokenizer

GRADES = 9
LOWEST = -4  # the rating that digit 1 stands for
INSTRUCTION = "Rate each review from 1, very bad, to 9, very good.\n\n"
QUESTION = "Review: {text}\nRating: "
END = "\n\n"


def shares(ratings):
    """The share of a panel that gave each grade: ratings −4 … +4 → nine numbers that sum to 1."""
    odd = [rating for rating in ratings if rating not in range(LOWEST, LOWEST + GRADES)]
    if odd or not len(ratings):
        raise ValueError(f"Expected at least one rating, each a whole number from -4 to 4, got {ratings}.")
    return [ratings.count(grade + LOWEST) / len(ratings) for grade in range(GRADES)]


def digit_tokens(tokenizer):
    """The token ids of the digits 1 … 9.

    Raises:
        ValueError: a digit takes several tokens.
    """
    need_tokenizer(tokenizer)
    ids = [tokenizer(str(digit), add_special_tokens=False).input_ids for digit in range(1, GRADES + 1)]
    if any(len(digit) != 1 for digit in ids):
        raise ValueError("This tokenizer writes a digit with several tokens; the task needs one token for each grade.")
    return [digit[0] for digit in ids]


def question_tokens(tokenizer, texts):
    """Token ids of each question, up to the place of the digit, without <bos> and instruction."""
    return [tokenizer(QUESTION.format(text=text), add_special_tokens=False).input_ids for text in texts]


def prompt_tokens(tokenizer, examples):
    """Token ids of <bos>, the instruction and answered examples: rows with their mean rating, rounded, as digit."""
    shown = "".join(f"{QUESTION.format(text=row['text'])}{round(row['mean']) - LOWEST + 1}{END}" for row in examples)
    return [*first_token(tokenizer), *tokenizer(INSTRUCTION + shown, add_special_tokens=False).input_ids]


def encode(rows, tokenizer):
    """Rows of `reviews.load` as {"input_ids": <bos>, instruction, question, "shares": nine numbers}, in their order."""
    rows = tables.listed(rows)
    tables.need(rows, ("text", "ratings"))
    for number, row in enumerate(rows):
        tables.text(row, number, "text")
        if not isinstance(row["ratings"], list | tuple):
            raise ValueError(f"Row {number}, column 'ratings' holds {row['ratings']!r}; expected a list of ratings.")
    questions, before = question_tokens(tokenizer, [row["text"] for row in rows]), prompt_tokens(tokenizer, [])
    return [
        {"input_ids": [*before, *question], "shares": shares(list(row["ratings"]))}
        for question, row in zip(questions, rows, strict=True)
    ]


@dataclass(frozen=True)
class GradedCollator:
    """Pads encoded rows on the right into one batch. pad_id: the tokenizer's pad token."""

    pad_id: int
    columns = ("input_ids", "shares")

    def __call__(self, rows):
        """Rows to {"input_ids": (B, T) int64, "mask": (B, T) bool, "shares": (B, 9) float32}, mask True at tokens."""
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        longest = int(lengths.max())
        padded = [row["input_ids"] + [self.pad_id] * (longest - len(row["input_ids"])) for row in rows]
        return {
            "input_ids": torch.tensor(padded),
            "mask": torch.arange(longest) < lengths[:, None],
            "shares": torch.tensor([row["shares"] for row in rows]),
        }
