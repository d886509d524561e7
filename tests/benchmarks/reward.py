"""A reward-model step against TRL's RewardTrainer: 16 pairs of human-rated snippets, LoRA r8 on all linear layers.

Everybody starts from the same adapter and a head of zeros, sees the same batches, and must report the same losses. TRL
runs without activation checkpointing, where it is fastest, and with it, where it needs least memory: our speed is
compared with the one, our memory with the other. Speed counts pairs from the second step on.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import side_by_side

TRL = ("TRL", "TRL with checkpointing")
CONTENDERS = ("ours", *TRL)
BATCH, RATE = 16, 2e-4
OUR_MICRO_BATCH = 8  # pairs in memory at once: no more than TRL holds with checkpointing


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6, help="the first is not timed")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(contend(options.contender, options.steps)))
        return
    results = side_by_side.play(__file__, CONTENDERS, options.rounds, ("--steps", options.steps))
    side_by_side.check_same_losses(results, CONTENDERS, tolerance=0.05)
    speed = {"key": "pairs_per_second", "metric": "speed", "unit": "pairs/s"}
    memory = {"key": "peak_mb", "metric": "memory", "unit": "MiB"}
    side_by_side.store([side_by_side.compare("reward/trl", results, "ours", TRL, **kind) for kind in (speed, memory)])


def contend(name, steps):
    """Train as one contender; {"losses", "pairs_per_second", "peak_mb"}."""
    from course_utils import runtime
    from course_utils.data import preference
    from course_utils.training import reward

    runtime.start(quiet=True)
    recipe = reward.TrainingRecipe(
        steps=steps, batch_size=BATCH, micro_batch=OUR_MICRO_BATCH, learning_rate=RATE, max_length=96,
        schedule="constant", save_every=steps,
    )  # fmt: skip
    pairs = preference.human_pairs(preference.rated_rows("gold"), BATCH * steps, min_gap=1.0)
    job = reward.job("cpu", rows=pairs, recipe=recipe)
    losses, seconds = ours(job) if name == "ours" else by_trl(job, name == TRL[1])
    speed = BATCH * (steps - 1) / sum(seconds[1:])
    return {"losses": losses, "pairs_per_second": speed, "peak_mb": side_by_side.peak_memory_mb()}


def ours(job):
    from course_utils.engine import loop, stages

    module = stages.seeded(job.build, 0)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        output = Path(folder) / "run"
        result = loop.train(module, job.rows, job.collate, job.recipe, output, progress=False)
        return result.losses, side_by_side.seconds_of(output)


def by_trl(job, checkpointing):
    """TRL's trainer on transformers' sequence classifier with the same backbone, adapter and batches."""
    clock, times = side_by_side.clock("on_step_begin", "on_train_end")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        trainer = make_trainer(job, checkpointing, folder, [clock])
        trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return losses, side_by_side.laps(times)


def make_trainer(job, checkpointing, folder, callbacks):
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    from course_utils import runtime
    from course_utils.engine.batching import rows_of_step
    from course_utils.models import base

    run, recipe = runtime.current(), job.recipe
    model = AutoModelForSequenceClassification.from_pretrained(base.prepare(), num_labels=1, dtype=run.dtype)
    model.config.pad_token_id = job.tokenizer.pad_token_id
    torch.nn.init.zeros_(model.score.weight)
    lengths = [len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in job.rows]
    order = [row for step in range(recipe.steps) for row in rows_of_step(step + 1, lengths, recipe)]
    settings = RewardConfig(
        output_dir=folder, max_steps=recipe.steps, per_device_train_batch_size=BATCH, learning_rate=RATE,
        lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=1.0, optim="adamw_torch_fused", logging_steps=1,
        save_strategy="no", report_to="none", bf16=False, disable_tqdm=True, use_cpu=run.device == "cpu",
        train_sampling_strategy="sequential", gradient_checkpointing=checkpointing, max_length=recipe.max_length,
    )  # fmt: skip
    adapter = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="SEQ_CLS")
    torch.manual_seed(0)
    return RewardTrainer(
        model=model, args=settings, processing_class=job.tokenizer, peft_config=adapter, callbacks=callbacks,
        train_dataset=Dataset.from_list([job.rows[row] for row in order]),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
