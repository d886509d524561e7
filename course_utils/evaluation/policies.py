"""What a policy has learned, by judges that did not teach it: its answers, paired with those of its reference.

Shapes: P openings, K samples of each; both policies are sampled from the same seed.
"""

from dataclasses import dataclass

import torch

from course_utils.adapters import switching
from course_utils.data import lexicon
from course_utils.evaluation import comparison, preference
from course_utils.models import sampling
from course_utils.models.fused_forward import fast_blocks
from course_utils.tensors import moved
from course_utils.training import objectives, rollout
from course_utils.training.actor import POLICY, REFERENCE

GROUP = 64  # answers in memory at once


@dataclass(frozen=True)
class Written:
    """The answers of one policy, judged. Every tensor is (P, K); `kl` may be of fewer samples."""

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


def judge_policy(pieces, adapter, prompts, *, samples_each, answer_tokens, kl_samples=None, seed=0):
    """Sample answers from one adapter of the backbone and judge them.

    Args:
        pieces: training.rlhf.Pieces.
        adapter: "policy", or "sft" for the reference.
        prompts: P encoded openings.
        samples_each: K.
        answer_tokens: an answer is cut off after so many.
        kl_samples: of so many samples of each opening the KL is read, which costs as much as the rest; None for all.
        seed: of the random numbers.

    Returns:
        Written.
    """
    asked = [row for row in prompts for _ in range(samples_each)]
    read = [row % samples_each < (kl_samples or samples_each) for row in range(len(asked))]
    parts = []
    for start in range(0, len(asked), GROUP):
        group = slice(start, start + GROUP)
        parts += _judged(pieces, adapter, asked[group], read[group], answer_tokens, seed * 1_000_003 + start)
    columns = dict(zip(("kl", "length", "ended", "text"), zip(*parts, strict=True), strict=True))
    texts, given = list(columns.pop("text")), [row["prompt"] for row in asked]
    columns |= {"proxy": pieces.proxy(given, texts), "gold": pieces.gold(given, texts)}
    columns["lexicon"] = lexicon.reward(given, texts)
    shaped = {name: torch.as_tensor(values).float().view(-1, samples_each) for name, values in columns.items()}
    shaped["kl"] = shaped["kl"][:, :kl_samples]
    rows = tuple(tuple(texts[row : row + samples_each]) for row in range(0, len(texts), samples_each))
    return Written(**shaped, texts=rows)


def _judged(pieces, adapter, asked, read, answer_tokens, seed):
    """(kl, length, ended, text) of one answer to each prompt; kl is 0 where `read` is False."""
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
    kl, rows = torch.zeros(len(samples)), torch.tensor(read).nonzero().flatten()
    for part in rows.split(16) if len(rows) and adapter != REFERENCE else ():
        kl[part] = _kl(pieces.actor, adapter, answers, part)
    lengths = answers.answer_mask.sum(dim=1)
    return list(zip(kl.tolist(), lengths.tolist(), answers.ended.tolist(), texts, strict=True))


@torch.no_grad()
def _kl(actor, adapter, answers, rows):
    """(B,) summed k1 of some answers."""
    batch = moved(answers.batch(rows), actor.model.device)
    with fast_blocks(actor.model):
        with switching.using(actor.model, adapter):
            logprobs, _ = actor.read(batch)
        reference = actor.reference_logprobs(batch)
    return torch.where(batch["answer_mask"], objectives.kl_k1(logprobs, reference), 0.0).sum(dim=1).cpu()


def watch(pieces, prompts, *, answer_tokens):
    """What `Pieces.train` calls on the way: module -> mean KL, proxy and gold score of one answer to each prompt."""

    def look(module):
        found = judge_policy(pieces, POLICY, prompts, samples_each=1, answer_tokens=answer_tokens)
        return {name: getattr(found, name).mean() for name in ("kl", "proxy", "gold")}

    return look


def blind_pairs(policy, reference, *, count):
    """Pairs of answers to one opening for `rating.Rating`, of which the policy's is called "chosen".

    Args:
        policy, reference: Written for the same openings.
        count: at most so many, one of each opening; equal answers are left out.
    """
    firsts = [(ours[0], theirs[0]) for ours, theirs in zip(policy.texts, reference.texts, strict=True)]
    return [
        {"chosen": ours, "rejected": theirs, "chosen_id": f"policy: {ours}", "rejected_id": f"reference: {theirs}"}
        for ours, theirs in firsts
        if ours != theirs
    ][:count]


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
