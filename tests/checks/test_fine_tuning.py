"""The checkers accept the solutions that the notebook folds away, and no plausible slip."""

import numpy as np
import pytest
import torch

from course_utils.checks import fine_tuning as check

START = ["<start_of_turn>", "model", "\n"]


def right_mask(tokens):
    mask, learning = [], False
    for place, token in enumerate(tokens):
        mask.append(learning)
        if tokens[max(place - 2, 0) : place + 1] == START:
            learning = True
        elif token == "<end_of_turn>":
            learning = False
    return mask


def without_the_end(tokens):
    return [counts and token != "<end_of_turn>" for token, counts in zip(tokens, right_mask(tokens), strict=True)]


def only_the_last_answer(tokens):
    last = max(place for place in range(len(tokens)) if tokens[place : place + 3] == START)
    return [counts and place > last for place, counts in enumerate(right_mask(tokens))]


def after_the_word_model(tokens):
    mask, learning = [], False
    for place, token in enumerate(tokens):
        mask.append(learning)
        if token == "\n" and tokens[place - 1].strip() == "model":
            learning = True
        elif token == "<end_of_turn>":
            learning = False
    return mask


def after_the_words_model(tokens):
    """Right unless the user writes the word and a line's end: the mark of the turn is not looked at."""
    mask, learning = [], False
    for place, token in enumerate(tokens):
        mask.append(learning)
        learning = token != "<end_of_turn>" and (learning or tokens[max(place - 1, 0) : place + 1] == START[1:])
    return mask


def until_the_line_ends(tokens):
    """Right unless an answer has a second line."""
    mask = right_mask(tokens)
    return [m and "\n" not in tokens[_start(tokens, place) : place] for place, m in enumerate(mask)]


def until_the_user(tokens):
    """Right unless the answer has the word "user" in it."""
    mask = right_mask(tokens)
    return [m and "user" not in tokens[_start(tokens, place) : place + 1] for place, m in enumerate(mask)]


def _start(tokens, place):
    starts = [start + 3 for start in range(place) if tokens[start : start + 3] == START]
    return max(starts, default=0)


def by_index(tokens):
    """Right where a model's turn comes; raises where none does."""
    tokens.index("model") if START[0] in tokens[2:] else tokens.index("nothing")
    return right_mask(tokens)


@pytest.mark.parametrize("hold", [list, tuple, np.array, torch.tensor, lambda mask: torch.tensor(mask).int(), iter])
def test_the_solution_passes(hold, capsys):
    assert check.check_mask(lambda tokens: hold(right_mask(tokens)))
    assert capsys.readouterr().out.startswith("✓ right in 5 dialogues: every answer with its end, 29 of 142")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda tokens: ..., "returns nothing yet"),
        (lambda tokens: [True], "one a token; got [True]"),
        (lambda tokens: [True] * len(tokens), "'<bos>' behind '', is learned"),
        (without_the_end, "Without it the model never stops"),
        (only_the_last_answer, "belongs to an answer, but is not learned"),
        (after_the_words_model, "token 6, 'user' behind 'model\\n', is learned"),
        (until_the_line_ends, "belongs to an answer, but is not learned"),
        (until_the_user, "belongs to an answer, but is not learned"),
        (by_index, "raised ValueError"),
        (lambda tokens: ["False"] * len(tokens), "expected a list of"),
        (lambda tokens: [0.5] * len(tokens), "expected True or False for each token"),
        (lambda tokens: np.zeros((2, len(tokens))), "one a token"),
        (after_the_word_model, "is learned, but the model is not to say it"),
    ],
)
def test_slips_of_the_mask_are_named(wrong, said, capsys):
    assert not check.check_mask(wrong)
    assert said in capsys.readouterr().out


def answer_loss(logprobs, mask):
    return -sum(value for value, counts in zip(logprobs, mask, strict=True) if counts) / sum(mask)


def in_place(logprobs, mask):
    """Right, and empties the lists that it was given."""
    loss = answer_loss(logprobs, mask)
    logprobs.clear()
    mask.clear()
    return loss


@pytest.mark.parametrize(
    "solution",
    [
        answer_loss,
        in_place,
        lambda logprobs, mask: -logprobs[mask].mean(),
        lambda logprobs, mask: -np.ma.masked_array(logprobs, ~mask).mean(),
        lambda logprobs, mask: -(logprobs * mask).sum() / mask.sum(),
        lambda logprobs, mask: -torch.tensor(logprobs)[torch.tensor(mask)].mean(),
    ],
)
def test_the_loss_on_the_answer_passes_in_any_form(solution, capsys):
    assert check.check_answer_loss(solution)
    assert "✓ right: 1.5 nats a token where the mean over all would be 3.25" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda logprobs, mask: ..., "returns nothing yet"),
        (lambda logprobs, mask: -sum(logprobs) / len(logprobs), "The mask has no effect yet"),
        (lambda logprobs, mask: answer_loss(logprobs, mask) * sum(mask) / len(mask), "You divide by all tokens"),
        (lambda logprobs, mask: -answer_loss(logprobs, mask), "turn the sign"),
        (lambda logprobs, mask: answer_loss(logprobs, mask) * sum(mask), "That is the sum"),
        (lambda logprobs, mask: answer_loss(logprobs, [not m for m in mask]), "over the tokens that count"),
        (lambda logprobs, mask: -logprobs[mask.bool()].mean() * 3, "over the tokens that count"),
    ],
)
def test_slips_of_the_loss_are_named(wrong, said, capsys):
    assert not check.check_answer_loss(wrong)
    assert said in capsys.readouterr().out
