"""Examples are drawn balanced and repeatably, and a prompt is exactly what it says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.data import prompts

POOL = [prompts.Example(f"review {n}", int(n % 3 == 0)) for n in range(90)]  # 30 positive, 60 negative
TEMPLATE = prompts.Template("{text} is", (" bad", " good"), end="\n")
quickly = settings(deadline=None, max_examples=60)


def positives(examples):
    return sum(example.label for example in examples)


def test_an_example_as_text():
    assert TEMPLATE.example("the {film}", prompts.POSITIVE) == "the {film} is good\n"
    assert TEMPLATE.with_words(" no", " yes").example("it", prompts.NEGATIVE) == "it is no\n"
    assert TEMPLATE.with_words(" no", " yes").question == TEMPLATE.question


@pytest.mark.parametrize(
    ("question", "words", "says"),
    [("text =>", (" a", " b"), "no place for the review"), ("{text} =>", ("a", " b"), "start with a space")],
)
def test_a_template_that_cannot_work_is_refused(question, words, says):
    with pytest.raises(ValueError, match=says):
        prompts.Template(question, words)


@pytest.mark.parametrize(("mean", "label"), [(-4, 0), (-0.1, 0), (0.1, 1), (4, 1)])
def test_the_side_of_a_mean(mean, label):
    assert prompts.label_of(mean) == label


@quickly
@given(st.integers(0, 40), st.integers())
def test_draws_are_balanced_distinct_and_repeatable(shots, seed):
    drawn = prompts.draw_examples(POOL, shots, seed=seed)
    assert len(drawn) == len(set(drawn)) == shots
    assert set(drawn) <= set(POOL)
    assert abs(2 * positives(drawn) - shots) == shots % 2
    assert drawn == prompts.draw_examples(POOL, shots, seed=seed)


def test_draws_differ_by_seed_and_are_mixed():
    draws = [tuple(prompts.draw_examples(POOL, 16, seed=seed)) for seed in range(40)]
    assert len(set(draws)) == 40
    assert 8 < sum(draw[-1].label for draw in draws) < 32, "neither label always comes last"
    odd = [positives(prompts.draw_examples(POOL, 1, seed=seed)) for seed in range(40)]
    assert 8 < sum(odd) < 32, "neither label always gets the odd one"


@quickly
@given(st.integers(0, 16))
def test_draws_are_unbalanced_on_purpose(count):
    assert positives(prompts.draw_examples(POOL, 16, seed=0, positives=count)) == count


@pytest.mark.parametrize(("shots", "count"), [(80, None), (16, 17), (16, -1), (-2, None)])
def test_a_draw_that_does_not_exist_is_refused(shots, count):
    with pytest.raises(ValueError, match=f"Cannot draw .*shots={shots}"):
        prompts.draw_examples(POOL, shots, seed=0, positives=count)


@quickly
@given(st.integers(0, 30), st.floats(0, 1), st.integers())
def test_a_share_of_the_labels_is_turned(shots, share, seed):
    examples = prompts.draw_examples(POOL, shots, seed=0)
    turned = prompts.flip_labels(examples, share, seed=seed)
    assert [example.text for example in turned] == [example.text for example in examples]
    assert sum(a.label != b.label for a, b in zip(examples, turned, strict=True)) == round(share * shots)
    assert turned == prompts.flip_labels(examples, share, seed=seed)
    assert prompts.flip_labels(prompts.flip_labels(examples, 1, seed=1), 1, seed=2) == examples


def test_which_labels_are_turned_differs_by_seed():
    examples = prompts.draw_examples(POOL, 16, seed=0)
    assert len({tuple(prompts.flip_labels(examples, 0.5, seed=seed)) for seed in range(20)}) > 15


@pytest.mark.parametrize("share", [-0.1, 1.1, 50])
def test_a_percentage_is_no_share(share):
    with pytest.raises(ValueError, match="Is it a percentage"):
        prompts.flip_labels(POOL[:4], share, seed=0)


def test_a_prompt_is_bos_the_examples_and_nothing_else(tiny_tokenizer):
    examples = [prompts.Example("the film", 1), prompts.Example("a movie", 0)]
    tokens = prompts.prompt_tokens(tiny_tokenizer, TEMPLATE, examples)
    assert tokens[0] == tiny_tokenizer.bos_token_id and tokens.count(tiny_tokenizer.bos_token_id) == 1
    assert tiny_tokenizer.decode(tokens[1:]) == "the film is good\na movie is bad\n"
    assert prompts.prompt_tokens(tiny_tokenizer, TEMPLATE, []) == [tiny_tokenizer.bos_token_id]


def test_a_question_stops_where_the_label_word_would_stand(tiny_tokenizer):
    (question,) = prompts.question_tokens(tiny_tokenizer, TEMPLATE, ["the film"])
    assert tiny_tokenizer.bos_token_id not in question
    (word,) = {prompts.word_tokens(tiny_tokenizer, TEMPLATE)[1]}
    assert tiny_tokenizer.decode([*question, word]) == "the film is good"


def test_prompt_question_and_word_are_the_tokens_of_the_whole_text(tiny_tokenizer):
    examples = [prompts.Example("the film", 1), prompts.Example("a movie", 0)]
    pieces = prompts.prompt_tokens(tiny_tokenizer, TEMPLATE, examples)
    pieces += prompts.question_tokens(tiny_tokenizer, TEMPLATE, ["hello world"])[0]
    pieces.append(prompts.word_tokens(tiny_tokenizer, TEMPLATE)[0])
    assert pieces == tiny_tokenizer("the film is good\na movie is bad\nhello world is bad").input_ids


def test_label_words_are_one_token_each_and_differ(tiny_tokenizer):
    ids = prompts.word_tokens(tiny_tokenizer, TEMPLATE)
    assert [tiny_tokenizer.convert_ids_to_tokens(i) for i in ids] == ["▁bad", "▁good"]
    with pytest.raises(ValueError, match="one token each and differ; tokens of ' bad': 1"):
        prompts.word_tokens(tiny_tokenizer, TEMPLATE.with_words(" bad", " good world"))
    with pytest.raises(ValueError, match="two different label words"):
        TEMPLATE.with_words(" good", " good")


def test_an_instruction_stands_once_before_everything(tiny_tokenizer):
    said = prompts.Template(TEMPLATE.question, TEMPLATE.words, TEMPLATE.end, instruction="hello world ")
    first, *tokens = prompts.prompt_tokens(tiny_tokenizer, said, POOL[:2])
    whole = "hello world " + "".join(TEMPLATE.example(e.text, e.label) for e in POOL[:2])
    assert first == tiny_tokenizer.bos_token_id
    assert tokens == tiny_tokenizer(whole, add_special_tokens=False).input_ids
    assert len(prompts.prompt_tokens(tiny_tokenizer, TEMPLATE, [])) == 1
