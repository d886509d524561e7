"""Does a model follow an instruction: does it answer this one, and does it stop?

One number is not enough. A model that always stops ends every answer by itself, and one that writes well may ignore the
question. So four numbers, on the same held-out instructions with the answers that a person would accept:

    ended     share of greedy answers that end by themselves within the limit
    swap      log p(answer | its own instruction) − log p(answer | another's), nats a token, end token left out
    loss      −log p(answer | its own instruction), nats a token, end token left out
    length    tokens written over tokens of the reference answer

The swap also grows when a model is merely sure of itself. `Answers.removed` is the same without the scale: the share of
the nats behind a stranger's instruction that the answer's own instruction removes. It is what `gains` compares.

Shapes: N instructions, T tokens of one answer.
"""

from dataclasses import dataclass

import torch

from course_utils.evaluation import comparison
from course_utils.models import prefix, sampling
from course_utils.models.fused_forward import fast_blocks
from course_utils.models.logprobs import token_logprobs


@dataclass(frozen=True)
class Answers:
    """The four numbers per instruction, and the texts that were written; fields are (N,) unless said otherwise."""

    written: tuple[str, ...]
    ended: torch.Tensor  # float, 1 where the answer ended by itself
    length: torch.Tensor  # float, tokens written over tokens of the reference, the end token left out
    own: torch.Tensor  # float, mean log p of the reference answer's tokens behind its own instruction
    other: torch.Tensor  # float, the same behind another instruction

    @classmethod
    def of(cls, numbers):
        """From the numbers that an experiment keeps: lists of swap, own, ended and length; without the texts."""
        own, swap, ended, length = (torch.tensor(numbers[name]) for name in ("own", "swap", "ended", "length"))
        return cls((), ended, length, own, own - swap)

    @property
    def swap(self):
        """How much better the answer fits its own instruction, in nats a token."""
        return self.own - self.other

    @property
    def removed(self):
        """(N,) with mean Σ swap / Σ −other: the share of an answer's cost that its own instruction removes.

        A model that grows surer of itself makes every wrong instruction cost more, and its swap grows with that; this
        share does not. The ratio is linearised around its value, so that intervals can be taken over the items.
        """
        ratio = self.swap.mean() / -self.other.mean()
        return ratio + (self.swap + ratio * self.other) / -self.other.mean()


def gains(tuned, prompted):
    """{"removed": Estimate, "ended": Estimate}: tuned − prompted on the same instructions, each with its interval."""
    return {
        name: comparison.paired_difference(getattr(tuned, name), getattr(prompted, name), over="items")
        for name in ("removed", "ended")
    }


def follows(tuned, prompted):
    """True when both gains lie above zero beyond their intervals; a model that only stops has just one of them.

    One that has its rows by heart grows sure of itself, and its swap with that; the share removed need not.
    """
    return all(gain.low > 0 for gain in gains(tuned, prompted).values())


def answer_all(model, dialogue, rows, *, new_tokens, scored_tokens, batch_rows=128):
    """Ask a model every instruction, and score the reference answers under it.

    Args:
        model: a causal language model; for a peft model pass `get_base_model()`, whose layers hold the adapter.
        dialogue: a `data.dialogue.Dialogue`, which says how an instruction is written and what ends an answer.
        rows: with columns prompt and answer; N of them.
        new_tokens: an answer that has not ended by then is cut off.
        scored_tokens: only the first tokens of a reference answer are scored.

    Returns:
        Answers.
    """
    with fast_blocks(model):  # as it was trained
        own, other = swapped_logprobs(model, dialogue, rows, scored_tokens=scored_tokens)
        written, ended, length = [], [], []
        for start in range(0, len(rows), batch_rows):
            part = [rows[index] for index in range(start, min(start + batch_rows, len(rows)))]
            samples = write(model, dialogue, [row["prompt"] for row in part], new_tokens=new_tokens)
            for row, sample in zip(part, samples, strict=True):
                tokens = sample.tokens[:-1] if sample.stopped else sample.tokens
                written.append(dialogue.tokenizer.decode(tokens, skip_special_tokens=True).strip())
                ended.append(float(sample.stopped))
                length.append(len(tokens) / len(dialogue.answer(row["answer"])))
    return Answers(tuple(written), torch.tensor(ended), torch.tensor(length), own, other)


def write(model, dialogue, instructions, *, new_tokens):
    """Greedy answers: a list of `sampling.Sample`, one an instruction."""
    beginning = prefix.read_prefix(model, dialogue.beginning)
    questions = [dialogue.question(instruction) for instruction in instructions]
    return sampling.sample(
        model, questions, max_new_tokens=new_tokens, temperature=0, stop_tokens=dialogue.ends, beginning=beginning
    )


def swapped_logprobs(model, dialogue, rows, *, scored_tokens):
    """((N,), (N,)) mean log p of each reference answer behind its own instruction, and behind the next row's.

    Raises:
        ValueError: fewer than two rows, so that there is no other instruction.
    """
    if len(rows) < 2:
        raise ValueError(f"A swap needs another row's instruction: expected at least 2 rows, got {len(rows)}.")
    asked, answers = [row["prompt"] for row in rows], [row["answer"] for row in rows]
    own = answer_logprobs(model, dialogue, asked, answers, scored_tokens=scored_tokens)
    return own, answer_logprobs(model, dialogue, asked[1:] + asked[:1], answers, scored_tokens=scored_tokens)


def answer_logprobs(model, dialogue, instructions, answers, *, scored_tokens):
    """(N,) mean log p of each answer's first tokens behind its instruction, in nats; the end token does not count."""
    beginning = prefix.read_prefix(model, dialogue.beginning)
    questions = [dialogue.question(instruction) for instruction in instructions]
    replies = [dialogue.answer(answer)[:scored_tokens] for answer in answers]
    whole = [question + reply for question, reply in zip(questions, replies, strict=True)]
    states = prefix.hidden_states(model, beginning, whole)
    # all answers in one call: the head is large, and each call reads the whole of it
    predicting = torch.cat([hidden[len(q) - 1 : -1] for hidden, q in zip(states, questions, strict=True)])
    tokens = torch.tensor([token for reply in replies for token in reply])
    head = model.get_output_embeddings().weight
    with torch.no_grad():
        logprobs = token_logprobs(predicting.to(head.device), head, tokens.to(head.device)).cpu()
    return torch.stack([part.mean() for part in logprobs.split([len(reply) for reply in replies])])
