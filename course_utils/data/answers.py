"""An answer as the tokens that a model reads or writes: the turns before it, what it says, the token that ends it.

    <bos><start_of_turn>user\\nName a colour.<end_of_turn>\\n<start_of_turn>model\\n | Blue.<end_of_turn>
                                                                         prompt | answer

A sampler stops at the end token and is cut after so many tokens. Texts that a reward model learns from are cut alike
(`answer_tokens`), so that it never meets an ending in use that it did not meet in training.
"""

from dataclasses import dataclass

from course_utils.data import instructions


@dataclass(frozen=True)
class Turns:
    """How one tokenizer writes a prompt and an answer."""

    tokenizer: object  # with a chat template that marks what the assistant says
    end: int  # the token that ends an answer

    @classmethod
    def of(cls, tokenizer):
        """Learn the end token from the chat template itself, by one short dialogue.

        Raises:
            ValueError: the template has no assistant marks, or does not round-trip.
        """
        ids, mask = instructions.encode_dialogue(instructions.dialogue({"prompt": "a", "answer": "b"}), tokenizer)
        return cls(tokenizer, [token for token, said in zip(ids, mask, strict=True) if said][-1])

    def prompt(self, text, opening=""):
        """Token ids of everything before the answer, and of its first words when they are given.

        Raises:
            ValueError: the prompt is empty.
        """
        if not text.strip():
            raise ValueError(
                "Expected a prompt with at least one visible character, got an empty one. There is nothing to answer: "
                "was a row filtered to nothing, or the wrong column read?"
            )
        asked = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=True, return_dict=True, add_generation_prompt=True
        )
        return [*asked["input_ids"], *self._plain(opening)]

    def answer(self, text, answer_tokens):
        """Token ids of an answer with its end, cut to answer_tokens."""
        return [*self._plain(text), self.end][:answer_tokens]

    def text(self, tokens):
        """The text of an answer's tokens, without special ones."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True).strip()

    def _plain(self, text):
        return list(self.tokenizer(text.strip(), add_special_tokens=False).input_ids)
