"""How an instruction and its answer are written: as turns of a chat, or as plain text behind a few examples."""

from dataclasses import dataclass, replace


def first_token(tokenizer):
    """[<bos>], or nothing where the tokenizer has none."""
    return [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]


def need_tokenizer(tokenizer, method="__call__"):
    """Raise ValueError unless this is a tokenizer, with the method that is needed of it."""
    if not hasattr(tokenizer, method):
        raise ValueError(
            f"Expected the tokenizer that load_base returns, got a {type(tokenizer).__name__} as tokenizer."
        )


@dataclass(frozen=True)
class Dialogue:
    """One way to ask: before + instruction + between + answer + end + after, for examples and question alike.

    examples: (instruction, answer) pairs shown before the question.
    end: the text that ends an answer; it must be a single token, at which a model stops.
    """

    tokenizer: object
    before: str
    between: str
    end: str
    after: str = "\n"
    examples: tuple[tuple[str, str], ...] = ()

    def __post_init__(self):
        need_tokenizer(self.tokenizer)
        if len(self._tokens(self.end)) != 1:
            raise ValueError(
                f"The end mark {self.end!r} is {len(self._tokens(self.end))} tokens; a model stops at a single one. "
                "Choose a shorter mark, such as <end_of_turn>."
            )

    @property
    def beginning(self):
        """Token ids of everything before the question's own instruction: <bos> and the examples."""
        shown = "".join(
            self.before + instruction + self.between + answer + self.end + self.after
            for instruction, answer in self.examples
        )
        return [*first_token(self.tokenizer), *self._tokens(shown + self.before)]

    @property
    def ends(self):
        """Ids of the tokens that end an answer: the mark, and the end of a text."""
        return [self._tokens(self.end)[0], self.tokenizer.eos_token_id]

    def question(self, instruction):
        """Token ids of the instruction, up to the place where the answer begins."""
        return self._tokens(instruction.strip() + self.between)

    def answer(self, text):
        """Token ids of an answer without its end mark."""
        return self._tokens(text.strip())

    def showing(self, rows):
        """The same behind examples: rows with columns prompt and answer."""
        return replace(self, examples=tuple((row["prompt"].strip(), row["answer"].strip()) for row in rows))

    def _tokens(self, text):
        return self.tokenizer(text, add_special_tokens=False).input_ids


def chat(tokenizer):
    """Gemma's turns, as the chat template of `load_base` writes them."""
    middle = "<end_of_turn>\n<start_of_turn>model\n"
    return Dialogue(tokenizer, "<start_of_turn>user\n", middle, "<end_of_turn>")


def plain(tokenizer):
    """Plain text, as the web is full of it: a base model has seen such lists, and it has seen no turns."""
    return Dialogue(tokenizer, "Instruction:\n", "\n\nAnswer:\n", "###", after="\n\n")
