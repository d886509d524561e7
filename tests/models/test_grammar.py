"""Constrained decoding: what is allowed is what some whole object begins with, and every answer parses."""

import itertools
import json
import re

import pytest
import torch
from transformers import AutoTokenizer

from course_utils.models import base, grammar, sampling
from course_utils.models.grammar import Choice, Constraint, JSONObject, Number, Text

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = JSONObject({"film": Choice(("good", "bad", "no good")), "n": Number(2)})
WHOLE = [json.dumps({"film": film, "n": n}) for film in SMALL.fields["film"].options for n in range(100)]


def walked(language, text):
    """The state behind a text, None when it leaves the grammar."""
    state = language.start
    for byte in text.encode().decode("latin-1"):
        state = state and language.step(state, byte)
    return state


def test_every_object_is_in_the_grammar_as_json_writes_it():
    for text in WHOLE:
        assert SMALL.ended(walked(SMALL, text)) and SMALL.read(text) == json.loads(text)
        assert re.fullmatch(SMALL.pattern, text) and len(text) <= SMALL.longest
    assert max(map(len, WHOLE)) == SMALL.longest


@pytest.mark.parametrize("text", [
    '{"film": "god"', '{"film":"good"', ' {', '{"film": "good", "n": 01', '{"film": "good", "n": 100', '{"n"',
    '{"film": "good", "n": -', '{"film": "good", "n": 1.', '{"film": "good", "n": }', '{"film": "good"}',
    '{"film": good',     '{"film": "good", "n": 1}}', '{"film": "good", "n": 1} ',
])  # fmt: skip
def test_what_no_object_begins_with_is_refused(text):
    assert walked(SMALL, text) is None


def test_texts_have_a_longest_length_and_no_escapes():
    language = JSONObject({"why": Text(3)})
    for text in ('{"why": ""}', '{"why": "a b"}', '{"why": "abc"}'):
        assert language.ended(walked(language, text)) and re.fullmatch(language.pattern, text)
    for text in ('{"why": "abcd', '{"why": "\\', '{"why": "\n', '{"why": "é', '{"why": "a""'):
        assert walked(language, text) is None and not re.fullmatch(language.pattern, text + '"}')
    assert language.longest == len('{"why": "abc"}')


def test_other_letters_in_names_and_choices_are_followed_byte_by_byte():
    language = JSONObject({"영화": Choice(("좋다", "é"))})
    text = json.dumps({"영화": "좋다"}, ensure_ascii=False)
    assert language.ended(walked(language, text)) and language.read(text) == {"영화": "좋다"}
    assert language.longest == len(text.encode())


@pytest.mark.parametrize("text", [
    "", "good", '{"film": "good"}', '{"film": "fine", "n": 1}', '{"film": "good", "n": "1"}',
    '{"film": "good", "n": true}',
        '{"film": "good", "n": 100}', '{"film": "good", "n": 1, "more": 2}', '["film"]', '{"film": "good", "n": 1',
])  # fmt: skip
def test_reading_refuses_what_is_no_such_object(text):
    assert SMALL.read(text) is None


def test_reading_takes_other_white_space_and_order():
    assert SMALL.read('\n{"n":7,"film" : "bad"} ') == {"film": "bad", "n": 7}


def test_impossible_grammars_are_refused():
    with pytest.raises(ValueError, match="without fields"):
        JSONObject({})
    with pytest.raises(ValueError, match="without quotation marks"):
        Choice(('say "yes"',))


# Words


def test_bytes_of_gemmas_words(tiny_tokenizer):
    written = grammar.token_bytes(tiny_tokenizer)
    words = tiny_tokenizer.get_vocab()
    assert written[words["▁film"]] == " film" and written[words["<0xC3>"]] == "\xc3"
    assert (
        written[words["<bos>"]] is None
        and written[words["<end_of_turn>"]] is None
        and written[words["[extra]"]] is None
    )


def test_bytes_of_words_in_gpt2s_manner():
    tokenizer = AutoTokenizer.from_pretrained(base.prepare(brought=base.CHAT))
    written = grammar.token_bytes(tokenizer)
    text = 'Café "한국"\n\t{"a": 1}'
    ids = tokenizer(text).input_ids
    assert "".join(written[index] for index in ids) == text.encode().decode("latin-1")
    assert written[tokenizer.eos_token_id] is None


def test_a_word_is_allowed_where_some_object_goes_on_with_it(tiny_tokenizer):
    stop = tiny_tokenizer.eos_token_id
    constraint = Constraint(SMALL, tiny_tokenizer, [stop])
    for text in (
        "",
        '{"',
        '{"film": ',
        '{"film": "',
        '{"film": "no',
        '{"film": "bad", "n": 1',
        '{"film": "good", "n": 12',
    ):
        rest = {whole[len(text) :] for whole in WHOLE if whole.startswith(text)}
        expected = [
            index for index, word in enumerate(constraint.written) if word and any(r.startswith(word) for r in rest)
        ]
        assert constraint.allowed(walked(SMALL, text)).tolist() == expected and expected, text
    assert constraint.allowed(walked(SMALL, WHOLE[0])).tolist() == [stop]


def test_a_word_may_cross_two_symbols(tiny_tokenizer):
    constraint = Constraint(JSONObject({"the": Choice(("film is good",))}), tiny_tokenizer, [1])
    words = tiny_tokenizer.get_vocab()
    state = walked(constraint.grammar, '{"the": "film')
    assert {words["▁is"], words["<0x20>"]} <= set(constraint.allowed(state).tolist())
    assert words["is"] not in constraint.allowed(state)


def test_every_answer_parses_when_the_budget_ends_however_it_is_drawn(tiny_model, tiny_tokenizer):
    language = JSONObject({"film": Choice(("good", "bad")), "n": Number(3), "why": Text(9)})
    constraint = Constraint(language, tiny_tokenizer, [tiny_tokenizer.eos_token_id])
    rows = sampling.sample(
        tiny_model, [[2, 290 + n % 9] for n in range(60)], max_new_tokens=language.longest + 1, temperature=5.0,
        stop_tokens=[tiny_tokenizer.eos_token_id], reshape=constraint,
    )  # fmt: skip
    read = [language.read(tiny_tokenizer.decode(row.tokens, skip_special_tokens=True)) for row in rows]
    assert None not in read and all(row.stopped for row in rows)
    assert len({str(value) for value in read}) > 30


def test_tokens_that_left_the_grammar_are_named(tiny_tokenizer):
    constraint = Constraint(SMALL, tiny_tokenizer, [1])
    for tokens in ([tiny_tokenizer.get_vocab()["<0x7B>"], 300], [2]):
        with pytest.raises(ValueError, match=rf"Token {tokens[-1]} at place {len(tokens) - 1} leaves"):
            constraint.state_after(tokens)


def test_the_masks_are_those_of_a_library():
    llguidance = pytest.importorskip("llguidance")
    from_tokenizer = pytest.importorskip("llguidance.hf").from_tokenizer
    tokenizer = AutoTokenizer.from_pretrained(base.prepare(brought=base.CHAT))
    language = JSONObject({"film": Choice(("negative", "positive")), "sure": Number(2), "why": Text(12)})
    ours = Constraint(language, tokenizer, [tokenizer.eos_token_id])
    # it would draw what is forced in one way alone, of the many ways to cut it into words; both count with us
    rule = f'%llguidance {{"no_forcing": true}}\nstart: /{language.pattern}/'
    theirs = llguidance.LLMatcher(from_tokenizer(tokenizer), llguidance.LLMatcher.grammar_from_lark(rule))
    generator, tokens = torch.Generator().manual_seed(0), []
    for _ in itertools.repeat(None, language.longest + 1):
        allowed = ours.allowed(ours.state_after(tokens)).tolist()
        mask = theirs.compute_bitmask()
        assert allowed == [n for n in range(8 * len(mask)) if mask[n // 8] >> n % 8 & 1], tokens
        tokens.append(allowed[int(torch.randint(len(allowed), (1,), generator=generator))])
        if tokens[-1] == tokenizer.eos_token_id:
            break
        assert theirs.consume_token(tokens[-1])
    assert language.read(tokenizer.decode(tokens[:-1])) and not theirs.get_error()
