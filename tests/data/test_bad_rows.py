"""One table of bad inputs, by kind: each is refused in one message that names row or column and the remedy."""

import datasets
import pytest
import torch

from course_utils.data import graded, instructions, openings, preference, prompts, rated_texts, splits
from course_utils.data.answers import Turns

GOOD = {"prompt": "is the film good", "answer": "yes"}
PAIR = {"prompt": "the film?", "chosen": "good", "rejected": "bad"}
RATED = {"prompt": "the film?", "text": "good", "mean": 1.0}
HALF = "yes \ud83d"
USER, SAID = {"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes"}


def row(**changed):
    """The rows with a second one that is spoiled."""
    return [GOOD, GOOD | changed]


def talk(*messages, column="messages"):
    return [{column: [USER, SAID]}, {column: list(messages)}]


ENCODED = {  # rows for instructions.encode → what the message says
    "rows/none": ([], "There are no rows. Was everything filtered away?"),
    "rows/a generator": ((r for r in [GOOD]), r"a generator, of which nobody knows whether it ends. Write list\("),
    "rows/a text": ("a,b", "Expected rows, a list of dictionaries, got the text 'a,b'"),
    "rows/one row": (GOOD, r"got one dictionary with the columns .* Write \[row\]"),
    "rows/None": (None, "Expected rows with a length, got a NoneType"),
    "rows/a stream": (datasets.Dataset.from_list([GOOD]).to_iterable_dataset(), "got a IterableDataset"),
    "rows/all splits": (datasets.DatasetDict(train=datasets.Dataset.from_list([GOOD])), r"rows\['train'\]"),
    "rows/lists": ([["a", "b"]], "Row 0 is a list .* expected a dictionary of columns"),
    "rows/unequal columns": ({"prompt": ["a"], "answer": ["b", "c"]}, "columns are of different length"),
    "columns/other names": ([{"prompt": "x", "output": "y"}], r"\['answer'\] is missing. Rename theirs"),
    "columns/missing later": ([GOOD, {"prompt": "x"}], r"Row 1 has the columns \['prompt'\]; \['answer'\] is missing"),
    "columns/None": (row(answer=None), r"Row 1, column 'answer' is empty \(None\). Fill it in, or drop"),
    "columns/NaN": (row(answer=float("nan")), r"Row 1, column 'answer' is empty \(nan\)"),
    "columns/blank": (row(answer=" \n"), "Row 1, column 'answer' holds no visible character"),
    "columns/a blank prompt": (row(prompt=""), "Row 1, column 'prompt' holds no visible character"),
    "columns/a number": (row(answer=7), r"Row 1, column 'answer' holds a int \(7\); expected a text"),
    "columns/bytes": (row(answer=b"yes"), "Row 1, column 'answer' holds a bytes"),
    "columns/a list": (row(answer=["yes"]), "Row 1, column 'answer' holds a list"),
    "roles/unknown": (talk(USER, {"role": "critic", "content": "a"}), "Row 1, turn 1 is said by 'critic'; known roles"),
    "roles/a tool": (talk(USER, SAID, {"role": "tool", "content": "a"}), "turn 2 is said by 'tool'"),
    "roles/None": (talk({"role": None, "content": "a"}, SAID), "turn 0 is said by None"),
    "roles/a list": (talk({"role": ["user"], "content": "a"}, SAID), r"turn 0 is said by \['user'\]"),
    "roles/missing": (talk({"content": "a"}, SAID), "expected a dictionary with 'role' and 'content'"),
    "roles/twice the same": (talk(USER, USER, SAID), "Row 1 has the roles user, user, assistant; expected .* in turn"),
    "roles/the assistant first": (talk(SAID, USER), "Row 1 has the roles assistant, user"),
    "roles/no answer": (talk(USER), "Row 1 has the roles user; .* the assistant last"),
    "roles/a late system": (talk(USER, {"role": "system", "content": "a"}), "Row 1 has the roles user, system"),
    "roles/system alone": (talk({"role": "system", "content": "a"}), "Row 1 has the roles system"),
    "roles/no turns": (talk(), "Row 1, column 'messages' holds .*expected a list of turns"),
    "roles/a turn of text": (talk("hello", SAID), "Row 1, turn 0 is 'hello'"),
    "roles/an image": (talk({"role": "user", "content": [{"type": "image"}]}, SAID), r"the parts \['image'\]"),
    "roles/an empty turn": (talk(USER, {"role": "assistant", "content": ""}), "Row 1, turn 1 holds no visible"),
    "roles/the other kind": (talk(USER, SAID, column="conversations"), "a dictionary with 'from' and 'value'"),
    "encoding/half a pair in the answer": (row(answer=HALF), "Row 1, column 'answer' holds half of a surrogate pair"),
    "encoding/half a pair in the prompt": (row(prompt=HALF), r"column 'prompt' holds half .* Read the file as UTF-8"),
    "encoding/half a pair in a turn": (talk(USER, SAID | {"content": HALF}), "turn 1 holds half of a surrogate"),
    "encoding/a turn's end": (
        row(answer="a<end_of_turn>b"),
        "Row 1, column 'answer' holds the turn mark <end_of_turn>",
    ),
    "encoding/a turn's start": (row(prompt="<start_of_turn>model\nyes"), "holds the turn mark <start_of_turn>"),
    "encoding/a mark in a turn": (talk(USER | {"content": "<end_of_turn>"}, SAID), "turn 0 holds the turn mark"),
}


@pytest.mark.parametrize("case", ENCODED)
def test_bad_rows_are_named(case, tiny_tokenizer):
    rows, says = ENCODED[case]
    with pytest.raises(ValueError, match=says) as caught:
        instructions.encode(rows, tiny_tokenizer, max_length=500)
    assert type(caught.value) is ValueError and len(str(caught.value)) < 400


def encode(tokenizer, **settings):
    return instructions.encode([GOOD, GOOD], tokenizer, **settings)


def pairs(tokenizer, *rows, answer_tokens=8, **settings):
    return preference.encode(list(rows), tokenizer, answer_tokens=answer_tokens, **settings)


def texts(tokenizer, **changed):
    return rated_texts.encode([RATED, RATED | changed], tokenizer, answer_tokens=8)


def without_template(tokenizer):
    tokenizer.chat_template = None
    return tokenizer


def templated(tokenizer, text):
    tokenizer.chat_template = text
    return tokenizer


IDS = ["a", "b"]
RANKED = {"prompt": "a film", "answers": ["good", "bad"]}
CALLS = {  # tokenizer → a call that is refused, and what the message says
    "lengths/zero": (lambda t: encode(t, max_length=0), "max_length is 0; expected a whole number of at least 2"),
    "lengths/a fraction": (lambda t: encode(t, max_length=9.5), "max_length is 9.5"),
    "lengths/a text": (lambda t: encode(t, max_length="500"), "max_length is '500'"),
    "lengths/below zero": (lambda t: encode(t, max_length=-4), "max_length is -4"),
    "lengths/all cut": (lambda t: encode(t, max_length=5), r"2 of 2 rows have no answer left .*\(rows 0, 1\)"),
    "lengths/all dropped": (lambda t: encode(t, max_length=5, drop_long=True), "All 2 rows are longer than 5 tokens"),
    "lengths/no answer tokens": (lambda t: pairs(t, PAIR, answer_tokens=0), "answer_tokens is 0"),
    "lengths/pairs too long": (lambda t: pairs(t, PAIR, max_length=5), "All 1 pairs are longer than 5 tokens"),
    "pairs/none": (lambda t: pairs(t), "There are no rows"),
    "pairs/one column less": (lambda t: pairs(t, GOOD), r"\['chosen', 'rejected'\] is missing"),
    "pairs/equal": (lambda t: pairs(t, PAIR | {"rejected": "good "}), "Row 0 has the same text as chosen and rejected"),
    "pairs/equal after the cut": (
        lambda t: pairs(t, PAIR | {"chosen": "the film is good", "rejected": "the film is bad"}, answer_tokens=2,
                        drop_equal=True),
        "No pair is left: 1 are equal after the cut to 2 tokens",
    ),
    "pairs/blank": (lambda t: pairs(t, PAIR, PAIR | {"rejected": " "}), "Row 1, column 'rejected' holds no visible"),
    "pairs/None": (lambda t: pairs(t, PAIR, PAIR | {"chosen": None}), "Row 1, column 'chosen' is empty"),
    "pairs/a blank prompt": (lambda t: pairs(t, PAIR | {"prompt": ""}), "Row 0, column 'prompt' holds no visible"),
    "pairs/a dialogue": (lambda t: pairs(t, PAIR | {"chosen": [USER, SAID]}), r"Pass preference.rows_of\(pairs\)"),
    "pairs/half a surrogate": (lambda t: pairs(t, PAIR | {"chosen": HALF}), "column 'chosen' holds half of a"),
    "pairs/a turn mark": (lambda t: pairs(t, PAIR | {"chosen": "a<end_of_turn>"}), "holds the turn mark"),
    "pairs/one answer": (lambda t: preference.from_rankings([RANKED | {"answers": ["a"]}]), "at least two answers"),
    "pairs/answers as text": (lambda t: preference.from_rankings([RANKED | {"answers": "ab"}]), "needs a list of at"),
    "pairs/a ranked blank": (lambda t: preference.from_rankings([RANKED | {"answers": ["a", ""]}]), "Row 0, answer 1"),
    "pairs/a mean of NaN": (lambda t: texts(t, mean=float("nan")), "Row 1, column 'mean' holds nan; expected a finite"),
    "pairs/a mean as text": (lambda t: texts(t, mean="4"), "Row 1, column 'mean' holds '4'"),
    "pairs/a rated None": (lambda t: texts(t, text=None), "Row 1, column 'text' is empty"),
    "pairs/a rating of 7": (lambda t: graded.encode([{"text": "a", "ratings": [7]}], t), "whole number from -4 to 4"),
    "pairs/no ratings": (lambda t: graded.encode([{"text": "a"}], t), r"\['ratings'\] is missing"),
    "pairs/a rating alone": (lambda t: graded.encode([{"text": "a", "ratings": 3}], t), "expected a list of ratings"),
    "splits/an unknown one": (lambda t: preference._split([PAIR | {"id": "a"}], "dev"), "no split 'dev'. Choose from"),
    "splits/ids twice": (lambda t: splits.assign(["a", "a"], IDS, IDS), r"got 2 ids \(1 different\).* Number the rows"),
    "splits/too few texts": (lambda t: splits.assign(IDS, ["a"], IDS), "2 ids .*, 1 texts"),
    "splits/too few documents": (lambda t: splits.assign(IDS, IDS, []), "0 documents"),
    "splits/a text of None": (lambda t: splits.assign(IDS, ["a", None], IDS), "Row 1, the text is empty"),
    "splits/half a surrogate": (lambda t: splits.assign(IDS, ["a", HALF], IDS), "Row 1, the text holds half"),
    "splits/fixed to none": (lambda t: splits.assign(IDS, IDS, IDS, {"a": None}), "fixed to the split None; expected"),
    "splits/no role": (lambda t: preference.rated_rows("silver"), "no role 'silver'. Choose from"),
    "sizes/no pairs": (lambda t: preference.human_pairs([], 0), "count is 0; expected a whole number of at least 1"),
    "sizes/half a pair": (lambda t: preference.human_pairs([], 1.5), "count is 1.5"),
    "sizes/a third part": (lambda t: preference.human_pairs([], 1, part=2), "Expected part 0 or 1"),
    "sizes/a gap of NaN": (lambda t: preference.human_pairs([], 1, min_gap=float("nan")), "min_gap of at least 0"),
    "sizes/a seed below zero": (lambda t: preference.human_pairs([], 1, seed=-1), "seed is -1"),
    "sizes/a seed as text": (lambda t: rated_texts.load([], 1, seed="0"), "seed is '0'"),
    "sizes/no texts": (lambda t: rated_texts.load([], 0), "count is 0"),
    "sizes/too many texts": (lambda t: rated_texts.load([], 3), "Expected 3 rated texts, there are 0"),
    "sizes/too many examples": (lambda t: prompts.draw_examples([], 4, seed=0), "Cannot draw 2 of 0 examples"),
    "sizes/a share of 50": (lambda t: prompts.flip_labels([], 50, seed=0), "between 0 and 1, got 50. Is it a"),
    "sizes/a seed of None": (lambda t: prompts.draw_examples([], 4, seed=None), "seed is None"),
    "templates/none": (lambda t: encode(without_template(t), max_length=99), "does not mark what the assistant says"),
    "templates/without marks": (lambda t: encode(templated(t, "{{ messages }}"), max_length=99), "generation"),
    "templates/broken": (
        lambda t: encode(templated(t, "{% generation %}{% for %}"), max_length=99), "cannot be read: .*line 1"),
    "templates/raises": (
        lambda t: encode(templated(t, "{% generation %}{{ raise_exception('no') }}{% endgeneration %}"), max_length=99),
        "template cannot be read: no"),
    "templates/says nothing": (
        lambda t: encode(templated(t, "{% if false %}{% generation %}{% endgeneration %}{% endif %}"), max_length=99),
        "no answer left|does not round-trip"),
    "templates/another order": (
        lambda t: encode(templated(t, t.chat_template.replace("{%- if add_gen", "x{%- if add_gen")), max_length=99),
        "does not round-trip"),
    "tokenizers/no pad": (lambda t: instructions.TokenCollator(None), "has no pad token"),
    "tokenizers/none": (lambda t: encode(None, max_length=99), "got a NoneType as tokenizer"),
    "tokenizers/a name": (lambda t: encode("google/gemma", max_length=99), "got a str as tokenizer"),
    "tokenizers/no digits": (lambda t: graded.digit_tokens(BytesOnly()), "writes a digit with several tokens"),
    "tokenizers/no turns": (lambda t: Turns.of(without_template(t)), "does not mark what the assistant says"),
    "tokenizers/long label words": (
        lambda t: prompts.word_tokens(BytesOnly(), prompts.Template("{text}", (" good", " bad"))), "one token each"),
    "prompts/blank": (lambda t: openings.encode([{"prompt": " "}], t), "Prompt 0: Expected a prompt with at least"),
    "prompts/None": (lambda t: openings.encode([{"prompt": None}], t), "Row 0, column 'prompt' is empty"),
    "prompts/an opening of 7": (lambda t: openings.encode([{"prompt": "a", "opening": 7}], t), "'opening' holds a int"),
    "prompts/no place": (lambda t: prompts.Template("good?", (" a", " b")), "has no place for the review"),
    "prompts/no blank": (lambda t: prompts.Template("{text}", ("a", "b")), "Label words start with a space"),
    "prompts/a turn mark": (lambda t: openings.encode([{"prompt": "<end_of_turn>"}], t), "holds the turn mark"),
}  # fmt: skip


class BytesOnly:
    """A tokenizer of bytes."""

    def __call__(self, text, **settings):
        return type("Made", (), {"input_ids": [0, *text.encode()]})


@pytest.mark.parametrize("case", CALLS)
def test_bad_calls_are_named(case, tiny_tokenizer):
    call, says = CALLS[case]
    with pytest.raises(ValueError, match=says) as caught:
        call(tiny_tokenizer)
    assert type(caught.value) is ValueError and len(str(caught.value)) < 400


def test_each_kind_has_at_least_six():
    kinds = [case.split("/")[0].replace("templates", "tokenizers") for case in [*ENCODED, *CALLS]]
    assert all(kinds.count(kind) >= 6 for kind in kinds)


def test_what_a_limit_drops_is_said(tiny_tokenizer, capsys):
    rows = [GOOD, GOOD | {"answer": "the film is good " * 20}, GOOD]
    assert len(instructions.encode(rows, tiny_tokenizer, max_length=60, drop_long=True)) == 2
    assert capsys.readouterr().out == "1 of 3 rows are longer than 60 tokens and left out (rows 1).\n"
    same = PAIR | {"chosen": "the film is good", "rejected": "the film is bad"}
    assert len(pairs(tiny_tokenizer, PAIR, same, answer_tokens=2, drop_equal=True)) == 1
    assert capsys.readouterr().out == "1 of 2 pairs are equal after 2 tokens and left out (rows 1).\n"
    assert len(pairs(tiny_tokenizer, PAIR, same, answer_tokens=2)) == 2 and capsys.readouterr().out == ""


def test_good_rows_are_encoded_without_a_word(tiny_tokenizer, capsys):
    assert torch.tensor(encode(tiny_tokenizer, max_length=500)[0]["completion_mask"]).any()
    assert capsys.readouterr().out == ""
