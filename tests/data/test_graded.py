import pytest
import torch

from course_utils.data import graded

ROWS = [
    {"text": "a good film", "ratings": [2, 2, 4, -1], "mean": 1.75},
    {"text": "the movie is bad and bad", "ratings": [-4], "mean": -4.0},
]


def test_shares_by_hand():
    assert graded.shares([2, 2, 4, -1]) == [0, 0, 0, 0.25, 0, 0, 0.5, 0, 0.25]
    assert graded.shares([-4]) == [1] + [0] * 8


@pytest.mark.parametrize("wrong", [[], [5], [0.5], [-5, 0]])
def test_other_ratings_are_refused(wrong):
    with pytest.raises(ValueError, match="a whole number from -4 to 4"):
        graded.shares(wrong)


def test_a_question_ends_where_the_digit_stands(tiny_tokenizer):
    digits = graded.digit_tokens(tiny_tokenizer)
    assert len(set(digits)) == 9
    row = graded.encode(ROWS, tiny_tokenizer)[0]
    assert row["input_ids"][0] == tiny_tokenizer.bos_token_id
    text = tiny_tokenizer.decode([*row["input_ids"][1:], digits[6]])
    assert text == graded.INSTRUCTION + "Review: a good film\nRating: 7"
    whole = tiny_tokenizer(text, add_special_tokens=False).input_ids
    assert whole == [*row["input_ids"][1:], digits[6]], "as in a text where the digit stands already"


def test_examples_are_shown_with_the_rounded_mean(tiny_tokenizer):
    text = tiny_tokenizer.decode(graded.prompt_tokens(tiny_tokenizer, ROWS)[1:])
    assert text.startswith(graded.INSTRUCTION + "Review: a good film\nRating: 7\n\nReview: the") and text.endswith(
        ": 1\n\n"
    )
    nothing = tiny_tokenizer.decode(graded.prompt_tokens(tiny_tokenizer, [])[1:])
    assert nothing == graded.INSTRUCTION


def test_a_batch_is_padded_on_the_right(tiny_tokenizer):
    rows = graded.encode(ROWS, tiny_tokenizer)
    batch = graded.GradedCollator(0)(rows)
    lengths = [len(row["input_ids"]) for row in rows]
    assert batch["mask"].sum(dim=1).tolist() == lengths and batch["input_ids"].shape == (2, max(lengths))
    assert batch["input_ids"][0, : lengths[0]].tolist() == rows[0]["input_ids"]
    assert batch["shares"].dtype == torch.float32 and batch["shares"].sum(dim=1).tolist() == [1, 1]


def test_a_digit_of_several_tokens_is_refused():
    class Spelled:
        def __call__(self, text, **_):
            return type("Made", (), {"input_ids": [1, 2]})

    with pytest.raises(ValueError, match="a digit with several tokens"):
        graded.digit_tokens(Spelled())
