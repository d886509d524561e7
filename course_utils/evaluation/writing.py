"""A task solved by writing: the model continues a prompt greedily to the end of the line, and the text is compared."""

from dataclasses import dataclass

from course_utils.models import sampling

HELD_BACK = 8  # the first pairs are examples, the rest are questions, however many examples are shown


@dataclass(frozen=True)
class Written:
    """What a model wrote. written: (question, answer) pairs; right: one bool for each."""

    written: tuple
    right: tuple[bool, ...]

    @property
    def share(self):
        return sum(self.right) / len(self.right)


def exact_match(model, tokenizer, pairs, *, shots, questions, new_tokens=12):
    """Show the first pairs as "question => answer" lines, let the model write the others' answers, compare exactly.

    Args:
        pairs: (question, answer) texts; at least HELD_BACK and one more.
        shots: examples shown, at most HELD_BACK.
        questions: how many of the remaining pairs are asked.
        new_tokens: answers are cut off there.
    """
    if not 0 <= shots <= HELD_BACK < len(pairs):
        raise ValueError(f"Expected 0 to {HELD_BACK} examples and more pairs than that, got {shots} and {len(pairs)}.")
    shown = "".join(f"{question} => {answer}\n" for question, answer in pairs[:shots])
    asked = pairs[HELD_BACK : HELD_BACK + questions]
    prompts = [tokenizer(f"{shown}{question} =>").input_ids for question, _ in asked]
    line_end = tokenizer("\n", add_special_tokens=False).input_ids[-1]
    samples = sampling.sample(
        model, prompts, max_new_tokens=new_tokens, temperature=0, stop_tokens=[line_end, tokenizer.eos_token_id]
    )
    answers = [tokenizer.decode(s.tokens, skip_special_tokens=True).split("\n")[0].strip() for s in samples]
    written = tuple((question, answer) for (question, _), answer in zip(asked, answers, strict=True))
    right = tuple(answer == truth for answer, (_, truth) in zip(answers, asked, strict=True))
    return Written(written, right)
