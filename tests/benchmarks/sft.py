"""A LoRA step of supervised fine-tuning against a bare loop, transformers' Trainer and TRL's SFTTrainer.

Everybody trains the same adapter (rank 16 on all linear layers) from the same start, with AdamW at the same constant
rate, on the same batches of 8 instruction rows of at most 160 tokens; losses must agree at every step. Speed counts
real tokens, never pads, from the second step on. The bare loop comes with each accuracy policy of torch's chunked
`linear_cross_entropy`, and TRL with and without activation checkpointing; the better one counts. With a batching of
one's own, TRL groups rows by length and we sort them within eight batches.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import side_by_side

POLICIES = ("auto", "balanced", "compact")
BARE = tuple(f"bare loop, {policy}" for policy in POLICIES)
TRL = ("TRL", "TRL with checkpointing")
OWN = ("ours, own batches", "TRL, own batches")
CONTENDERS = ("ours", *BARE, "transformers", *TRL, *OWN)
MAX_LENGTH, RATE = 160, 2e-4
SPEED = {"key": "tokens_per_second", "metric": "speed", "unit": "tokens/s"}
MEMORY = {"key": "peak_mb", "metric": "memory", "unit": "MiB"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5, help="the first is not timed")
    parser.add_argument("--only", nargs="*", default=CONTENDERS, help="some of: " + ", ".join(CONTENDERS))
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(contend(options.contender, options.steps)))
        return
    contenders = [name for name in CONTENDERS if name in (*options.only, "ours")]
    results = side_by_side.play(__file__, contenders, options.rounds, ("--steps", options.steps))
    side_by_side.check_same_losses(results, [n for n in contenders if n not in OWN], tolerance=0.02)
    side_by_side.store(verdicts(results))


def verdicts(results):
    """The records of all comparisons whose contenders took part."""
    groups = {
        "sft/bare": ("ours", BARE),
        "sft/transformers": ("ours", ("transformers",)),
        "sft/trl": ("ours", TRL),
        "sft/trl-own-batching": (OWN[0], OWN[1:]),
    }
    records = []
    for name, (ours, peers) in groups.items():
        there = [peer for peer in peers if peer in results]
        if there and ours in results:
            records += [side_by_side.compare(name, results, ours, there, **kind) for kind in (SPEED, MEMORY)]
    share = {"ours": [], "one large matrix product": []}
    for result in results["ours"]:
        share["ours"].append({"rate": result["needed_tflops"]})
        share["one large matrix product"].append({"rate": result["matmul_tflops"]})
    peers = ["one large matrix product"]
    kind = {"key": "rate", "metric": "speed", "unit": "TFLOP/s"}
    return [*records, side_by_side.compare("sft/matmul-share", share, "ours", peers, **kind)]


def contend(name, steps):
    """Train as one contender; {"losses", "tokens_per_second", "peak_mb", …}."""
    setting = Setting(steps, own=name in OWN)
    result = measured(setting, *train(setting, name))
    if name == "ours":
        seconds = result["seconds"]
        result["needed_tflops"] = sum(map(setting.needed_flops, setting.read[1:])) / sum(seconds[1:]) / 1e12
        result["matmul_tflops"] = matmul_tflops(setting.model.dtype, setting.model.device)
    return result


def train(setting, name):
    """(losses, seconds) of each step."""
    if name.startswith("ours"):
        return train_ours(setting)
    if name.startswith("bare"):
        return train_bare(setting, name.rpartition(" ")[2])
    return train_by_library(setting, name)


def measured(setting, losses, seconds):
    """What every contender says of its run."""
    # a library's loader reads ahead of its last step
    tokens = [sum(len(row["input_ids"]) for row in batch) for batch in setting.read[: len(seconds)]]
    return {
        "losses": losses,
        "seconds": seconds,
        "tokens_per_second": sum(tokens[1:]) / sum(seconds[1:]),
        "peak_mb": side_by_side.peak_memory_mb(),
    }


class Setting:
    """What all contenders share: model, rows, and the batches of the recipe."""

    batch_size = 8
    lora = (16, 32, "all-linear")  # rank, α and where

    def __init__(self, steps, own):
        from course_utils import runtime
        from course_utils.data import instructions
        from course_utils.engine.batching import rows_of_step
        from course_utils.engine.recipe import TrainingRecipe
        from course_utils.models.base import load_base

        self.run = runtime.start(quiet=True)
        self.model, self.tokenizer = load_base()
        self.model.set_attn_implementation("sdpa")  # the library's; ours takes its own
        self.own, self.read = own, []
        self.rows = self.encoded()
        self.collate = instructions.TokenCollator(self.tokenizer.pad_token_id)
        self.recipe = TrainingRecipe(
            steps=steps, batch_size=self.batch_size, learning_rate=RATE, max_length=MAX_LENGTH, schedule="constant",
            pool=8 if own else 1, save_every=steps,
        )  # fmt: skip
        lengths = [len(row["input_ids"]) for row in self.rows]
        self.batches = [[self.rows[i] for i in rows_of_step(s + 1, lengths, self.recipe)] for s in range(steps)]
        self.body = sum(w.numel() for n, w in self.model.named_parameters() if n.endswith("proj.weight"))

    def encoded(self):
        """Rows with input_ids and completion_mask."""
        from course_utils.data import instructions

        rows = instructions.load("all")
        return instructions.encode(rows, self.tokenizer, max_length=MAX_LENGTH, drop_long=True)

    def adapted(self):
        """The model with everybody's adapter."""
        import torch
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(0)
        rank, alpha, targets = self.lora
        config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets)
        return get_peft_model(self.model, config).train()

    def needed_flops(self, batch):
        """Matrix products that a step cannot do without: forward, and the gradient of the activations; no pads."""
        tokens = sum(len(row["input_ids"]) for row in batch)
        counted = sum(sum(row["completion_mask"][1:]) for row in batch)
        return 4 * (tokens * self.body + counted * self.model.get_output_embeddings().weight.numel())


def train_ours(setting):
    from course_utils.engine import loop
    from course_utils.models.packing import use_row_attention
    from course_utils.training.next_token import NextTokenLoss

    setting.read = setting.batches
    use_row_attention(setting.model)
    module = NextTokenLoss(setting.adapted())
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        output = Path(folder) / "run"
        result = loop.train(module, setting.rows, setting.collate, setting.recipe, output, progress=False)
        return result.losses, side_by_side.seconds_of(output)


def train_bare(setting, policy):
    import torch
    from torch.nn import LinearCrossEntropyOptions
    from torch.nn.functional import linear_cross_entropy

    model = setting.adapted()
    trunk, head = model.get_base_model().model, model.get_output_embeddings().weight
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=RATE, weight_decay=0.0, fused=True)
    chunks = LinearCrossEntropyOptions(batch_chunk_size=256, chunking_method=None, acc_policy=policy)
    losses, seconds = [], []
    for rows in setting.batches:
        began = time.perf_counter()
        batch = {name: value.to(setting.model.device) for name, value in setting.collate(rows).items()}
        hidden = trunk(input_ids=batch["input_ids"], attention_mask=batch["mask"].long(), use_cache=False)[0]
        keep = batch["completion_mask"][:, 1:]
        loss = linear_cross_entropy(hidden[:, :-1][keep], head, batch["input_ids"][:, 1:][keep], options=chunks)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - began)
    setting.read = setting.batches
    return losses, seconds


def train_by_library(setting, name):
    """transformers' Trainer, or TRL's SFTTrainer, with the settings of the others."""
    clock, times = side_by_side.clock("on_step_begin", "on_train_end")

    def collate(rows):
        setting.read.append(rows)
        batch = setting.collate(rows)
        labels = batch["input_ids"].masked_fill(~batch["completion_mask"], -100)
        return {"input_ids": batch["input_ids"], "attention_mask": batch["mask"].long(), "labels": labels}

    # Its own order needs all rows, the common one just those of our batches
    rows = setting.rows if setting.own else [row for batch in setting.batches for row in batch]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        trainer = make_trainer(setting, name, rows, collate, folder, [clock])
        trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return losses, side_by_side.laps(times)


def make_trainer(setting, name, rows, collate, folder, callbacks):
    from datasets import Dataset

    common = {
        "output_dir": folder, "max_steps": setting.recipe.steps, "per_device_train_batch_size": setting.batch_size,
        "learning_rate": RATE, "lr_scheduler_type": "constant", "weight_decay": 0.0, "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused", "logging_steps": 1, "save_strategy": "no", "report_to": "none", "bf16": False,
        "disable_tqdm": True, "use_cpu": setting.run.device == "cpu", "remove_unused_columns": False,
        "train_sampling_strategy": "group_by_length" if setting.own else "sequential",
        "gradient_checkpointing": name == TRL[1],
    }  # fmt: skip
    data = Dataset.from_list([dict(row, length=len(row["input_ids"])) for row in rows])
    shared = {"train_dataset": data, "data_collator": collate, "callbacks": callbacks}
    if name == "transformers":
        from transformers import Trainer, TrainingArguments

        return Trainer(setting.adapted(), TrainingArguments(**common), **shared)
    from trl import SFTConfig, SFTTrainer

    settings = SFTConfig(**common, max_length=MAX_LENGTH, dataset_kwargs={"skip_prepare_dataset": True})
    return SFTTrainer(setting.adapted(), settings, processing_class=setting.tokenizer, **shared)


def matmul_tflops(dtype, device, size=2048):
    """What one large matrix product reaches on this machine, in TFLOP/s; the best of six."""
    import torch

    matrix, times = torch.ones(size, size, dtype=dtype, device=device), []
    for _ in range(6):
        began = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        times.append(time.perf_counter() - began)
    return 2 * size**3 / min(times) / 1e12


if __name__ == "__main__":
    sys.exit(main())
