"""An answer as the tokens that a model reads or writes: the turns before it, what it says, the token that ends it.

    <bos><start_of_turn>user\\nName a colour.<end_of_turn>\\n<start_of_turn>model\\n | Blue.<end_of_turn>
                                                                         prompt | answer

A sampler stops at the end token and is cut after so many tokens (`answer_tokens`). What was cut off has no end token,
here as in the texts that a reward model learns from, so that it never meets an ending in use that it did not meet in
training.
"""

from dataclasses import dataclass

from course_utils.data import instructions, splits


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

    def answer(self, text, answer_tokens, *, ended=True):
        """Token ids of an answer, cut to answer_tokens; its end is there if it ended, and nothing was cut."""
        return [*self._plain(text), *([self.end] if ended else [])][:answer_tokens]

    def learned(self, text, answer_tokens, *, cut_share, seed=0):
        """Token ids of an answer as a reward model learns it: a share of those that fit lose their end as well.

        Were long texts alone cut, a missing end would mean a long text, and people rate those a little lower. So others
        are cut too: each by a draw of its own, which sees neither the rating nor the other text of a pair. A missing
        end then stands on either side of these pairs alike, and where one text alone is cut, it decides nothing. (Were
        both cut, its worth would cancel and stay unknown, though a policy's finished and cut answers are set side by
        side; did it hang on the rating, it would give the label away.) People judged the whole: at least half of it is
        left, and stands for what it would have become, as with a cut sample.

        Args:
            cut_share: of the texts that fit, so many are cut; a longer one always is.
            seed: of the draw.

        Raises:
            ValueError: cut_share is no share.
        """
        if not 0 <= cut_share <= 1:
            raise ValueError(f"cut_share is {cut_share}; expected a share from 0 (whole texts) to 1 (all cut).")
        ids = self.answer(text, answer_tokens)
        drawn = splits.stable_number(text, f"cut {seed}") / 2**64
        if ids[-1] != self.end or drawn >= cut_share:
            return ids
        words, half = len(ids) - 1, len(ids) // 2  # without the end; half of them, rounded up
        return ids[: half + int(drawn / cut_share * (words - half))]

    def text(self, tokens):
        """The text of an answer's tokens, without special ones."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True).strip()

    def _plain(self, text):
        return list(self.tokenizer(text.strip(), add_special_tokens=False).input_ids)
