"""Measures over words, by hand; what each of them cannot see."""

import pytest

from course_utils.judging import text_measures


@pytest.mark.parametrize(("one", "two", "common"), [
    ("abcd", "abcd", 4), ("abcd", "dcba", 1), ("abcbd", "acd", 3), ("", "abc", 0), ("xyz", "abc", 0), ("aab", "aba", 2),
])  # fmt: skip
def test_longest_common_subsequence(one, two, common):
    assert text_measures.common_length(list(one), list(two)) == common


def test_rouge_takes_the_best_reference_and_order_counts():
    assert text_measures.rouge_l("The film is good", ["the film is bad", "the film"]) == pytest.approx(0.75)
    assert text_measures.rouge_l("good is film the", ["the film is good"]) == pytest.approx(0.25)
    assert text_measures.rouge_l("", ["the film"]) == 0.0


def test_a_text_that_says_the_opposite_is_as_near():
    person = "the film is not bad"
    assert text_measures.rouge_l("the film is bad", [person]) > text_measures.rouge_l("I liked it", [person])


def test_exact_match_and_the_next_word():
    assert text_measures.exact_match("A film!", ["a film", "b"]) == 1.0
    assert text_measures.exact_match("a films", ["a film"]) == 0.0
    assert text_measures.next_word_match("the film is so good", ["the film is so bad"], 3) == 1.0
    assert text_measures.next_word_match("the film is", ["the film is so bad"], 3) == 0.0, "it ends there"


def test_variety_by_hand():
    assert text_measures.distinct(["a b a b", "a b"], 2) == pytest.approx(2 / 4)
    assert text_measures.distinct(["a"], 2) == 0.0
    assert text_measures.self_bleu(["a b c d", "a b c d"]) == pytest.approx(1)
    assert text_measures.self_bleu(["a b c", "x y z"]) == 0.0
    assert 0 < text_measures.self_bleu(["a b c d", "a b x y", "p a b q"]) < 1
    with pytest.raises(ValueError, match="at least two"):
        text_measures.self_bleu(["a"])
