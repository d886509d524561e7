"""Decoding that cannot leave a grammar: at each step only words are drawn that the grammar can go on from.

A grammar here is one JSON object: fixed fields in a fixed order, each with a kind of value, written as `json.dumps`
does. So each trap of the general case is shut: white space is fixed, since a grammar that allows any runs on to the
token limit; numbers and texts have a longest length, so that an answer is whole when the budget ends; everything is
followed byte by byte, since a token may cross two symbols or hold half a letter.

    state = (number of the piece, place inside the piece);  a word is allowed when all its bytes can be stepped through

Deviation from libraries (llguidance, outlines): they compile any regular expression; this walks the tree of all words
once for each state that occurs and keeps what it found.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property

import torch

PLAIN = frozenset(map(chr, range(32, 127))) - {'"', "\\"}  # what stands inside a JSON text without an escape


def _bytes(text):
    """A text as one letter a byte, so that tokens of half letters can be followed."""
    return text.encode("utf-8").decode("latin-1")


@dataclass(frozen=True)
class Choice:
    """One of several texts, in quotation marks.

    options: none may hold a quotation mark or a backslash.
    """

    options: tuple[str, ...]

    def __post_init__(self):
        if not self.options or any('"' in option or "\\" in option for option in self.options):
            raise ValueError(f"Expected texts without quotation marks and backslashes, got {self.options!r}.")

    @cached_property
    def _written(self):
        return tuple(_bytes(f'"{option}"') for option in self.options)

    begin = ""

    def step(self, place, byte):
        """The place behind one more byte, None when no option goes on so."""
        return place + byte if any(option.startswith(place + byte) for option in self._written) else None

    def done(self, place):
        """True where the value may end."""
        return place in self._written

    @property
    def longest(self):
        return max(map(len, self._written))

    @property
    def pattern(self):
        return '"(' + "|".join(map(re.escape, self.options)) + ')"'

    def holds(self, value):
        """True for a parsed value of this kind."""
        return value in self.options


@dataclass(frozen=True)
class Number:
    """A whole number from 0 on, of at most so many digits, without a leading zero."""

    digits: int

    begin = (0, False)  # digits so far, whether the first was a zero

    def step(self, place, byte):
        """The place behind one more digit, None when there may be none."""
        (count, zero), digit = place, byte in "0123456789"
        return (count + 1, count == 0 and byte == "0") if digit and count < self.digits and not zero else None

    def done(self, place):
        """True where the value may end."""
        return place[0] > 0

    @property
    def longest(self):
        return self.digits

    @property
    def pattern(self):
        return f"(0|[1-9][0-9]{{0,{self.digits - 1}}})"

    def holds(self, value):
        """True for a parsed value of this kind."""
        return type(value) is int and 0 <= value < 10**self.digits


@dataclass(frozen=True)
class Text:
    """Any text of at most so many letters, digits, spaces and marks of ASCII, in quotation marks."""

    most: int

    begin = -1  # letters so far; −1 before the first quotation mark, most + 1 behind the second

    def step(self, place, byte):
        """The place behind one more letter, None when there may be none."""
        if byte == '"':
            return {-1: 0, self.most + 1: None}.get(place, self.most + 1)
        return place + 1 if byte in PLAIN and 0 <= place < self.most else None

    def done(self, place):
        """True where the value may end."""
        return place == self.most + 1

    @property
    def longest(self):
        return self.most + 2

    @property
    def pattern(self):
        return f'"[ !#-\\[\\]-~]{{0,{self.most}}}"'

    def holds(self, value):
        """True for a parsed value of this kind."""
        return isinstance(value, str) and len(value) <= self.most


@dataclass(frozen=True)
class _Fixed:
    """Text that stands there whatever the values are."""

    text: str

    begin = 0

    @cached_property
    def _written(self):
        return _bytes(self.text)

    def step(self, place, byte):
        return place + 1 if self._written[place : place + 1] == byte else None

    def done(self, place):
        return place == len(self._written)

    @property
    def longest(self):
        return len(self._written)

    @property
    def pattern(self):
        return re.escape(self.text)


class JSONObject:
    """The grammar of one JSON object.

    Args:
        fields: {name: Choice, Number or Text}, in the order in which they are written.

    Raises:
        ValueError: no field.
    """

    def __init__(self, fields):
        if not fields:
            raise ValueError("An object without fields says nothing. Give at least one: {'answer': Choice(…)}.")
        self.fields, self.pieces = dict(fields), []
        for number, (name, kind) in enumerate(fields.items()):
            self.pieces += [_Fixed(("{" if number == 0 else ", ") + json.dumps(name, ensure_ascii=False) + ": "), kind]
        self.pieces.append(_Fixed("}"))

    @property
    def start(self):
        """The state before the first byte."""
        return 0, self.pieces[0].begin

    def step(self, state, byte):
        """The state behind one more byte, None when the grammar does not allow it."""
        number, place = state
        if (after := self.pieces[number].step(place, byte)) is not None:
            return number, after
        if self.ended(state) or not self.pieces[number].done(place):
            return None
        return self.step((number + 1, self.pieces[number + 1].begin), byte)

    def ended(self, state):
        """True where the object is whole."""
        return state[0] == len(self.pieces) - 1 and self.pieces[-1].done(state[1])

    @property
    def longest(self):
        """Bytes of the longest object; with so many tokens and one to stop, an answer is whole whatever is drawn."""
        return sum(piece.longest for piece in self.pieces)

    @property
    def pattern(self):
        """The same language as a regular expression, for libraries."""
        return "".join(piece.pattern for piece in self.pieces)

    def read(self, text):
        """The object that a text is as a whole, or None: it does not parse, or has other fields or kinds of value."""
        try:
            value = json.loads(text)
        except ValueError:
            return None
        whole = isinstance(value, dict) and set(value) == set(self.fields)
        return value if whole and all(kind.holds(value[name]) for name, kind in self.fields.items()) else None


def token_bytes(tokenizer):
    """What each token writes, one letter a byte; None for tokens that write nothing, such as <bos>.

    Args:
        tokenizer: a fast one, of GPT-2's kind (bytes as letters) or of Gemma's (▁ for a space, <0x0A> for a byte).

    Returns:
        A list, one entry for each id.
    """
    words = tokenizer.get_vocab()
    written, silent = [None] * (max(words.values()) + 1), {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    letters = _letters() if "ByteLevel" in str(tokenizer.backend_tokenizer.decoder) else None
    for word, index in words.items():
        if index in silent:
            continue
        if letters:
            written[index] = "".join(letters[letter] for letter in word)
        elif found := re.fullmatch("<0x([0-9A-F]{2})>", word):
            written[index] = chr(int(found[1], 16))
        else:
            written[index] = _bytes(word.replace("▁", " "))
    return written


def _letters():
    """GPT-2's letters for bytes, turned round: printable bytes stand for themselves, the others from U+0100 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    return {chr(byte): chr(byte) for byte in plain} | {chr(256 + n): chr(byte) for n, byte in enumerate(others)}


class Constraint:
    """A grammar over one tokenizer's words; give it to `sampling.sample` as `reshape`.

    Args:
        grammar: a JSONObject.
        tokenizer: as `token_bytes` takes it.
        stop_tokens: ids that may be drawn when the object is whole, and only then.
    """

    def __init__(self, grammar, tokenizer, stop_tokens):
        self.grammar, self.written, self.stops = grammar, token_bytes(tokenizer), tuple(stop_tokens)
        self.tree, self.known = {}, {}
        for index, word in enumerate(self.written):
            if word:
                node = self.tree
                for byte in word:
                    node = node.setdefault(byte, {})
                node.setdefault("", []).append(index)

    def allowed(self, state):
        """Ids of the words that may come in a state, sorted."""
        if state not in self.known:
            found = list(self.stops) if self.grammar.ended(state) else []
            waiting = [(self.tree, state)]
            while waiting:
                node, at = waiting.pop()
                found += node.get("", ())
                for byte, below in node.items():
                    if byte and (after := self.grammar.step(at, byte)) is not None:
                        waiting.append((below, after))
            self.known[state] = torch.tensor(sorted(found))
        return self.known[state]

    def state_after(self, tokens):
        """The state behind tokens.

        Raises:
            ValueError: a token that the grammar did not allow there.
        """
        state = self.grammar.start
        for place, token in enumerate(tokens):
            for byte in self.written[token] or "\0":
                state = self.grammar.step(state, byte)
                if state is None:
                    raise ValueError(f"Token {token} at place {place} leaves the grammar.")
        return state

    def __call__(self, logits, written):
        """(B, V) logits with −∞ for all that the grammar forbids behind B lists of tokens, without the prompt."""
        shaped = torch.full_like(logits, -torch.inf)
        for row, tokens in enumerate(written):
            words = self.allowed(self.state_after(tokens)).to(logits.device)
            shaped[row, words] = logits[row, words]
        return shaped
