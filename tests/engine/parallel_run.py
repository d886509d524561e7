"""Trains the small model; started by the tests alone or under torchrun: parallel_run.py OUTPUT METHOD STEPS [STOP]."""

import os
import sys

import torch
from helpers.toy_loss import RUN, SmallCollator, SmallLoss, make_rows

from course_utils.engine.loop import train
from course_utils.engine.recipe import TrainingRecipe


class Stacked(SmallLoss):
    """Two equal blocks, so that there is something to shard layer by layer; the head is tied to the embedding."""

    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList([torch.nn.Linear(16, 16), torch.nn.Linear(16, 16)])
        for block in self.blocks:
            torch.nn.init.eye_(block.weight)
        self.head.weight = self.embedding.weight
        self.hidden = torch.nn.Sequential(self.hidden, *self.blocks)


def main(output, method, steps, stop):
    torch.set_num_threads(1)
    torch.manual_seed(int(os.environ.get("RANK", "0")))  # the first process's weights must reach the others
    module = Stacked()
    if method == "lora":
        module.embedding.requires_grad_(False)
    recipe = TrainingRecipe(
        steps=steps, batch_size=8, micro_batch=2, learning_rate=0.01, method=method, save_every=5, evaluate_every=1
    )
    calls = []

    def evaluate(_):
        calls.append(1)
        if len(calls) == stop:
            sys.exit(0)
        return {}

    train(module, make_rows(), SmallCollator(), recipe, output, run=RUN, evaluate=evaluate, progress=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 0)
