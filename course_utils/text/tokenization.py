"""Byte-pair encoding by hand (Sennrich et al. 2016, on bytes as in Radford et al. 2019): learn merges, encode, decode.

A token is a string of bytes, so any text has tokens and nothing is unknown. Token i < 256 is the byte ALPHABET[i]; each
merge that was learned adds the next one.

Ties. Two pairs that are equally frequent: the one whose tokens were numbered first is merged first, which is what the
Rust library `tokenizers` does; with its numbers of the bytes, GPT-2's, the merges are equal to its own. Others take the
pair that was met first, and after one tie decided differently every later merge may differ. A pair in a row of its own
kind counts at each place, overlapping or not ("aaa" holds "aa" twice), though only one of them can be merged.

Deviation from GPT-2: `re` knows no \\p{L} and no \\p{N}. A letter is what it calls a word character, without "_" and
decimal digits, so that ½ and Ⅷ go with the letters; separators such as \\x1c are white space, as in Python.
"""

import heapq
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

_PRINTED = [*range(33, 127), *range(161, 173), *range(174, 256)]  # GPT-2 numbers these bytes first
ALPHABET = bytes(_PRINTED + [byte for byte in range(256) if byte not in _PRINTED])
_SINGLE = [bytes([byte]) for byte in ALPHABET]
_NUMBER = {byte: number for number, byte in enumerate(ALPHABET)}

# Merges never cross the border of a piece: an English ending, or letters, digits, signs with a space before, or space
PIECE = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
_SPACE = r"\s\x1c-\x1f"
# The same pieces in the regular expressions of `tokenizers`
LIBRARY_PIECE = (
    rf"'(?:[sdmt]|ll|ve|re)| ?[\p{{L}}\p{{Nl}}\p{{No}}]+| ?\p{{Nd}}+| ?[^{_SPACE}\p{{L}}\p{{N}}]+"
    rf"|[{_SPACE}]+(?![^{_SPACE}])|[{_SPACE}]+"
)


def pieces(text):
    """The pieces of a text, as bytes; together they are the text.

    Args:
        text: str, or any bytes: what is no UTF-8 passes through.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return [piece.encode("utf-8", "surrogateescape") for piece in PIECE.findall(text)]


def train(texts, vocabulary):
    """Learn merges: the pair of neighbours that is most frequent in all texts becomes a token, again and again.

    Args:
        texts: an iterable of str; read once, one at a time.
        vocabulary: tokens wanted, the 256 bytes counted in. It may end up smaller when nothing is left to merge.

    Returns:
        list of (bytes, bytes) in the order learned.

    Raises:
        ValueError: fewer than 256 tokens wanted, no text, or one str instead of several.
    """
    _check(texts, vocabulary)
    words = Counter(piece for text in texts for piece in pieces(text))
    if not words:
        raise ValueError("Expected texts to learn merges from, got none with a single character in it.")
    spelled, times = [[_NUMBER[byte] for byte in word] for word in words], list(words.values())
    counts, places = _count_pairs(spelled, times)
    queue = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(queue)
    tokens, merges = list(_SINGLE), []
    while len(tokens) < vocabulary and (pair := _most_frequent(queue, counts)):
        left, right, new = tokens[pair[0]], tokens[pair[1]], len(tokens)
        tokens.append(left + right)
        merges.append((left, right))
        grown = set()
        for place in places.pop(pair):
            spelled[place], changes = _replace(spelled[place], pair, new)
            for neighbours, change in changes:
                counts[neighbours] += change * times[place]
                if change > 0:
                    places[neighbours].add(place)
                    grown.add(neighbours)
        for neighbours in grown:
            heapq.heappush(queue, (-counts[neighbours], neighbours))
    return merges


def _count_pairs(spelled, times):
    """({pair: how often it stands in all texts}, {pair: the words it stands in})."""
    counts, places = Counter(), defaultdict(set)
    for place, word in enumerate(spelled):
        for pair in pairwise(word):
            counts[pair] += times[place]
            places[pair].add(place)
    return counts, places


def _most_frequent(queue, counts):
    """Take the most frequent pair out of the queue, of equals the first by number; None when no pair is left."""
    while queue:
        count, pair = heapq.heappop(queue)
        if count == -counts[pair]:
            return pair if count else None
        heapq.heappush(queue, (-counts[pair], pair))  # its count has changed since it was put in: back, as it is now
    return None


def _replace(word, pair, new):
    """Put `new` for each pair, from left to right.

    Returns:
        (the word, [(pair of neighbours, −1 where it is gone, +1 where it is new)]).
    """
    replaced, changes, place = [], [], 0
    while place < len(word):
        if (word[place], *word[place + 1 : place + 2]) != pair:
            replaced.append(word[place])
            place += 1
            continue
        if replaced:
            changes += [((replaced[-1], pair[0]), -1), ((replaced[-1], new), 1)]
        if place + 2 < len(word):
            changes += [((pair[1], word[place + 2]), -1), ((new, word[place + 2]), 1)]
        replaced.append(new)
        place += 2
    return replaced, changes


def library_train(texts, vocabulary):
    """The same merges learned by `tokenizers`, in Rust: for a corpus too large for `train`.

    Args and Returns as `train`, which also refuses texts without a character.

    Raises:
        ValueError: fewer than 256 tokens wanted, or one str instead of several.
    """
    _check(texts, vocabulary)
    tokenizer = Tokenizer(BPE())
    cut = pre_tokenizers.Split(Regex(LIBRARY_PIECE), "isolated")
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, spell])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    learned = json.loads(tokenizer.to_str())["model"]["merges"]
    byte = dict(zip(sorted(alphabet), ALPHABET, strict=True))  # it writes each byte as a character that prints
    return [tuple(bytes(byte[character] for character in half) for half in merge) for merge in learned]


@dataclass(frozen=True)
class BytePairs:
    """A tokenizer: text to ids and back.

    merges: list of (bytes, bytes), in the order learned.
    """

    merges: list

    def __post_init__(self):
        known = set(_SINGLE)
        for left, right in self.merges:
            if left not in known or right not in known:
                raise ValueError(
                    f"The merge {left!r} + {right!r} has a half that is no byte and that no merge before it makes. "
                    "Expected all merges of train, in their order."
                )
            known.add(left + right)

    @cached_property
    def tokens(self):
        """The bytes of each token, by id."""
        return list(dict.fromkeys([*_SINGLE, *(left + right for left, right in self.merges)]))

    @cached_property
    def _ranks(self):
        """{pair of ids: (rank, id of the token that it makes)}."""
        number = {token: number for number, token in enumerate(self.tokens)}
        return {
            (number[left], number[right]): (rank, number[left + right])
            for rank, (left, right) in enumerate(self.merges)
        }

    @cached_property
    def _known(self):
        """{piece: its ids}, filled as pieces are met."""
        return {}

    def encode(self, text):
        """The ids of a text, a list of int. text: str, or any bytes."""
        ids = []
        for piece in pieces(text):
            if piece not in self._known:
                self._known[piece] = self._merge([_NUMBER[byte] for byte in piece])
            ids += self._known[piece]
        return ids

    def _merge(self, ids):
        """Merge one piece: of all neighbours that may merge, the pair learned first, at its leftmost place."""
        before, after = list(range(-1, len(ids) - 1)), list(range(1, len(ids) + 1))
        waiting = []

        def consider(left, right):
            if left >= 0 and right < len(ids) and (found := self._ranks.get((ids[left], ids[right]))):
                heapq.heappush(waiting, (found[0], left, ids[left], ids[right], found[1]))

        for right in range(1, len(ids)):
            consider(right - 1, right)
        while waiting:
            _, left, *pair, new = heapq.heappop(waiting)
            right = after[left]
            if right == len(ids) or [ids[left], ids[right]] != pair:
                continue  # one of the two has merged with its other neighbour meanwhile
            ids[left], ids[right] = new, None
            after[left] = after[right]
            if after[left] < len(ids):
                before[after[left]] = left
            consider(before[left], left)
            consider(left, after[left])
        return [token for token in ids if token is not None]

    def decode(self, ids):
        """The bytes of tokens; for a whole text, `.decode()` makes them str.

        Raises:
            ValueError: an id outside the vocabulary.
        """
        outside = sorted({token for token in ids if not 0 <= token < len(self.tokens)})
        if outside:
            raise ValueError(
                f"Expected ids from 0 to {len(self.tokens) - 1}, got {outside[:5]}. Were these ids made by another "
                "tokenizer, or learned with another vocabulary?"
            )
        return b"".join(self.tokens[token] for token in ids)


@dataclass(frozen=True)
class Lengths:
    """How long a text is, in three units."""

    bytes: int
    characters: int
    tokens: int


def lengths(text, encode):
    """Count a text's UTF-8 bytes, its characters (code points) and its tokens.

    Args:
        text: str.
        encode: any function from a text to a sequence of tokens.
    """
    return Lengths(len(text.encode("utf-8")), len(text), len(encode(text)))


def _check(texts, vocabulary):
    if isinstance(texts, str | bytes):
        raise ValueError("Expected several texts, got a single one; put it into a list: [text].")
    if vocabulary < len(ALPHABET):
        raise ValueError(
            f"Expected a vocabulary of at least 256 tokens, got {vocabulary}: every byte is a token, so that any text "
            "can be written. Merges come on top."
        )
