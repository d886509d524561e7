"""Experience: the policy writes answers, a reward function judges them, and PPO's learning targets follow.

Shapes: B answers, P prompt tokens, R tokens of the longest answer, T = P + R at most.
"""

from dataclasses import dataclass

import torch

from course_utils.tensors import check_rows, check_same_shape, masked_mean, whiten
from course_utils.training import objectives
from course_utils.training.advantages import gae


@dataclass(frozen=True)
class Answers:
    """What the policy wrote and how it was judged. All masks are True where a token counts."""

    input_ids: torch.Tensor  # (B, T) prompt and answer, then zeros
    mask: torch.Tensor  # (B, T) bool, prompt and answer
    completion_mask: torch.Tensor  # (B, T) bool, the sampled tokens alone
    answer_mask: torch.Tensor  # (B, R) bool, the sampled tokens from column 0 on
    scores: torch.Tensor  # (B,) what the reward function said
    ended: torch.Tensor  # (B,) bool, whether the answer ended by itself
    texts: tuple[str, ...]  # B answers as the reward function read them

    def __post_init__(self):
        check_same_shape(input_ids=self.input_ids, mask=self.mask, completion_mask=self.completion_mask)
        check_same_shape(scores=self.scores, ended=self.ended, answers=self.answer_mask[:, 0])

    def batch(self, rows):
        """The rows as `Actor.read` takes them."""
        names = ("input_ids", "mask", "completion_mask", "answer_mask")
        return {name: getattr(self, name)[rows] for name in names}


@dataclass(frozen=True)
class Trajectory:
    """Answers with everything that PPO learns from; each (B, R) tensor is zero where the answer's mask is False."""

    answers: Answers
    logprobs: torch.Tensor  # (B, R) log π(token) when sampled, in nats
    reference_logprobs: torch.Tensor  # (B, R) log π_reference(token), in nats
    values: torch.Tensor  # (B, R) the value before each token
    rewards: torch.Tensor  # (B, R) −β · kl at each token, plus the score at the last
    advantages: torch.Tensor  # (B, R) whitened
    returns: torch.Tensor  # (B, R) what the values should have been

    def __post_init__(self):
        names = ("logprobs", "reference_logprobs", "values", "rewards", "advantages", "returns")
        check_same_shape(mask=self.answers.answer_mask, **{name: getattr(self, name) for name in names})

    def __len__(self):
        return len(self.answers.scores)

    def __getitem__(self, row):
        """One row as a dictionary of tensors, for a collator that stacks rows into an update's batch."""
        names = ("logprobs", "values", "advantages", "returns")
        return self.answers.batch(row) | {name: getattr(self, name)[row] for name in names}

    def batch(self):
        """All rows as an update takes them, as a dictionary of tensors."""
        return self[slice(None)]


def assemble(prompts, samples, scores, texts):
    """Prompts and what was written behind them, as tensors.

    Args:
        prompts: B lists of token ids.
        samples: B `sampling.Sample`s.
        scores: (B,) from `judge`.
        texts: B answers as text.

    Returns:
        Answers.
    """
    check_rows(len(prompts), "prompt", " to put an answer behind")
    whole = [[*prompt, *sample.tokens] for prompt, sample in zip(prompts, samples, strict=True)]
    starts, lengths = torch.tensor([len(prompt) for prompt in prompts]), torch.tensor([len(row) for row in whole])
    places = torch.arange(int(lengths.max()))
    input_ids = torch.zeros(len(whole), len(places), dtype=torch.int64)
    for row, tokens in enumerate(whole):
        input_ids[row, : len(tokens)] = torch.tensor(tokens)
    mask = places < lengths[:, None]
    counts = lengths - starts
    return Answers(
        input_ids, mask, mask & (places >= starts[:, None]), torch.arange(int(counts.max())) < counts[:, None],
        scores, torch.tensor([sample.stopped for sample in samples]), tuple(texts),
    )  # fmt: skip


class RewardError(RuntimeError):
    """A reward function did not do what it should; the message says what came and what was expected."""


def judge(reward, prompts, texts):
    """(B,) fp32 scores from a reward function of the reader's own, or an error that says what is wrong with it.

    Args:
        reward: (prompts, texts) -> B numbers, as a tensor or a list; higher is better.
        prompts, texts: B strings each.

    Raises:
        RewardError: it raised, gave another number of values, or one that is not finite.
    """
    check_rows(len(texts), "text", " to judge")
    try:
        given = reward(list(prompts), list(texts))
    except Exception as error:
        raise RewardError(
            f"the reward function raised {type(error).__name__}: {error}. It was given {len(texts)} texts, the first "
            f"of them {texts[0]!r}"
        ) from error
    try:
        scores = torch.as_tensor(given, dtype=torch.float32).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise RewardError(f"the reward function gave {type(given).__name__}, expected {len(texts)} numbers") from error
    if scores.shape != (len(texts),):
        raise RewardError(
            f"the reward function gave shape {tuple(scores.shape)} for {len(texts)} texts, expected ({len(texts)},): "
            "one number a text, in their order"
        )
    broken = (~scores.isfinite()).nonzero().flatten().tolist()
    if broken:
        raise RewardError(
            f"the reward of {len(broken)} of {len(texts)} texts is not finite; the first, {scores[broken[0]].item()}, "
            f"was given to {texts[broken[0]]!r}"
        )
    return scores


def token_rewards(answers, logprobs, reference_logprobs, *, kl_coef, missing_end_penalty=0.0):
    """(B, R) the reward of each token: what straying from the reference costs, and at the last token the score.

    Args:
        answers: Answers.
        logprobs, reference_logprobs: (B, R) in nats.
        kl_coef: β, score units a nat.
        missing_end_penalty: taken from the score of an answer that was cut off.
    """
    mask, scores = answers.answer_mask, answers.scores - missing_end_penalty * (~answers.ended)
    # r_t = −β (log π − log π_reference), and + score at the last token
    rewards = torch.where(mask, -kl_coef * objectives.kl_k1(logprobs, reference_logprobs), 0.0)
    last = mask.sum(dim=1) - 1
    rewards[torch.arange(len(mask)), last] += scores
    return rewards


def learn_from(answers, logprobs, reference_logprobs, values, *, kl_coef, missing_end_penalty, gamma, lam):
    """The Trajectory: rewards, advantages and returns from what was written, judged and read. Arguments as above."""
    rewards = token_rewards(
        answers, logprobs, reference_logprobs, kl_coef=kl_coef, missing_end_penalty=missing_end_penalty
    )
    advantages, returns = gae(rewards, values, answers.answer_mask, gamma=gamma, lam=lam)
    advantages = whiten(advantages, answers.answer_mask)
    return Trajectory(answers, logprobs, reference_logprobs, values, rewards, advantages, returns)


# What to look at, with a sentence each. The numbers of a step come before its update.
DIAGNOSTICS = {
    "reward": "Mean score of the reward function: what PPO raises; alone it proves nothing, since it may be fooled.",
    "reward_std": "Spread of the scores in a batch: near 0 there is nothing left to tell good answers from bad.",
    "kl": "KL(π ‖ reference) an answer, in nats, by k1: how far the policy has strayed; above 20 read the texts.",
    "kl_k3": "The same by k3, never negative: less noisy near the reference, more so far from it; early on they agree.",
    "kl_coef": "What a nat of KL costs in units of reward: constant, or adapted to hold the KL at its target.",
    "entropy": "Mean −log π of what was sampled, in nats a token: a fall to 0 means one answer to everything.",
    "explained_variance": "Share of the returns' variance that the values foresaw: 1 all, 0 none, below 0 harmful.",
    "length": "Mean tokens an answer: a reward that can be had by writing more, or less, shows here first.",
    "ended": "Share of answers that ended by themselves: cut ones lose the missing-end penalty.",
    "ratio": "Mean of π / π_old over the update: exactly 1 in its first pass, close to 1 after.",
    "clip_fraction": "Share of tokens held back by the clip: 0 is timid; near 0.4 at first, then it should fall.",
    "policy_loss": "The clipped surrogate: its size means little, since advantages are whitened.",
    "value_loss": "Half the mean squared error of the values, clipped: should fall as the head learns.",
}


def diagnose(trajectory):
    """{name: float} of those DIAGNOSTICS that are known before the update."""
    answers, mask = trajectory.answers, trajectory.answers.answer_mask
    k1, k3 = (kl(trajectory.logprobs, trajectory.reference_logprobs) for kl in (objectives.kl_k1, objectives.kl_k3))
    found = {
        "reward": answers.scores.mean(),
        "reward_std": answers.scores.std(correction=0),
        "kl": torch.where(mask, k1, 0.0).sum(dim=1).mean(),
        "kl_k3": torch.where(mask, k3, 0.0).sum(dim=1).mean(),
        "entropy": masked_mean(-trajectory.logprobs, mask),
        "explained_variance": explained_variance(trajectory.values, trajectory.returns, mask),
        "length": mask.sum(dim=1).float().mean(),
        "ended": answers.ended.float().mean(),
    }
    return {name: value.item() for name, value in found.items()}


def explained_variance(values, returns, mask):
    """1 − Var(G − V) / Var(G) over the mask; 0 when the returns do not vary."""
    returns, errors = returns[mask], (returns - values)[mask]
    spread = returns.var(correction=0)
    return 1 - errors.var(correction=0) / spread if spread > 0 else torch.zeros(())
