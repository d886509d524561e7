"""Proximal policy optimisation of a language model, in the order in which it happens.

    each step   1  sample    answers to a batch of prompts, from the policy            rollout, sampling
                2  judge     one score an answer, from any function of texts           rollout.judge
                3  read      log π, log π_reference and values                         actor
                4  credit    KL penalty a token, score at the last, GAE, whitening     advantages
                5  learn     `epochs` passes of clipped policy and value losses        objectives

Where a pass is one batch, the first one learns from the reading of 3, since nothing has changed in between.

After Schulman et al. 2017 and Stiennon et al. 2020, with the N+ implementation details (Huang et al. 2024) that survive
a change of scale. Deviations: policy, value and reference share one backbone (see `actor`); the rows of a minibatch
stay together in all epochs, only the order of minibatches is drawn, because a bf16 log-probability depends on what is
read beside it: so the ratio before the first update is exactly 1, and the KL of an untrained policy exactly 0.

A step is one rollout with its updates. A run resumes, fails and speaks like every other (`loop.train`): the draws of a
step are a function of the seed and its number, and the adapted KL coefficient one of the step before.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from course_utils import runtime
from course_utils.engine import batching, function_fingerprint, loop, stop_messages
from course_utils.engine.recipe import TrainingRecipe
from course_utils.engine.schedule import learning_rate
from course_utils.models.fused_forward import fast_blocks
from course_utils.tensors import moved
from course_utils.training import objectives, rollout
from course_utils.training.actor import Actor

KL_GAIN, KL_ERROR = 0.1, 0.2  # of the adaptive controller (Ziegler et al. 2019, section 2.2)


@dataclass(frozen=True)
class PPORecipe(TrainingRecipe):
    """A TrainingRecipe of which steps are rollouts, batch_size is answers a rollout, max_length tokens of a prompt."""

    answer_tokens: int = 24  # an answer is cut off after so many
    temperature: float = 1.0  # of sampling; nothing else shapes the distribution
    epochs: int = 4  # passes over each rollout
    minibatches: int = 1  # optimizer steps a pass
    clip_ratio: float = 0.2  # ε of the policy loss
    clip_value: float = 0.2  # ε of the value loss
    value_coef: float = 0.1  # weight of the value loss
    kl_coef: float = 0.05  # what a nat of KL costs, in units of reward
    kl_target: float | None = None  # nats an answer that the coefficient is adapted to hold; None keeps it fixed
    max_kl: float = 200.0  # nats an answer at which the run stops itself
    missing_end_penalty: float = 1.0  # taken from the score of an answer that was cut off
    gamma: float = 1.0  # discount a token
    lam: float = 0.95  # λ of GAE

    def __post_init__(self):
        super().__post_init__()
        for name in ("answer_tokens", "epochs", "minibatches"):
            self._expect(name, isinstance(getattr(self, name), int) and getattr(self, name) >= 1, "a whole number ≥ 1")
        for name in ("temperature", "clip_ratio", "clip_value", "max_kl"):
            self._expect(name, getattr(self, name) > 0, "a number > 0")
        for name in ("value_coef", "kl_coef", "missing_end_penalty"):
            self._expect(name, getattr(self, name) >= 0, "a number ≥ 0")
        self._expect("kl_target", self.kl_target is None or self.kl_target > 0, "a number of nats > 0, or None")
        divides = self.batch_size % self.minibatches == 0
        self._expect("minibatches", divides, f"a number that divides batch_size = {self.batch_size}")


class PPOLoss(torch.nn.Module):
    """Clipped policy loss plus clipped value loss of some rows of a trajectory."""

    def __init__(self, actor: Actor, recipe):
        super().__init__()
        self.actor, self.recipe, self.noted, self.kept = actor, recipe, [], None

    def while_training(self):
        """The context in which PPO trains: fused functions take the place of eager ones where they can."""
        return fast_blocks(self.actor.model)

    def count(self, batch):
        """How many sampled tokens."""
        return int(batch["answer_mask"].sum())

    def forward(self, batch):
        """The loss of a batch of stacked Trajectory rows; its parts are noted for the metrics."""
        batch = moved(batch, self.actor.model.device)
        (logprobs, values), self.kept = self.kept or self.actor.read(batch), None
        mask, old = batch["answer_mask"], batch["logprobs"]
        policy_loss, clip_fraction = objectives.clipped_policy_loss(
            logprobs, old, batch["advantages"], mask, clip=self.recipe.clip_ratio
        )
        value_loss, _ = objectives.clipped_value_loss(
            values, batch["values"], batch["returns"], mask, clip=self.recipe.clip_value
        )
        parts = {"policy_loss": policy_loss, "value_loss": value_loss, "clip_fraction": clip_fraction}
        parts["ratio"] = torch.exp((logprobs - old)[mask]).mean()
        self.noted.append((int(mask.sum()), {name: part.item() for name, part in parts.items()}))
        return policy_loss + self.recipe.value_coef * value_loss


class PromptRows:
    """Collates trajectory rows; `columns` are those of the prompts that a run begins with."""

    columns = ("prompt", "prompt_ids", "opening_length")

    def __call__(self, rows):
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def train(
    module, prompts, reward, recipe, output, *, turns, run=None, evaluate=None, go_on=True, progress=True, say=print
):
    """Train a policy by PPO, or go on where an earlier call with the same output folder was stopped.

    Args:
        module: a PPOLoss.
        prompts: rows from `data.openings.encode`: prompt, prompt_ids, opening_length.
        reward: (prompts, texts) -> B numbers; a reward.Scorer, lexicon.reward, or a function of one's own.
        recipe: a PPORecipe.
        turns: data.answers.Turns of the tokenizer.
        output, run, evaluate, go_on, progress, say: as for `loop.train`.

    Returns:
        A loop.TrainingResult, whose metrics hold every name in rollout.DIAGNOSTICS.

    Raises:
        ValueError: a prompt is empty, or what loop.train refuses.
        loop.TrainingStopped: the reward function failed, the KL exploded, or what stops loop.train. The last checkpoint
            is kept.
    """
    made = Trainer(module, prompts, reward, recipe, Path(output), run or runtime.current(), evaluate, say, turns)
    return loop.conduct(made, go_on, progress)


class Trainer(loop.Trainer):
    """One PPO run in progress. `train` is the way in."""

    def __init__(self, module, prompts, reward, recipe, output, run, evaluate, say, turns):
        _check_prompts(prompts)
        super().__init__(module, prompts, PromptRows(), recipe, output, run, evaluate, say)
        self.prompts, self.reward, self.turns = prompts, reward, turns
        self.identity |= {"reward": reward_identity(reward)}

    def _train_step(self, step):
        # where the first pass reads what has just been read, it learns from that reading
        once = self.recipe.minibatches == 1 and self.micro_batch >= self.recipe.batch_size and self.world.size == 1
        trajectory = self.roll_out(step, keep=once)
        values = {"step": step, "kl_coef": self.kl_coefficient()} | rollout.diagnose(trajectory)
        if not values["kl"] < self.recipe.max_kl:
            self._stop_kl(values["kl"])
        self.rows, self.module.noted, results = trajectory, [], []
        rate = learning_rate(step, self.recipe)
        draw = np.random.default_rng([self.recipe.seed, 2, step])
        groups = self._groups(len(trajectory))
        for _ in range(self.recipe.epochs):
            for number in draw.permutation(len(groups)):
                results.append(self._update(groups[number], rate))
        losses, _, norms = zip(*results, strict=True)
        counted = int(trajectory.answers.answer_mask.sum())
        values |= {"loss": losses[-1], "learning_rate": rate, "gradient_norm": max(norms), "counted": counted}
        return values | self._noted(), int(trajectory.answers.mask.sum())

    def roll_out(self, step, *, keep=False):
        """Steps 1 to 4: a Trajectory of this step's prompts, the same in all processes.

        Args:
            keep: whether the loss's next call takes what the policy said here, with its graph, instead of asking again.
        """
        recipe, actor = self.recipe, self.module.actor
        rows = batching.rows_of_step(step, self.lengths, recipe)
        answers = self._answers(step, self.world.share(rows))
        read = {}
        for group in self._groups(recipe.batch_size):
            for part in batching.micro_batches(self.world.share(group), self.micro_batch):
                batch = moved(answers.batch(part), self.device)
                with self._autocast():
                    found = (actor.reference_logprobs(batch), *self._read(batch, keep))
                found = (tensor.detach().cpu() for tensor in found)
                read |= dict(zip(part, zip(*found, strict=True), strict=True))
        read = {row: tensors for part in self.world.gather(read) for row, tensors in part.items()}
        in_order = zip(*(read[row] for row in sorted(read)), strict=True)
        reference, logprobs, values = (torch.stack(column) for column in in_order)
        return rollout.learn_from(
            answers, logprobs, reference, values, kl_coef=self.kl_coefficient(), gamma=recipe.gamma, lam=recipe.lam,
            missing_end_penalty=recipe.missing_end_penalty,
        )  # fmt: skip

    def _read(self, batch, keep):
        """The policy's log-probabilities and values, where `keep` says so with a graph and left to the loss."""
        try:
            with torch.set_grad_enabled(keep):
                found = self.module.actor.read(batch)
            self.module.kept = found if keep else None
            return found
        except (RuntimeError, MemoryError) as error:
            if not keep or not stop_messages.is_out_of_memory(error):
                raise
        return self._read(batch, keep=False)

    def _halve(self):
        self.module.kept = None  # of more rows than a micro-batch has from here on
        super()._halve()

    def clean_up(self):
        """Free what only training needs."""
        super().clean_up()
        self.module.kept = None

    def kl_coefficient(self):
        """β of the coming step: the recipe's, or moved from the last step's towards the target."""
        recipe, last = self.recipe, self.monitor and self.monitor.last
        if recipe.kl_target is None or last is None:
            return recipe.kl_coef
        return adapted(last["kl_coef"], last["kl"], recipe.kl_target)

    def _answers(self, step, rows):
        """Sampled and judged answers of all processes, in the same order everywhere."""
        asked = [self.prompts[row] for row in rows]
        seed = int(np.random.default_rng([self.recipe.seed, 1, step, self.world.rank]).integers(2**62))
        with self._autocast():
            samples = self.module.actor.sample(
                [list(row["prompt_ids"]) for row in asked], max_new_tokens=self.recipe.answer_tokens,
                stop_tokens=[self.turns.end], seed=seed,
            )  # fmt: skip
        texts = []
        for row, sample in zip(asked, samples, strict=True):
            opening = row["prompt_ids"][len(row["prompt_ids"]) - row["opening_length"] :]
            texts.append(self.turns.text([*opening, *sample.tokens]))
        try:
            scores = rollout.judge(self.reward, [row["prompt"] for row in asked], texts)
        except rollout.RewardError as error:
            advice = (
                "Try the function on a few texts in a cell of its own. If only what it asks was out of reach, run the "
            )
            advice += "same again; a function that you change is another reward, and needs a new output folder."
            self._stop(str(error), advice=advice)
        mine = ([list(row["prompt_ids"]) for row in asked], samples, scores, texts)
        parts = list(zip(*self.world.gather(mine), strict=True))
        prompts, samples, texts = ([item for part in column for item in part] for column in (*parts[:2], parts[3]))
        return rollout.assemble(prompts, samples, torch.cat(parts[2]), texts)

    def _groups(self, count):
        """The rows of each minibatch, the same in all epochs."""
        return batching.micro_batches(list(range(count)), count // self.recipe.minibatches)

    def _noted(self):
        """Token-weighted means of what the loss noted, over all processes."""
        total = self.world.total(sum(count for count, _ in self.module.noted), self.device)
        names = self.module.noted[0][1]
        sums = {name: sum(count * parts[name] for count, parts in self.module.noted) for name in names}
        return {name: self.world.total(value, self.device) / total for name, value in sums.items()}

    def _stop_kl(self, kl):
        self._stop(
            f"the KL to the reference is {kl:.4g} nats an answer, above max_kl = {self.recipe.max_kl:g}",
            advice=f"The policy has left the reference: its texts mean little by now. Try a third of the learning rate "
            f"(now {self.recipe.learning_rate:g}) or ten times the kl_coef (now {self.recipe.kl_coef:g}), or set a "
            "kl_target, in a new output folder.",
        )


def adapted(kl_coef, kl, target):
    """The adaptive KL coefficient (Ziegler et al. 2019, eq. 3): up when the KL is above its target, down when below."""
    # e = clip((KL − target) / target, ±0.2);  β ← β (1 + 0.1 e)
    error = min(max(kl / target - 1, -KL_ERROR), KL_ERROR)
    return kl_coef * (1 + KL_GAIN * error)


def reward_identity(reward):
    """A fingerprint of a reward function: its own `identity` when it has one, else of all that it is made of."""
    return reward.identity if hasattr(reward, "identity") else function_fingerprint.of(reward)


def _check_prompts(prompts):
    empty = [row for row in range(len(prompts)) if not len(prompts[row].get("prompt_ids", (0,)))]
    if empty:
        raise ValueError(
            f"{len(empty)} of {len(prompts)} prompts are empty (rows {empty[:5]}): there is nothing to answer. "
            "Encode them with data.openings.encode, which puts the turns around them, or drop these rows."
        )
