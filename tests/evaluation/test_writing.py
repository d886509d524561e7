"""What counts as right in a written answer, with a sampler that says what the test tells it to."""

import pytest

from course_utils.evaluation import writing
from course_utils.models.sampling import Sample

PAIRS = [(f"q{i}", f"a{i}") for i in range(12)]


class Letters:
    """A tokenizer of one token a letter."""

    eos_token_id = 0

    def __call__(self, text, add_special_tokens=True):
        return type("Encoded", (), {"input_ids": [ord(letter) for letter in text]})()

    def decode(self, tokens, skip_special_tokens=False):
        return "".join(map(chr, tokens))


@pytest.fixture
def asked(monkeypatch):
    """The prompts that reach the sampler, which answers each question with " a" and its number, and goes on."""
    seen = []

    def sample(model, prompts, *, max_new_tokens, temperature, stop_tokens):
        assert temperature == 0 and ord("\n") in stop_tokens
        seen.extend("".join(map(chr, prompt)) for prompt in prompts)
        numbers = [prompt.splitlines()[-1].removeprefix("q").removesuffix(" =>") for prompt in seen]
        texts = [f" a{number}\nq" for number in numbers]
        texts[0] = " wrong"
        return [Sample(tuple(map(ord, text)), True) for text in texts]

    monkeypatch.setattr(writing.sampling, "sample", sample)
    return seen


def test_the_line_up_to_its_end_is_compared_exactly(asked):
    result = writing.exact_match(None, Letters(), PAIRS, shots=2, questions=4)
    assert result.right == (False, True, True, True) and result.share == 0.75
    assert result.written[:2] == (("q8", "wrong"), ("q9", "a9"))


@pytest.mark.parametrize("shots", [0, 2, 8])
def test_questions_are_the_same_however_many_examples_are_shown(asked, shots):
    writing.exact_match(None, Letters(), PAIRS, shots=shots, questions=3)
    shown = "".join(f"q{i} => a{i}\n" for i in range(shots))
    assert asked == [f"{shown}q{i} =>" for i in (8, 9, 10)]


@pytest.mark.parametrize(("shots", "pairs"), [(-1, PAIRS), (9, PAIRS), (2, PAIRS[:8])])
def test_too_many_examples_or_too_few_pairs_are_refused(shots, pairs):
    with pytest.raises(ValueError, match="Expected 0 to 8 examples and more pairs than that"):
        writing.exact_match(None, Letters(), pairs, shots=shots, questions=1)
