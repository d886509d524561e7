"""A step of pre-training against a bare loop of the same model, eager and compiled, and transformers' Trainer.

Everybody trains the model of notebook 03 on the CPU's tier, every weight, from the same first weights in fp32, with
AdamW at the same constant rate, on the same batches of 8 rows of 256 tokens; losses must agree at every step. Attention
crosses the borders of documents, since neither peer keeps them. Speed counts tokens, from the third step on: the first
one compiles, the second may do so again.

The bare loop is what a short script does: the model's logits whole, torch's cross-entropy, the fused AdamW.
Transformers gets its own Gemma 3 of the same sizes.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import side_by_side

BARE = ("bare loop, eager", "bare loop, compiled")
CONTENDERS = ("ours", *BARE, "transformers")
RATE, BATCH = 1e-3, 8
UNTIMED = 2
SPEED = {"key": "tokens_per_second", "metric": "speed", "unit": "tokens/s"}
MEMORY = {"key": "peak_mb", "metric": "memory", "unit": "MiB"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help=f"the first {UNTIMED} are not timed")
    parser.add_argument("--only", nargs="*", default=CONTENDERS, help="some of: " + ", ".join(CONTENDERS))
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(contend(options.contender, options.steps)))
        return
    contenders = [name for name in CONTENDERS if name in (*options.only, "ours")]
    results = side_by_side.play(__file__, contenders, options.rounds, ("--steps", options.steps))
    side_by_side.check_same_losses(results, contenders, tolerance=1e-3)
    side_by_side.store(verdicts(results))


def verdicts(results):
    """The records of all comparisons whose contenders took part."""
    records = []
    for name, peers in {"pretrain/bare": BARE, "pretrain/transformers": ("transformers",)}.items():
        if there := [peer for peer in peers if peer in results]:
            records += [side_by_side.compare(name, results, "ours", there, **kind) for kind in (SPEED, MEMORY)]
    return records


def contend(name, steps):
    """Train as one contender; {"losses", "tokens_per_second", "peak_mb"}."""
    setting = Setting(steps)
    train = {"ours": train_ours, "transformers": train_by_library}.get(name, train_bare)
    losses, seconds = train(setting, name)
    tokens = BATCH * setting.recipe.max_length * (len(seconds) - UNTIMED)
    speed = tokens / sum(seconds[UNTIMED:])
    return {"losses": losses, "tokens_per_second": speed, "peak_mb": side_by_side.peak_memory_mb()}


class Setting:
    """What all contenders share: sizes, first weights, rows, and the batches of the recipe."""

    def __init__(self, steps):
        import numpy as np

        from course_utils import recipes, runtime
        from course_utils.engine.batching import rows_of_step
        from course_utils.engine.recipe import TrainingRecipe
        from course_utils.text import token_stream
        from course_utils.training import pretrain

        self.run = runtime.start(quiet=True)
        size = recipes.of("03", "cpu")
        self.config = pretrain.config_of(size)
        # Speed does not ask what the tokens mean: drawn ones, frequent like words
        drawn = np.random.default_rng(0).zipf(1.3, 64 * size.length) % (size.vocabulary - 1)
        stream = token_stream.Stream(drawn.astype(np.uint16), np.zeros(1, np.int64), size.vocabulary, None)
        self.rows, self.collate = token_stream.Rows(stream, size.length), token_stream.RowCollator(-1, across=True)
        self.recipe = TrainingRecipe(
            method="full", steps=steps, batch_size=BATCH, micro_batch=BATCH, learning_rate=RATE,
            max_length=size.length, schedule="constant", weight_decay=0.0, save_every=steps,
        )  # fmt: skip
        lengths = np.full(len(self.rows), size.length)
        self.batches = [[self.rows[n] for n in rows_of_step(s + 1, lengths, self.recipe)] for s in range(steps)]

    def loss_module(self):
        """The model with everybody's first weights, in its loss module."""
        from course_utils.training import pretrain

        return pretrain.build(self.config, device=self.run.device)


def train_ours(setting, name):
    from course_utils.engine import loop

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        output = Path(folder) / "run"
        result = loop.train(
            setting.loss_module(), setting.rows, setting.collate, setting.recipe, output, progress=False
        )
        return result.losses, side_by_side.seconds_of(output)


def train_bare(setting, name):
    import torch
    from torch.nn import functional as F

    model = setting.loss_module().model.train()
    forward = torch.compile(model) if name.endswith("compiled") else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.999), weight_decay=0.0, fused=True)
    losses, seconds = [], []
    for rows in setting.batches:
        began = time.perf_counter()
        tokens = setting.collate(rows)["input_ids"].to(setting.run.device)
        logits = forward(tokens)[:, :-1]
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - began)
    return losses, seconds


def train_by_library(setting, name):
    """transformers' Trainer on its own Gemma 3 with the same sizes and weights."""
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    clock, times = side_by_side.clock("on_step_begin", "on_train_end")
    arguments = {
        "max_steps": setting.recipe.steps, "per_device_train_batch_size": BATCH, "learning_rate": RATE,
        "lr_scheduler_type": "constant", "weight_decay": 0.0, "max_grad_norm": 1.0, "optim": "adamw_torch_fused",
        "logging_steps": 1, "save_strategy": "no", "report_to": "none", "bf16": False, "disable_tqdm": True,
        "use_cpu": setting.run.device == "cpu", "remove_unused_columns": False, "train_sampling_strategy": "sequential",
    }  # fmt: skip

    def collate(rows):
        import torch

        tokens = torch.tensor([row["input_ids"] for row in rows])
        return {"input_ids": tokens, "labels": tokens}

    data = Dataset.from_list([{"input_ids": row["input_ids"].tolist()} for batch in setting.batches for row in batch])
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        trainer = Trainer(
            library_model(setting), TrainingArguments(output_dir=folder, **arguments), train_dataset=data,
            data_collator=collate, callbacks=[clock],
        )  # fmt: skip
        trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return losses, side_by_side.laps(times)


def library_model(setting):
    """transformers' Gemma 3 with the weights of ours, whose parts have the same names."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    ours, config = setting.loss_module().model, setting.config
    layers = ["sliding_attention" if config.window_of(layer) else "full_attention" for layer in range(config.layers)]
    model = Gemma3ForCausalLM(
        Gemma3TextConfig(
            vocab_size=config.vocabulary, hidden_size=config.width, intermediate_size=config.mlp_width,
            num_hidden_layers=config.layers, num_attention_heads=config.heads, head_dim=config.head_width,
            num_key_value_heads=config.key_value_heads, query_pre_attn_scalar=config.head_width,
            sliding_window=config.window, layer_types=layers, attn_implementation="sdpa",
        )
    )  # fmt: skip
    weights = {f"model.{name}": weight for name, weight in ours.state_dict().items()}
    model.load_state_dict(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]})
    return model.train()


if __name__ == "__main__":
    sys.exit(main())
