"""Instructions with an answer each, as tokens with a mask that is True on what the model should learn to say.

The rows come with the course (`alpaca_en_demo.json` of LLaMA-Factory). They read like answers that a large model
wrote, whose upstream licence is non-commercial: use them to learn with. None of them is stored in this repository.

    <bos><start_of_turn>user\\nName a colour.<end_of_turn>\\n<start_of_turn>model\\nBlue.<end_of_turn>\\n
                                                                                 ^^^^^^^^^^^^^^^^^^ completion_mask
"""

import json
import re
from dataclasses import dataclass

import torch
from datasets import Dataset
from jinja2 import TemplateError

from course_utils import assets
from course_utils.data import reviews, splits
from course_utils.data import rows as tables
from course_utils.data.dialogue import need_tokenizer

REVIEW_PROMPTS = (
    "Write one sentence from a film review.",
    "Say in one sentence what you think of a film you have seen.",
    "Give me a short review of a movie, one sentence long.",
    "You have just left the cinema. Describe the film in one sentence.",
)

# Three training rows to show to a base model: of three random draws the one that served it best on validation rows
SHOWN = ("instructions-188", "instructions-865", "instructions-673")

HALVES = ("train", "test")  # of the dialogues


def load(split="train"):
    """Instruction rows.

    Args:
        split: "train", "validation", "test" (about 70, 10 and 20 %; near-duplicate prompts stay together) or "all".

    Returns:
        datasets.Dataset with columns id, prompt, answer, split.

    Raises:
        assets.AssetMissing: the file has not been fetched.
    """
    found = json.loads((assets.path("instructions") / "alpaca_en_demo.json").read_text(encoding="utf-8"))
    rows = [
        {
            "id": f"instructions-{number}",
            "prompt": "\n\n".join(part for part in (row["instruction"].strip(), row["input"].strip()) if part),
            "answer": row["output"].strip(),
        }
        for number, row in enumerate(found, start=1)
    ]
    ids, prompts = [row["id"] for row in rows], [row["prompt"] for row in rows]
    rows = [row | {"split": part} for row, part in zip(rows, splits.assign(ids, prompts, ids), strict=True)]
    return _chosen(rows, split)


def two_turns(half):
    """Dialogues of at least two turns, cut after the second: what the preference pairs that come with the rows quote.

    The questions read like a person's, the answers like a large model's; nobody chose them for this course.

    Args:
        half: "train" or "test". Dialogues whose first questions are near-duplicates stand in one half, equal ones once.

    Returns:
        A list of {"id", "messages": four chat messages, user and assistant by turns}.

    Raises:
        ValueError: another half.
    """
    if half not in HALVES:
        raise ValueError(f"There is no half {half!r} of the dialogues. Choose from: {', '.join(HALVES)}.")
    found = json.loads((assets.path("instructions") / "dpo_en_demo.json").read_text(encoding="utf-8"))
    asked = {}
    for number, row in enumerate(found, start=1):
        turns = row["conversations"][:4]
        if [turn["from"] for turn in turns] == ["human", "gpt"] * 2:
            said = [{"role": tables.ROLES[turn["from"]], "content": turn["value"].strip()} for turn in turns]
            asked.setdefault(said[0]["content"], {"id": f"dialogues-{number}", "messages": said})
    roots = splits.groups(list(asked), [row["id"] for row in asked.values()])
    first = list(asked)
    side = [HALVES[splits.stable_number(first[root]) % 2] for root in roots]
    return [row for row, here in zip(asked.values(), side, strict=True) if here == half]


def shown():
    """The three rows of SHOWN, in that order."""
    rows = {row["id"]: row for row in load("train")}
    return [rows[name] for name in SHOWN]


def film_sentences(split="train"):
    """Sentences from film reviews as answers to an instruction to write one; columns as in `load`."""
    rows = [
        {
            "id": row["id"],
            "prompt": REVIEW_PROMPTS[splits.stable_number(row["id"]) % len(REVIEW_PROMPTS)],
            "answer": row["text"],
            "split": row["split"],
        }
        for row in reviews.load("movies", split)
    ]
    return Dataset.from_list(rows)


def short(rows, tokenizer, *, answer_tokens, prompt_tokens=64, one_line=False):
    """The rows whose instruction and answer are short, as a list.

    Args:
        rows: with columns prompt and answer.
        answer_tokens, prompt_tokens: the most tokens of each, without the marks of the template.
        one_line: leave out answers with a line break, lists above all, which a small model goes on with for ever.
    """
    limits = {"prompt": prompt_tokens, "answer": answer_tokens}

    def fits(row):
        lengths = {name: len(tokenizer(row[name], add_special_tokens=False).input_ids) for name in limits}
        return all(0 < lengths[name] <= most for name, most in limits.items()) and not (
            one_line and "\n" in row["answer"]
        )

    return [row for row in rows if fits(row)]


def _chosen(rows, split):
    choices = (*splits.SHARES, "all")
    if split not in choices:
        raise ValueError(f"There is no split {split!r}. Choose from: {', '.join(choices)}.")
    return Dataset.from_list([row for row in rows if split in (row["split"], "all")])


def encode(rows, tokenizer, *, max_length, drop_long=False, drop_unlearnable=False):
    """Rows as tokens, by the tokenizer's chat template.

    Args:
        rows: with columns prompt and answer, or a column messages or conversations with the turns of a dialogue.
        tokenizer: with a chat template that marks what the assistant says.
        max_length: tokens; what is longer is cut, and then does not teach to stop.
        drop_long: leave out rows that would be cut, and say how many.
        drop_unlearnable: leave out rows of which no answer is left after cutting.

    Returns:
        A list of {"input_ids": list of int, "completion_mask": list of bool}. The mask is True on the answer and on
        the end of its turn.

    Raises:
        ValueError: the columns are others, a row has no text or an unknown role, the template does not round-trip, an
            answer was cut away whole, or every row is too long.
    """
    rows = tables.listed(rows)
    _check_columns(rows)
    tables.whole("max_length", max_length, 2)
    dialogues = [tables.turns(row, number) for number, row in enumerate(rows)]
    encoded, unlearnable, long = [], [], []
    for number, messages in enumerate(dialogues):
        ids, mask = encode_dialogue(messages, tokenizer)
        if drop_long and len(ids) > max_length:
            long.append(number)
            continue
        if not any(mask[:max_length]):
            unlearnable.append(number)
            continue
        encoded.append({"input_ids": ids[:max_length], "completion_mask": mask[:max_length]})
    _say_dropped(long, len(rows), max_length)
    if unlearnable and not drop_unlearnable:
        raise ValueError(
            f"{len(unlearnable)} of {len(rows)} rows have no answer left after truncation to {max_length} tokens "
            f"({tables.some(unlearnable)}).\n"
            "The prompt alone is longer than max_length, so nothing would be learned from them.\n"
            "Raise max_length, shorten the prompts, or pass drop_unlearnable=True."
        )
    return encoded


def _say_dropped(long, total, max_length):
    """Say how many rows a limit has dropped; raise ValueError when it was all of them."""
    if len(long) == total:
        raise ValueError(f"All {total} rows are longer than {max_length} tokens. Raise max_length, or shorten them.")
    if long:
        print(f"{len(long)} of {total} rows are longer than {max_length} tokens and left out ({tables.some(long)}).")


def dialogue(row):
    """The two turns of a row, as chat messages."""
    return [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["answer"]}]


def encode_dialogue(messages, tokenizer):
    """(input_ids, completion_mask) of a dialogue, as lists.

    Raises:
        ValueError: the template has no assistant marks, or its tokens do not begin with those of the prompt alone, or
            do not decode to the text that it writes.
    """
    need_tokenizer(tokenizer, "apply_chat_template")
    if not re.search(r"{%-?\s*generation\b", tokenizer.chat_template or ""):
        raise ValueError(
            "The tokenizer's chat template does not mark what the assistant says (generation … endgeneration): prompt "
            "and answer cannot be told apart. Use the tokenizer that load_base returns."
        )
    try:
        made = tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
    except TemplateError as error:
        raise ValueError(
            f"The chat template cannot be read: {str(error)[:200]}{_line_of(error)}. "
            "Use the tokenizer that load_base returns."
        ) from error
    ids, mask = list(made["input_ids"]), [bool(value) for value in made["assistant_masks"]]
    _check_round_trip(ids, messages, tokenizer)
    return ids, mask


def _line_of(error):
    """Where a template is broken, when jinja knows."""
    return f" (line {error.lineno})" if getattr(error, "lineno", None) else ""


def _check_round_trip(ids, messages, tokenizer):
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    decoded = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=True, return_dict=True, add_generation_prompt=True)
    asked = list(prompt["input_ids"])
    if decoded == text and ids[: len(asked)] == asked:
        return
    same = next((place for place, pair in enumerate(zip(decoded, text, strict=False)) if pair[0] != pair[1]), len(text))
    what = f"{text[same : same + 30]!r} comes back as {decoded[same : same + 30]!r}"
    if decoded == text:
        what = "the tokens of the prompt alone are not those at the start of the whole dialogue"
    raise ValueError(
        f"The chat template does not round-trip: {what}. In use the model would meet other tokens than in training. "
        "Use the tokenizer that load_base returns, or a template made of its own tokens."
    )


def _check_columns(rows):
    whole = next((column for column in tables.DIALOGUES if column in rows[0]), None)
    tables.need(rows, ("prompt", "answer") if "prompt" in rows[0] or whole is None else (whole,))


@dataclass(frozen=True)
class TokenCollator:
    """Pads encoded rows on the right into one batch.

    pad_id: the tokenizer's pad token.
    """

    pad_id: int
    columns = ("input_ids", "completion_mask")

    def __post_init__(self):
        if self.pad_id is None:
            raise ValueError(
                "The tokenizer has no pad token, so rows of different length cannot form a batch. Use the tokenizer "
                "that load_base returns, or set tokenizer.pad_token = tokenizer.eos_token (a pad never counts)."
            )
        tables.whole("pad_id", self.pad_id, 0)

    def __call__(self, rows):
        """Rows to {"input_ids": (B, T) int64, "mask": (B, T) bool, "completion_mask": (B, T) bool}.

        mask is True at real tokens, completion_mask at those to learn.
        """
        longest = max(len(row["input_ids"]) for row in rows)
        batch = {
            "input_ids": torch.full((len(rows), longest), self.pad_id),
            "mask": torch.zeros(len(rows), longest, dtype=torch.bool),
            "completion_mask": torch.zeros(len(rows), longest, dtype=torch.bool),
        }
        for number, row in enumerate(rows):
            length = len(row["input_ids"])
            batch["input_ids"][number, :length] = torch.tensor(row["input_ids"])
            batch["mask"][number, :length] = True
            batch["completion_mask"][number, :length] = torch.tensor(row["completion_mask"])
        return batch
