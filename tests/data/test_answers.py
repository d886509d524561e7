import pytest

from course_utils.data import instructions
from course_utils.data.answers import Turns


@pytest.fixture
def turns(tiny_tokenizer):
    return Turns.of(tiny_tokenizer)


def test_prompt_and_answer_are_the_tokens_of_the_whole_dialogue(turns, tiny_tokenizer):
    row = {"prompt": "is the film good?", "answer": "yes, a great film."}
    ids, mask = instructions.encode_dialogue(instructions.dialogue(row), tiny_tokenizer)
    last = max(place for place, said in enumerate(mask) if said)
    assert [*turns.prompt(row["prompt"]), *turns.answer(row["answer"], 99)] == ids[: last + 1]
    assert turns.end == tiny_tokenizer.convert_tokens_to_ids("<end_of_turn>")


def test_a_long_answer_is_cut_and_loses_its_end(turns):
    whole = turns.answer("a great film", 99)
    assert whole[-1] == turns.end and turns.answer("a great film", len(whole)) == whole
    assert turns.answer("a great film", len(whole) - 1) == whole[:-1]


def test_an_answer_that_was_cut_off_has_no_end(turns):
    whole = turns.answer("a great film", 99)
    assert turns.answer("a great film", 99, ended=False) == whole[:-1]
    assert turns.answer("a great film", 2, ended=False) == turns.answer("a great film", 2) == whole[:2]


TEXTS = [" ".join(["the film is good"] * (1 + number % 5)) + " yes" * (number % 7) for number in range(400)]
TEXTS = [f"{text} a{number}" for number, text in enumerate(TEXTS)]


def test_a_share_of_the_texts_that_fit_is_cut_by_the_seed_alone(turns):
    """At least half of the words stay; a text too long, and a share of 0, are as a sampler cuts them."""
    limit, ends = 24, {}
    for seed in (0, 1):
        for text in TEXTS:
            whole, learned = turns.answer(text, limit), turns.learned(text, limit, cut_share=0.25, seed=seed)
            assert learned == turns.learned(text, limit, cut_share=0.25, seed=seed) == whole[: len(learned)]
            assert turns.learned(text, limit, cut_share=0.0) == whole
            if whole[-1] == turns.end:
                ends.setdefault(seed, []).append(learned[-1] == turns.end)
                assert learned == whole or (len(whole) - 1) / 2 <= len(learned) < len(whole)
            else:
                assert learned == whole
    assert all(0.65 < sum(found) / len(found) < 0.85 for found in ends.values()) and ends[0] != ends[1]
    kept = [len(turns.learned(text, 99, cut_share=1.0)) / (len(turns.answer(text, 99)) - 1) for text in TEXTS]
    assert max(kept) > 0.9 and sum(kept) / len(kept) > 0.6, "cut anywhere in the second half"


def test_whether_a_text_is_cut_says_nothing_about_its_place_in_a_pair(turns):
    """Drawn for each text alone: pairs with none, one and two cut texts occur, the better one cut as often."""
    cut = [turns.learned(text, 99, cut_share=0.5)[-1] != turns.end for text in TEXTS]
    better, worse = cut[::2], cut[1::2]
    both = [sum(pair) for pair in zip(better, worse, strict=True)]
    assert min(both.count(number) for number in (0, 1, 2)) > 25 and abs(sum(better) - sum(worse)) < 30


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(turns, share):
    with pytest.raises(ValueError, match=r"cut_share is .*; expected a share from 0 \(whole texts\) to 1 \(all cut\)"):
        turns.learned("a film", 9, cut_share=share)


def test_an_opening_is_the_beginning_of_the_answer(turns):
    whole = [*turns.prompt("hello"), *turns.answer("the film is good", 99)]
    begun = turns.prompt("hello", "the film")
    assert whole[: len(begun)] == begun and len(begun) > len(turns.prompt("hello"))
    assert turns.text(whole[len(turns.prompt("hello")) :]) == "the film is good"


def test_an_empty_prompt_is_refused(turns):
    with pytest.raises(ValueError, match="at least one visible character, got an empty one"):
        turns.prompt("  \n")
