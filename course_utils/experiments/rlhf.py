"""What does a policy do to its reward when it is let go further, and is PPO worth its trouble?

Every point starts from the SFT policy of notebook 07 and is judged by the gold model of notebook 08, on the same
held-out openings. Written down before the run:

    reference    no training: 16 answers to each opening, of which the best by the proxy can be chosen
    ppo-S        notebook 09 as it is, on a pipeline of seed S: its own SFT policy, proxy, gold judge and PPO; stops
                 before it trains if the proxy orders held-out pairs no better than chance
    beta-B       a longer leash: five times the learning rate, KL coefficient B, watched on the way
    dpo          the proxy's 256 pairs by direct preference optimisation; as many answers read as PPO's passes read
    positives    supervised fine-tuning on the better text of each pair, as many answers read
    rloo         TRL's RLOO in place of PPO: notebook 09's recipe, four answers to each of four openings a step
    clinic       four short runs that are broken, each in its own way, for their curves alone

Over-optimisation is the gold score at half of a beta run minus that at its end, paired over openings; both steps are
fixed here, not looked for. After Gao, Schulman and Hilton (2023). Rates of dpo, positives and rloo were not tuned.
"""

import time
from dataclasses import replace

import torch

from course_utils import recipes
from course_utils.adapters import switching
from course_utils.data import instructions, preference
from course_utils.engine import loop
from course_utils.engine.recipe import TrainingRecipe
from course_utils.evaluation import comparison, policies
from course_utils.models.base import load_base
from course_utils.training import actor, dpo, ppo, reward, rlhf, trl_library
from course_utils.training.next_token import NextTokenLoss

SEEDS, BETAS = (0, 1, 2), (0.0, 0.05, 0.2)
POINTS = (
    "reference", *(f"ppo-{seed}" for seed in SEEDS), "beta-0.0", "dpo", "positives",
    *(f"beta-{beta}" for beta in BETAS[1:]), "clinic", "rloo",
)  # fmt: skip
STEPS, EVERY, FASTER, CLINIC_STEPS = 24, 4, 5, 8
SETTING = {
    "seeds": SEEDS, "betas": BETAS, "steps": STEPS, "evaluate_every": EVERY, "learning_rate_times": FASTER,
    "best_of": 16, "look_samples": 4, "pair_batch": 16, "dpo_beta": 0.1, "dpo_rate": 2e-4, "positives_rate": 3e-4,
    "clinic_steps": CLINIC_STEPS, "answer_tokens": reward.ANSWER_TOKENS, "cut_share": reward.CUT_SHARE,
    "proxy_warmup": rlhf.PROXY_WARMUP, "held_out_pairs": 400,
}  # fmt: skip
RLOO_GROUP = 4  # answers to one opening
NUMBERS = ("gold", "proxy", "lexicon", "length", "ended")
# what is wrong with each run of the clinic: fields of the recipe, and what pays
CLINIC = {
    "too fast": ({"learning_rate": 30}, None),
    "leash too short": ({"kl_coef": 100}, None),
    "reward not centred": ({"learning_rate": 5}, lambda prompts, texts: [-0.5 * len(text.split()) for text in texts]),
    "reward blind": ({"learning_rate": 5}, lambda prompts, texts: [float(len(text) % 2) for text in texts]),
}


def measure(point, run, folder):
    """Train one point and judge it.

    Args:
        point: one of POINTS.
        run: the runtime's decisions.
        folder: where the training run lives; one that was killed goes on there.

    Returns:
        As far as the point has them: numbers of NUMBERS and "kl", a list with the mean of each opening; "base", those
        of the reference; "wins", "texts" and "text_ended" (whether each ended), "looks" (one dictionary each),
        "best_of", "runs" (the clinic's metrics).
    """
    kind, _, value = point.partition("-")
    if kind == "ppo":
        run = replace(run, seed=int(value))
    size = recipes.of("09", run.tier)
    pieces = rlhf.pieces(run)
    if kind == "clinic":
        return {"runs": {name: _broken(name, pieces, run, folder) for name in CLINIC}}
    test = rlhf.prompts_of(pieces.tokenizer, "test", size.test_openings)
    how = {"answer_tokens": size.answer_tokens, "kl_samples": size.kl_samples}
    if kind == "reference":
        wrote = policies.judge_policy(pieces, actor.REFERENCE, test, samples_each=SETTING["best_of"], **how)
        return _numbers(wrote) | {"best_of": policies.best_of_curve(wrote)}
    known = TRAIN[kind](pieces, run, folder, value, test)
    samples = SETTING["look_samples"] if kind == "beta" else size.samples_each
    trained = policies.judge_policy(pieces, actor.POLICY, test, samples_each=samples, **how)
    if kind == "ppo":
        base = policies.judge_policy(pieces, actor.REFERENCE, test, samples_each=samples, **how)
        known |= {"base": _numbers(base), "wins": _estimate(trained.wins(base)), "gain": _estimate(trained.gain(base))}
    return _numbers(trained) | known


def _ppo(pieces, run, folder, value, test):
    """Notebook 09's own run; a pipeline of another seed draws its own batches too."""
    right = proxy_right(pieces.proxy, SETTING["held_out_pairs"])
    prompts = rlhf.prompts_of(pieces.tokenizer)
    pieces.train("ppo", prompts, replace(rlhf.recipe_of(run.tier, seed=run.seed), evaluate_every=0), run=run)
    return {"proxy_right": right}


def proxy_right(proxy, count):
    """(share, low, high) of held-out pairs that a proxy orders as its half of each panel does.

    Args:
        proxy: a reward.Scorer.
        count: of pairs from the validation snippets of the proxy's part.

    Raises:
        ValueError: the 95 % interval reaches one half, so that PPO against this proxy would show nothing.
    """
    rows = preference.rated_rows("proxy", "validation")
    pairs = preference.human_pairs(rows, count, part=preference.PARTS["proxy"])
    ahead = proxy(pairs["prompt"], pairs["chosen"]) > proxy(pairs["prompt"], pairs["rejected"])
    share, low, high = _estimate(comparison.mean_interval(ahead.float(), over="items"))
    if low <= 0.5:
        raise ValueError(
            f"The proxy orders {share:.0%} [{low:.0%}, {high:.0%}] of {count} held-out pairs as people do, expected "
            "more than half: it has learned nothing to be paid by. Train it longer, or warm its learning rate up."
        )
    return share, low, high


def _beta(pieces, run, folder, value, test):
    """A run at a higher rate, looked at on the way."""
    size = recipes.of("09", run.tier)
    recipe = rlhf.recipe_of(run.tier, steps=STEPS)
    recipe = replace(
        recipe, learning_rate=FASTER * recipe.learning_rate, kl_coef=float(value), evaluate_every=EVERY,
        save_every=EVERY, max_kl=1000.0,
    )  # fmt: skip

    def look(module):
        how = {"samples_each": SETTING["look_samples"], "answer_tokens": size.answer_tokens, "kl_samples": 1}
        return _numbers(policies.judge_policy(pieces, actor.POLICY, test, **how), texts=0)

    prompts, module = rlhf.prompts_of(pieces.tokenizer), pieces.begin(recipe)
    result = ppo.train(
        module, prompts, pieces.proxy, recipe, folder, turns=pieces.turns, run=run, evaluate=look
    )  # fmt: skip
    return {"looks": [line["evaluate"] | {"step": line["step"]} for line in result.metrics if "evaluate" in line]}


def _dpo(pieces, run, folder, value, test):
    """As many answers read with gradients as PPO's passes over its rollouts; a pair is two answers."""
    size = recipes.of("09", run.tier)
    recipe = _pair_recipe(size, SETTING["dpo_rate"], rows=2)
    rows = preference.encode(
        rlhf.proxy_pairs(size, seed=run.seed), pieces.tokenizer, answer_tokens=reward.ANSWER_TOKENS
    )
    module = dpo.DPOLoss(pieces.begin(rlhf.recipe_of(run.tier)).actor, beta=SETTING["dpo_beta"])
    collate = preference.PairCollator(pieces.tokenizer.pad_token_id)
    result = loop.train(module, rows, collate, recipe, folder, run=run)
    return {"steps": recipe.steps, "losses": result.losses}


def _positives(pieces, run, folder, value, test):
    """The next-token loss on what people preferred."""
    size = recipes.of("09", run.tier)
    recipe = _pair_recipe(size, SETTING["positives_rate"], rows=1)
    pairs = rlhf.proxy_pairs(size, seed=run.seed)
    rows = [{"prompt": row["prompt"], "answer": row["chosen"]} for row in pairs]
    encoded = instructions.encode(rows, pieces.tokenizer, max_length=rlhf.MAX_LENGTH, drop_long=True)
    pieces.begin(rlhf.recipe_of(run.tier))
    collate = instructions.TokenCollator(pieces.tokenizer.pad_token_id)
    result = loop.train(NextTokenLoss(pieces.actor.model), encoded, collate, recipe, folder, run=run)
    return {"steps": recipe.steps, "losses": result.losses}


def _rloo(pieces, run, folder, value, test):
    """The same recipe through a library, on a backbone of its own; the policy's weights come back."""
    started = time.perf_counter()
    model, policy = load_base()[0], pieces.actor.model
    learner = switching.add(model, "default", weights=switching.weights_of(policy, actor.REFERENCE))
    switching.train_only(learner, "default")
    prompts, recipe = rlhf.prompts_of(pieces.tokenizer), rlhf.recipe_of(run.tier)
    paid = trl_library.rloo(learner, pieces.tokenizer, prompts, pieces.proxy, recipe, group=RLOO_GROUP)
    switching.load(policy, actor.POLICY, switching.weights_of(learner))
    return {"paid": paid, "group": RLOO_GROUP, "seconds": time.perf_counter() - started}


TRAIN = {"rloo": _rloo, "ppo": _ppo, "beta": _beta, "dpo": _dpo, "positives": _positives}


def _pair_recipe(size, rate, *, rows):
    """A TrainingRecipe that reads as many answers as PPO's passes do, `rows` of them a row."""
    batch = SETTING["pair_batch"]
    answers = size.steps * size.batch_size * size.epochs
    return TrainingRecipe(
        steps=answers // (batch * rows), batch_size=batch, learning_rate=rate, max_length=reward.MAX_LENGTH,
        warmup_steps=2, save_every=20,
    )  # fmt: skip


def _broken(name, pieces, run, folder):
    """The metrics of one run of the clinic, up to where it stopped."""
    times, paid_by = CLINIC[name]
    recipe = rlhf.recipe_of(run.tier, steps=CLINIC_STEPS)
    changed = {field: factor * getattr(recipe, field) for field, factor in times.items()}
    recipe = replace(recipe, **changed, evaluate_every=0, max_kl=1000.0)
    module, prompts = pieces.begin(recipe), rlhf.prompts_of(pieces.tokenizer)
    output = folder / name.replace(" ", "-")
    return ppo.train(module, prompts, paid_by or pieces.proxy, recipe, output, turns=pieces.turns, run=run).metrics


def _numbers(wrote, *, texts=4):
    """Means of each opening, and the first answer to the first few, with whether it ended."""
    means = {name: getattr(wrote, name).mean(dim=1).tolist() for name in (*NUMBERS, "kl")}
    if not texts:
        return means
    ended = wrote.ended[:texts, 0].bool().tolist()
    return means | {"texts": [row[0] for row in wrote.texts[:texts]], "text_ended": ended}


def _estimate(found):
    return (found.mean, *found.interval)


def summary(points):
    """{point: {"gold_gain", "proxy_gain"}} as (mean, low, high) over openings, "kl", and for beta runs "turned".

    Args:
        points: {name: what `measure` returned}; gains are over the point's own base, or "reference".
    """
    lines = {}
    for name, values in points.items():
        if name in ("reference", "clinic"):
            continue
        base = values.get("base", points["reference"])
        lines[name] = {f"{judge}_gain": _gain(values[judge], base[judge]) for judge in ("gold", "proxy")}
        lines[name]["kl"] = sum(values["kl"]) / len(values["kl"])
        if "looks" in values:
            half, last = values["looks"][len(values["looks"]) // 2 - 1], values["looks"][-1]
            lines[name]["turned"] = _gain(half["gold"], last["gold"])
            lines[name]["proxy_rose"] = _gain(last["proxy"], half["proxy"])
        lines[name] |= {key: values[key] for key in ("gain", "wins") if key in values}
    return lines


def _gain(ours, base):
    return _estimate(comparison.paired_difference(torch.tensor(ours), torch.tensor(base), over="items"))
