"""Merges learned by hand are those of `tokenizers`, ids as well, and any bytes come back as they were."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE

from course_utils.text import tokenization

# Rows of one letter, ties, scripts, half a surrogate's worth of signs, and all that white space can be
WRITTEN = "aaab bc  \n\t\u00a0\x1c\x85'stll9½Ⅷ_-=é한글ไทย漢字й🙂\u0301"
TEXTS = st.lists(st.text(st.sampled_from(WRITTEN), max_size=40), min_size=1, max_size=6).filter(any)
CORPUS = [
    "the cat sat on the mat, the cat's hat; thethe",
    "aaaa aaaaaaa aa",
    "def f(x):\n    return x  # 2024 2025\n",
    "한국어 한국 é½",
]


def library(merges):
    """`tokenizers` with these merges, to encode with."""
    characters = dict(zip(tokenization.ALPHABET, sorted(pre_tokenizers.ByteLevel.alphabet()), strict=True))
    written = [tuple("".join(characters[byte] for byte in half) for half in merge) for merge in merges]
    tokens = [*characters.values(), *(left + right for left, right in written)]
    tokenizer = Tokenizer(BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=written))
    cut = pre_tokenizers.Split(tokenization.Regex(tokenization.LIBRARY_PIECE), "isolated")
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, spell])
    return tokenizer


def slow_train(texts, vocabulary):
    """The definition, word for word: count all pairs anew before each merge."""
    words = [[tokenization.ALPHABET.index(byte) for byte in piece] for t in texts for piece in tokenization.pieces(t)]
    tokens, merges = [bytes([byte]) for byte in tokenization.ALPHABET], []
    while len(tokens) < vocabulary:
        pairs = [pair for word in words for pair in pairwise(word)]
        if not pairs:
            break
        best = min(set(pairs), key=lambda pair: (-pairs.count(pair), pair))
        for word in words:
            for place in range(len(word)):
                if tuple(word[place : place + 2]) == best:
                    word[place : place + 2] = [len(tokens)]
        merges.append((tokens[best[0]], tokens[best[1]]))
        tokens.append(b"".join(merges[-1]))
    return merges


def test_merges_by_hand():
    # "ab" stands 3 times, "bc" and "cd" 2 times: of two equals the one whose bytes come first
    assert tokenization.train(["ab abcd bcd ab".replace(" ", "\n")], 258) == [(b"a", b"b"), (b"c", b"d")]
    assert tokenization.train(["aaaa"], 300) == [(b"a", b"a"), (b"aa", b"aa")]


def test_a_tie_goes_to_the_number_of_the_byte_not_to_its_value():
    # byte 0 is token 188, "z" is token 89
    assert tokenization.train(["\x00\x00", "zz"], 257) == [(b"z", b"z")]
    assert tokenization.train(["yx", "zz", "ab"], 257) == [(b"a", b"b")]


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(256, 300))
def test_merges_are_those_of_tokenizers_and_of_the_definition(texts, vocabulary):
    merges = tokenization.train(texts, vocabulary)
    assert merges == tokenization.library_train(texts, vocabulary) == slow_train(texts, vocabulary)


def test_merges_of_a_longer_text_are_those_of_tokenizers():
    letters, rng = "eeeettaaooinshrdlu  \n'0", random.Random(0)
    texts = ["".join(rng.choice(letters) for _ in range(300)) for _ in range(60)]
    merges = tokenization.train(texts, 900)
    assert len(merges) == 900 - 256
    assert merges == tokenization.library_train(texts, 900)


def test_texts_are_read_one_at_a_time():
    assert tokenization.train((text for text in CORPUS), 300) == tokenization.train(CORPUS, 300)


def test_nothing_left_to_merge_ends_the_training():
    assert tokenization.train(["ab"], 1000) == tokenization.library_train(["ab"], 1000) == [(b"a", b"b")]


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from(WRITTEN), max_size=60))
def test_the_pieces_are_those_of_tokenizers(text):
    cut = pre_tokenizers.Split(tokenization.Regex(tokenization.LIBRARY_PIECE), "isolated")
    assert tokenization.pieces(text) == [piece.encode() for piece, _ in cut.pre_tokenize_str(text)]


def test_pieces_are_gpt_2s():
    text = "It's 3 cats_and  1,000 dogs!?\n\n ok"
    expected = "It|'s| |3| cats|_|and| | |1|,|000| dogs|!?|\n\n| ok".replace(" |3", " 3").replace(" | |1", " | 1")
    assert b"|".join(tokenization.pieces(text)).decode() == expected
    ours = [piece.decode() for piece in tokenization.pieces(text)]
    assert ours == [text[a:b] for _, (a, b) in pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=30).map(str.encode) | st.text("ab t", max_size=60).map(str.encode))
def test_any_bytes_come_back(data):
    tokenizer = tokenization.BytePairs(tokenization.train(CORPUS, 320))
    assert b"".join(tokenization.pieces(data)) == data
    assert tokenizer.decode(tokenizer.encode(data)) == data


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.text(st.sampled_from(WRITTEN), max_size=60))
def test_ids_are_those_of_tokenizers(texts, text):
    merges = tokenization.train(texts, 290)
    tokenizer = tokenization.BytePairs(merges)
    assert tokenizer.encode(text) == library(merges).encode(text).ids
    assert tokenizer.encode(text) == tokenizer.encode(text)  # the second time from what it remembers


def test_merges_are_applied_by_rank_and_not_from_left_to_right():
    tokenizer = tokenization.BytePairs([(b"b", b"c"), (b"a", b"b"), (b"7", b"7"), (b"77", b"7")])
    assert [tokenizer.tokens[token] for token in tokenizer.encode("abc")] == [b"a", b"bc"]
    row = tokenizer.encode("7" * 5001)
    assert [tokenizer.tokens[token] for token in row] == [b"77"] * 2499 + [b"777"]
    assert row == library(tokenizer.merges).encode("7" * 5001).ids


def test_a_piece_of_34_000_letters_takes_no_square_of_its_length():
    tokenizer = tokenization.BytePairs(tokenization.train(CORPUS, 320))
    text = "thecatsatonthemat" * 2000
    assert tokenizer.decode(tokenizer.encode(text)) == text.encode()


def test_what_is_remembered_is_not_handed_out():
    tokenizer = tokenization.BytePairs([(b"a", b"b")])
    tokenizer.encode("ab").append(7)
    assert tokenizer.encode("ab") == [256]


def test_lengths_by_hand():
    assert tokenization.lengths("né한", lambda text: text.split()) == tokenization.Lengths(6, 3, 1)
    assert tokenization.lengths("", list) == tokenization.Lengths(0, 0, 0)


@pytest.mark.parametrize("learn", [tokenization.train, tokenization.library_train])
def test_bad_requests_are_refused_before_any_text_is_read(learn):
    with pytest.raises(ValueError, match=r"at least 256 tokens, got 100: every byte"):
        learn(CORPUS, 100)
    with pytest.raises(ValueError, match=r"put it into a list"):
        learn("one text", 300)


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_no_text_is_refused(texts):
    with pytest.raises(ValueError, match="none with a single character"):
        tokenization.train(texts, 300)


def test_merges_out_of_order_and_foreign_ids_are_refused():
    with pytest.raises(ValueError, match=r"b'ab' \+ b'c' has a half that is no byte"):
        tokenization.BytePairs([(b"ab", b"c"), (b"a", b"b")])
    with pytest.raises(ValueError, match=r"from 0 to 256, got \[-1, 257\]"):
        tokenization.BytePairs([(b"a", b"b")]).decode([0, 257, -1])
