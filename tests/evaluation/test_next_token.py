"""A table of trigrams counted by hand, a model's guesses equal to those of its full logits, and bits a byte."""

import math
import random

import pytest
import torch

from course_utils.evaluation import next_token

ROW = [2, 288, 329, 294, 332, 270, 271, 272, 300]


def test_trigrams_by_hand():
    table = next_token.Trigrams([[1, 5, 6], [1, 5, 7], [1, 5, 7], [3, 5, 6], [1, 8]])
    assert table.best == {(): 5, (1,): 5, (3,): 5, (5,): 6, (1, 5): 7, (3, 5): 6}
    assert table.guess([1, 5, 9]) == [5, 7]  # two tokens say 7, where the last one alone would say 6
    assert table.guess([9, 5, 9, 9]) == [5, 6, 5]  # 9 was never met: the most frequent, then what follows 5


def test_a_table_does_not_cross_texts():
    assert next_token.Trigrams([[1, 2], [3, 4]]).best == {(): 2, (1,): 2, (3,): 4}


def test_nothing_before_the_first_token_and_nothing_behind_a_place_is_used():
    assert next_token.contexts([7, 8, 9, 6], 1) == [(7,), ()]
    assert next_token.contexts([7, 8, 9, 6], 3) == [(8, 9), (9,), ()]


@pytest.mark.parametrize("rows", [[], [[]], [[1], [2]]])
def test_texts_without_a_token_to_guess_are_refused(rows):
    with pytest.raises(ValueError, match="none with a token to guess"):
        next_token.Trigrams(rows)


@pytest.mark.parametrize("chunk", [1, 3, 8, 64])
def test_guesses_are_those_of_the_full_logits(tiny_model, chunk):
    best, losses = next_token.guesses(tiny_model, ROW, chunk=chunk)
    with torch.inference_mode():
        logits = tiny_model(torch.tensor([ROW])).logits[0, :-1].float()
    assert best == logits.argmax(-1).tolist()
    expected = -logits.log_softmax(-1)[torch.arange(len(ROW) - 1), ROW[1:]]
    torch.testing.assert_close(losses, expected, atol=1e-4, rtol=1e-4)


def test_the_loss_at_a_place_knows_nothing_of_what_follows(tiny_model):
    _, short = next_token.guesses(tiny_model, ROW[:5])
    _, long = next_token.guesses(tiny_model, ROW)
    torch.testing.assert_close(short, long[:4], atol=1e-4, rtol=1e-4)


def test_no_idea_costs_ln_v(tiny_model):
    torch.nn.init.zeros_(tiny_model.get_output_embeddings().weight)
    _, losses = next_token.guesses(tiny_model, ROW)
    assert losses.tolist() == pytest.approx([math.log(tiny_model.config.vocab_size)] * (len(ROW) - 1), abs=1e-4)


def test_hit_rate_by_hand():
    assert next_token.hit_rate([5, 7, 5, 5], [1, 5, 9, 5, 8]) == 0.5
    assert next_token.hit_rate([5], [1, 5]) == 1.0


@pytest.mark.parametrize(("guessed", "row"), [([], [1]), ([], []), ([1, 2], [1, 2])])
def test_a_hit_rate_needs_a_guess_for_each_token_but_the_first(guessed, row):
    with pytest.raises(ValueError, match=f"got {len(guessed)} for {len(row)} tokens"):
        next_token.hit_rate(guessed, row)


def test_bits_per_byte_by_hand():
    # four tokens of probability 1/4 are 8 bits; "né" and "a" are 4 bytes
    assert next_token.bits_per_byte([math.log(1 / 4)] * 4, ["né", "a"]) == pytest.approx(2)
    assert next_token.bits_per_byte(torch.full((8,), math.log(1 / 256)), ["12345678"]) == pytest.approx(8)
    assert next_token.bits_per_byte([0.0, 0.0], ["", "ab"]) == 0
    assert next_token.bits_per_byte([-math.inf], ["a"]) == math.inf


@pytest.mark.parametrize(
    ("logprobs", "texts", "message"),
    [
        ([-1.0], "text", "put it into a list"),
        ([-1.0], [""], "at least one byte"),
        ([-1.0], [], "at least one byte"),
        ([-1.0, 2.5], ["text"], "at most 0, got 2.500. Are these losses"),
    ],
)
def test_bits_per_byte_of_nothing_and_of_losses_are_refused(logprobs, texts, message):
    with pytest.raises(ValueError, match=message):
        next_token.bits_per_byte(logprobs, texts)


def test_a_compressor_knows_repetition_and_what_came_before():
    letters, rng = "abcdefgh", random.Random(0)
    text = "".join(
        rng.choice(letters) for _ in range(4000)
    )  # 3 bits a character: none needs less, a good one little more
    alone = next_token.compressed_bits(text)
    assert alone % 8 == 0 and 3 * 4000 < alone < 4 * 4000
    assert next_token.compressed_bits(text * 2) < alone + 600
    assert next_token.compressed_bits(text, known=text) < 600
    assert next_token.compressed_bits(text, known=text[::-1]) < alone
