"""What PPO needs, on one backbone in memory: the SFT policy, the reference, the proxy it is trained on, the gold judge.

    backbone (frozen) ─┬─ "sft"      notebook 07's adapter, frozen: the reference
                       ├─ "policy"   starts as its copy and learns
                       ├─ "proxy"    a reward model from at most 256 pairs: what the policy is paid by
                       └─ "gold"     notebook 08's reward model, of other texts: what judges it

Each part is a stage: trained if absent, else read back. While one is fetched there is a second backbone.
After Gao, Schulman and Hilton (2023), whose gold judge too is a reward model in place of people. Deviation: their proxy
learns from the gold model's choices; ours learns from people, so that the two share no text, and nobody who
rated the same sentences; who rated elsewhere is not recorded.
"""

import gc
from dataclasses import dataclass

from course_utils import recipes, runtime
from course_utils.adapters import switching
from course_utils.data import openings, preference
from course_utils.data.answers import Turns
from course_utils.engine import stages
from course_utils.engine.recipe import TrainingRecipe
from course_utils.training import actor as actors
from course_utils.training import ppo, reward, sft
from course_utils.training.ppo import PPOLoss, PPORecipe, PromptRows

MAX_LENGTH = 64  # tokens of a prompt
CENTRE = 32  # pairs whose texts have a mean score of zero
PROXY_WARMUP = 0.25  # of its steps; after a tenth of them the full rate left one seed of three blind
weights_dtype, precision = sft.weights_dtype, sft.precision


@dataclass(frozen=True)
class Pieces:
    """Everything on one backbone."""

    actor: actors.Actor  # policy, reference and values
    proxy: reward.Scorer  # the reward that the policy learns from
    gold: reward.Scorer  # the judge, from whom nothing is learned
    tokenizer: object
    turns: Turns

    def begin(self, recipe):
        """A PPOLoss whose policy is the reference again, token for token, with a value head that knows nothing."""
        model = self.actor.model
        switching.load(model, actors.POLICY, switching.weights_of(model, actors.REFERENCE))
        switching.train_only(model, actors.POLICY)
        return PPOLoss(actors.Actor(model, temperature=recipe.temperature), recipe)

    def train(self, name, prompts, recipe, *, paid_by=None, watch=None, run=None, progress=True):
        """A PPO stage against the proxy, or a reward function of one's own: trained now, or read back.

        Args:
            name: of the stage, such as "ppo".
            prompts: encoded openings, from `prompts_of`.
            recipe: a PPORecipe.
            paid_by: (prompts, texts) -> numbers; the proxy by default.
            watch: module -> {name: number}, called every `recipe.evaluate_every` steps; such as `policies.watch(…)`.

        Returns:
            A stages.Stage; the policy of `actor` is the trained one.
        """
        paid_by = paid_by or self.proxy
        return stages.run_stage(
            name, lambda: self.begin(recipe), prompts, PromptRows(), recipe, evaluate=watch, run=run,
            progress=progress, also=(ppo.reward_identity(paid_by),), trainer=self.trainer(paid_by),
        )  # fmt: skip

    def roll_out(self, module, prompts, recipe):
        """The first step's answers of a policy, judged by the proxy and not learned from.

        Args:
            module: a PPOLoss, from `begin` or a trained stage.

        Returns:
            A rollout.Trajectory.
        """
        run = runtime.current()
        made = ppo.Trainer(module, prompts, self.proxy, recipe, run.runs, run, None, print, self.turns)
        with module.while_training():
            return made.roll_out(1)

    def trainer(self, paid_by):
        """`ppo.train` with the arguments of `loop.train`."""

        def train(module, rows, collate, recipe, output, **options):
            return ppo.train(module, rows, paid_by, recipe, output, turns=self.turns, **options)

        return train


def tokens_of(trajectory, row):
    """The token ids that were sampled in one row of a rollout.Trajectory."""
    return trajectory.answers.input_ids[row][trajectory.answers.completion_mask[row]].tolist()


def recipe_of(tier, *, seed=0, steps=None):
    """The PPORecipe of notebook 09 on a tier; steps in place of the tier's own."""
    size = recipes.of("09", tier)
    return PPORecipe(
        steps=steps or size.steps, batch_size=size.batch_size, learning_rate=size.learning_rate, max_length=MAX_LENGTH,
        answer_tokens=size.answer_tokens, epochs=size.epochs, kl_coef=size.kl_coef, schedule="constant",
        save_every=10, evaluate_every=(steps or size.steps) // 3, seed=seed,
    )  # fmt: skip


def for_method(recipe, method):
    """The recipe itself: PPO trains adapters.

    Raises:
        ValueError: for full tuning, which would move the reference and both reward models with the policy.
    """
    if method != recipe.method:
        raise ValueError(
            f"PPO trains by {recipe.method}, got --method {method}. Policy, reference and reward models share one "
            "backbone here; training all of its weights would move all four. Leave --method out."
        )
    return recipe


def prompts_of(tokenizer, split="train", count=None, *, asks=None):
    """Encoded neutral openings of a split, as `ppo.train` takes them.

    Args:
        asks: the writer is asked this in place of the usual instruction; those that judge still read the usual one.
    """
    rows = openings.load(split, count)
    if asks is None:
        return openings.encode(rows, tokenizer)
    asked = openings.encode([row | {"prompt": asks} for row in rows], tokenizer)
    return [row | {"prompt": usual} for row, usual in zip(asked, rows["prompt"], strict=True)]


def proxy_pairs(size, *, seed=0):
    """What the proxy learns from: pairs of its own snippets, ordered by its half of each panel.

    Args:
        size: a recipes.PPO.
    """
    rows, part = preference.rated_rows("proxy"), preference.PARTS["proxy"]
    return preference.human_pairs(rows, size.proxy_pairs, part=part, seed=seed)


def proxy_job(tier, *, seed=0):
    """The proxy's stage: notebook 08's reward model on few pairs."""
    size = recipes.of("09", tier)
    recipe = TrainingRecipe(
        steps=size.proxy_steps, batch_size=size.proxy_batch, learning_rate=size.proxy_rate,
        max_length=reward.MAX_LENGTH, warmup_steps=round(PROXY_WARMUP * size.proxy_steps), save_every=20, pool=4,
        seed=seed,
    )  # fmt: skip
    return reward.job(tier, rows=proxy_pairs(size, seed=seed), recipe=recipe)


def pieces(run=None, *, progress=True, say=print):
    """All parts on one backbone; stages that are not in the cache are trained first.

    Args:
        run: the runtime's decisions, whose tier and seed decide the stages.
        progress, say: as for `loop.train`.

    Returns:
        Pieces; both scorers are centred on reviews that the proxy has learned from.
    """
    run = run or runtime.current()
    how = {"run": run, "progress": progress, "say": say}
    actor, tokenizer = _actor(sft.job(run.tier, recipe=sft.recipe_of(run.tier, seed=run.seed)), how)
    known = proxy_pairs(recipes.of("09", run.tier), seed=run.seed)[:CENTRE]
    scorers = {}
    for name, stage in (("gold", "reward"), ("proxy", "reward-proxy")):
        scorers[name] = _scorer(name, stage, actor.model, run, how)
        scorers[name].centre(2 * known["prompt"], known["chosen"] + known["rejected"])
        gc.collect()  # the backbone on which it was trained
    return Pieces(actor, scorers["proxy"], scorers["gold"], tokenizer, Turns.of(tokenizer))


def _actor(job, how):
    """(Actor, tokenizer) of which policy and reference are the SFT stage's model."""
    module = _fetched("sft", job, how)
    weights = switching.weights_of(module.model)
    base = module.model.unload()  # peft takes its adapter off; the backbone stays as it was loaded
    return actors.make(base, sft=weights), job.tokenizer


def _scorer(name, stage, model, run, how):
    """The Scorer of a reward stage, moved onto the model as an adapter of this name."""
    if name == "proxy":
        job = proxy_job(run.tier, seed=run.seed)
    else:
        job = reward.job(run.tier, recipe=reward.recipe_of(run.tier, seed=run.seed))
    module = _fetched(stage, job, how)
    return reward.Scorer(module.reward_model.move_to(model, name), job.tokenizer)


def _fetched(name, job, how):
    """The trained module of a stage."""
    return stages.run_stage(name, job.build, job.rows, job.collate, job.recipe, **how).module


def job(tier, *, recipe=None):
    """The PPO stage of a tier, for `python -m course_utils train ppo`; earlier stages are trained first.

    Returns:
        An sft.Job with a trainer of its own.
    """
    recipe = recipe or recipe_of(tier)
    made = pieces()
    prompts = prompts_of(made.tokenizer)
    return sft.Job(
        recipe, lambda: made.begin(recipe), prompts, PromptRows(), made.tokenizer, made.trainer(made.proxy)
    )  # fmt: skip
