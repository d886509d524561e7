"""The checkers accept the solutions that the notebook folds away, and no plausible slip."""

import pytest

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


def test_the_solution_passes(capsys):
    assert check.check_mask(right_mask)
    assert capsys.readouterr().out.startswith("✓ right: both answers with their ends")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda tokens: ..., "returns nothing yet"),
        (lambda tokens: [True], "one a token; got [True]"),
        (lambda tokens: [True] * len(tokens), "'<bos>' behind '', is learned"),
        (without_the_end, "Without it the model never stops"),
        (only_the_last_answer, "belongs to an answer, but is not learned"),
        (after_the_word_model, "is learned, but the model is not to say it"),
    ],
)
def test_slips_of_the_mask_are_named(wrong, said, capsys):
    assert not check.check_mask(wrong)
    assert said in capsys.readouterr().out


def answer_loss(logprobs, mask):
    return -sum(value for value, counts in zip(logprobs, mask, strict=True) if counts) / sum(mask)


def test_the_loss_on_the_answer_passes():
    assert check.check_answer_loss(answer_loss)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda logprobs, mask: ..., "returns nothing yet"),
        (lambda logprobs, mask: -sum(logprobs) / len(logprobs), "The mask has no effect yet"),
        (lambda logprobs, mask: answer_loss(logprobs, mask) * sum(mask) / len(mask), "You divide by all tokens"),
        (lambda logprobs, mask: -answer_loss(logprobs, mask), "turn the sign"),
    ],
)
def test_slips_of_the_loss_are_named(wrong, said, capsys):
    assert not check.check_answer_loss(wrong)
    assert said in capsys.readouterr().out
