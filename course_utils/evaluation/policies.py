"""What a policy has learned, by judges that did not teach it: its answers, paired with those of its reference.

Shapes: P openings, K samples of each; sample k of a policy and of its reference are drawn with the same random numbers.
"""

from dataclasses import dataclass

import torch

from course_utils.adapters import switching
from course_utils.data import lexicon
from course_utils.evaluation import comparison, preference
from course_utils.models import sampling
from course_utils.models.fast import fast_blocks
from course_utils.training import objectives, rollout

GROUP = 64  # answers in memory at once
JUDGES = ("proxy", "gold", "lexicon")


@dataclass(frozen=True)
class Written:
    """The answers of one policy, judged. Every tensor is (P, K)."""

    proxy: torch.Tensor  # what the policy was paid by, in logits of preference
    gold: torch.Tensor  # what it is judged by, in logits of preference
    lexicon: torch.Tensor  # sentiment by word list, in (−1, 1): a tripwire
    kl: torch.Tensor  # Σ log π − log π_reference over the answer's tokens, in nats
    length: torch.Tensor  # tokens
    ended: torch.Tensor  # 1.0 where the answer ended by itself
    texts: tuple[tuple[str, ...], ...]  # P × K, the opening with what follows

    def gain(self, reference, judge="gold"):
        """comparison.Estimate of how much higher the judge scores these than the reference's, sample by sample.

        The interval is over openings and samples together, the widest of the three.
        """
        return comparison.paired_difference(getattr(self, judge).T, getattr(reference, judge).T, over="both")

    def wins(self, reference, judge="gold"):
        """comparison.Estimate of the share of paired samples that the judge prefers to the reference's, ties ½."""
        right = preference.ordered_right(getattr(self, judge), getattr(reference, judge))
        return comparison.mean_interval(right.T, over="both")

    def numbers(self):
        """All but the texts as nested lists, for a record."""
        return {name: value.tolist() for name, value in vars(self).items() if name != "texts"}


def judge_policy(pieces, adapter, prompts, *, samples_each, answer_tokens, seed=0):
    """Sample answers from one adapter of the backbone and judge them.

    Args:
        pieces: training.rlhf.Pieces.
        adapter: "policy", "sft" for the reference, or a name from `Pieces.keep`.
        prompts: P encoded openings.
        samples_each: K.
        answer_tokens: an answer is cut off after so many.
        seed: of the random numbers; give the same one for two policies that are to be paired.

    Returns:
        Written.
    """
    asked = [row for row in prompts for _ in range(samples_each)]
    parts = []
    for start in range(0, len(asked), GROUP):
        parts += _judged(pieces, adapter, asked[start : start + GROUP], answer_tokens, seed * 1_000_003 + start)
    columns = dict(zip(("kl", "length", "ended", "text"), zip(*parts, strict=True), strict=True))
    texts, given = list(columns.pop("text")), [row["prompt"] for row in asked]
    columns |= {"proxy": pieces.proxy(given, texts), "gold": pieces.gold(given, texts)}
    columns["lexicon"] = lexicon.reward(given, texts)
    shaped = {name: torch.as_tensor(values).float().view(-1, samples_each) for name, values in columns.items()}
    rows = tuple(tuple(texts[row : row + samples_each]) for row in range(0, len(texts), samples_each))
    return Written(**shaped, texts=rows)


def _judged(pieces, adapter, asked, answer_tokens, seed):
    """(kl, length, ended, text) of one answer to each prompt."""
    model, turns = pieces.actor.model, pieces.turns
    prompts = [list(row["prompt_ids"]) for row in asked]
    with switching.using(model, adapter), fast_blocks(model):
        samples = sampling.sample(
            model.get_base_model(), prompts, max_new_tokens=answer_tokens, temperature=pieces.actor.temperature,
            stop_tokens=[turns.end], seed=seed,
        )  # fmt: skip
    openings = [row["prompt_ids"][len(row["prompt_ids"]) - row["opening_length"] :] for row in asked]
    texts = [turns.text([*before, *sample.tokens]) for before, sample in zip(openings, samples, strict=True)]
    answers = rollout.assemble(prompts, samples, torch.zeros(len(samples)), texts)
    kl = torch.cat([_kl(pieces.actor, adapter, answers, part) for part in torch.arange(len(samples)).split(16)])
    lengths = answers.answer_mask.sum(dim=1)
    return list(zip(kl.tolist(), lengths.tolist(), answers.ended.tolist(), texts, strict=True))


@torch.no_grad()
def _kl(actor, adapter, answers, rows):
    """(B,) summed k1 of some answers."""
    batch = {name: value.to(actor.model.device) for name, value in answers.batch(rows).items()}
    with fast_blocks(actor.model):
        with switching.using(actor.model, adapter):
            logprobs, _ = actor.read(batch)
        reference = actor.reference_logprobs(batch)
    return torch.where(batch["answer_mask"], objectives.kl_k1(logprobs, reference), 0.0).sum(dim=1).cpu()


def best_of_curve(reference, counts=(1, 2, 4, 8, 16)):
    """Choosing among n samples of the reference, instead of training: [(n, KL in nats, proxy gain, gold gain)].

    Args:
        reference: Written with K ≥ the largest count; larger counts are left out.
    """
    lines, (base_proxy, base_gold) = [], (reference.proxy.mean(), reference.gold.mean())
    for n in counts:
        if n <= reference.proxy.shape[1]:
            proxy = preference.best_of(reference.proxy, reference.proxy, n).mean() - base_proxy
            gold = preference.best_of(reference.proxy, reference.gold, n).mean() - base_gold
            lines.append((n, preference.best_of_kl(n), proxy.item(), gold.item()))
    return lines
