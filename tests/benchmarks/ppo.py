"""A PPO step against the last PPOTrainer that TRL shipped (1.12.0): batch 16, 24 new tokens, 4 epochs, LoRA r16.

The wheel is fetched once into the cache and put first on the peer's path; it is never installed. The peer runs as
shipped, with a full critic beside its LoRA policy, and patched: its slow head call repaired (see sampler.py) and its
critic tuned by LoRA as well. Everybody samples at temperature 1 behind the same prompts with a reward model of the same
size; speed counts answers from the second step on, and only where everybody writes to the end: short ones cost less.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import side_by_side

TRL, PATCHED = "TRL 1.12.0", "TRL 1.12.0, patched"
CONTENDERS = ("ours", TRL, PATCHED)
BATCH, TOKENS, EPOCHS, RANK, RATE = 16, 24, 4, 16, 1e-5
FEWEST = 23  # tokens an answer, in the mean of a contender
WHEEL = "trl==1.12.0"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="the first is not timed")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(contend(options.contender, options.steps)))
        return
    unpacked()
    results = side_by_side.play(__file__, CONTENDERS, options.rounds, ("--steps", options.steps))
    speed = {"key": "episodes_per_second", "metric": "speed", "unit": "episodes/s"}
    memory = {"key": "peak_mb", "metric": "memory", "unit": "MiB"}
    side_by_side.store(
        [
            side_by_side.compare("ppo/trl", results, "ours", (TRL,), **speed),
            side_by_side.compare("ppo/trl-patched", results, "ours", (PATCHED,), **speed),
            side_by_side.compare("ppo/trl", results, "ours", (TRL, PATCHED), **memory),
        ]
    )


def unpacked():
    """The folder that holds TRL 1.12.0's package, fetched by pip when it is not there."""
    from course_utils import runtime

    folder = runtime.home() / "benchmarks" / WHEEL.replace("==", "-")
    if not (folder / "trl").is_dir():
        with tempfile.TemporaryDirectory() as fetched:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", fetched, WHEEL]
            subprocess.run(command, check=True)
            with zipfile.ZipFile(next(Path(fetched).glob("*.whl"))) as wheel:
                wheel.extractall(folder)
    return folder


def check_length(name, length):
    """Whoever writes less has less to do: speeds are those of answers of equal length.

    Raises:
        RuntimeError: names the contender and its mean length.
    """
    if length < FEWEST:
        raise RuntimeError(f"{name} wrote {length:.1f} tokens an answer, expected {FEWEST} to {TOKENS}.")


def contend(name, steps):
    """Train as one contender; {"episodes_per_second", "answer_tokens" (the mean), "peak_mb"}."""
    seconds, lengths = ours(steps) if name == "ours" else by_trl(steps, patched=name == PATCHED)
    length = sum(lengths[1:]) / len(lengths[1:])
    check_length(name, length)
    return {
        "episodes_per_second": BATCH * (len(seconds) - 1) / sum(seconds[1:]),
        "answer_tokens": length,
        "peak_mb": side_by_side.peak_memory_mb(),
    }


def ours(steps):
    """(seconds, mean tokens an answer) of each step."""
    from course_utils import runtime
    from course_utils.adapters import switching
    from course_utils.data import openings
    from course_utils.data.answers import Turns
    from course_utils.models.base import load_base
    from course_utils.training import actor, ppo, reward

    runtime.start(quiet=True)
    model, tokenizer = load_base()
    model = switching.add(model, "reward", rank=RANK)
    scorer = reward.Scorer(reward.RewardModel(model, "reward").requires_grad_(False), tokenizer)
    recipe = ppo.PPORecipe(
        steps=steps, batch_size=BATCH, learning_rate=RATE, answer_tokens=TOKENS, epochs=EPOCHS, save_every=steps,
        schedule="constant",
    )  # fmt: skip
    module = ppo.PPOLoss(actor.make(model, rank=RANK), recipe)
    prompts = openings.encode(openings.load("train", BATCH * steps), tokenizer)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        output = Path(folder) / "run"
        result = ppo.train(module, prompts, scorer, recipe, output, turns=Turns.of(tokenizer), progress=False)
        return side_by_side.seconds_of(output), [line["length"] for line in result.metrics]


def by_trl(steps, *, patched):
    """(seconds, mean tokens an answer) of each step."""
    sys.path.insert(0, str(unpacked()))
    from trl.experimental.ppo import ppo_trainer

    clock, times = side_by_side.clock("on_train_begin", "on_step_end")
    truncate, lengths = ppo_trainer.truncate_response, []

    def truncate_and_note(stop, pad, responses):
        kept = truncate(stop, pad, responses)
        lengths.append((kept != pad).sum(dim=1).float().mean().item())
        return kept

    ppo_trainer.truncate_response = truncate_and_note
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        make_trainer(steps, patched, folder, [clock]).train()
    return side_by_side.laps(times), lengths


def make_trainer(steps, patched, folder, callbacks):
    from datasets import Dataset
    from peft import LoraConfig
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    from course_utils import runtime
    from course_utils.data import openings
    from course_utils.data.answers import Turns
    from course_utils.models.base import load_base

    run = runtime.start(quiet=True)
    policy, tokenizer = load_base(trainable=True)
    policy.set_attn_implementation("sdpa")  # the library's
    if patched:
        from sampler import repair_head

        repair_head(policy)
    rows = [row["prompt_ids"] for row in openings.encode(openings.load("train", BATCH * steps), tokenizer)]
    tokenizer.padding_side = "left"
    settings = PPOConfig(
        output_dir=folder, per_device_train_batch_size=BATCH, gradient_accumulation_steps=1, num_mini_batches=1,
        num_ppo_epochs=EPOCHS, total_episodes=BATCH * steps, response_length=TOKENS, temperature=1.0,
        learning_rate=RATE, stop_token_id=Turns.of(tokenizer).end, local_rollout_forward_batch_size=BATCH,
        save_strategy="no", report_to="none", bf16=False, use_cpu=run.device == "cpu", disable_tqdm=True,
        gradient_checkpointing=False, missing_eos_penalty=1.0, num_sample_generations=0,
    )  # fmt: skip
    critic = lora_critic(run) if patched else classifier(run)
    return PPOTrainer(
        args=settings, processing_class=tokenizer, model=policy, ref_model=None, callbacks=callbacks,
        reward_model=classifier(run).requires_grad_(False), value_model=critic,
        train_dataset=Dataset.from_list([{"input_ids": row} for row in rows]),
        peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"),
    )  # fmt: skip


def classifier(run):
    """The base model with one score a text, as TRL's reward model and critic."""
    from transformers import AutoModelForSequenceClassification

    from course_utils.models import base

    return AutoModelForSequenceClassification.from_pretrained(base.prepare(), num_labels=1, dtype=run.dtype)


def lora_critic(run):
    """The critic with LoRA layers inside, its own class outside, as TRL's wrapper asks for."""
    from peft import LoraConfig, get_peft_model

    critic = get_peft_model(classifier(run), LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"))
    critic = critic.get_base_model()
    critic.score.requires_grad_(True)
    return critic


if __name__ == "__main__":
    sys.exit(main())
