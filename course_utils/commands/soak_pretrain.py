"""The pre-training that `soak` kills: the stage of notebook 03 with a small transformer, on made numbers."""

from types import SimpleNamespace

import numpy as np
import torch

from course_utils.engine.loop import train
from course_utils.engine.recipe import TrainingRecipe
from course_utils.models.transformer import TransformerConfig
from course_utils.text import token_stream
from course_utils.training import pretrain

STEPS, SAVE_EVERY, WORDS, LENGTH, ROWS = 60, 4, 512, 48, 64
RUN = SimpleNamespace(device="cpu", autocast=None, grad_scaler=False)  # fp32, whatever the machine could


def small(output):
    """Train it in `output`, or go on with it, on one thread; returns its TrainingResult."""
    torch.set_num_threads(1)
    config = TransformerConfig(
        vocabulary=WORDS, width=64, layers=2, heads=4, key_value_heads=2, head_width=16, mlp_width=96, window=LENGTH
    )
    recipe = TrainingRecipe(
        method="full", steps=STEPS, batch_size=8, micro_batch=4, learning_rate=5e-3, max_length=LENGTH, warmup_steps=6,
        weight_decay=pretrain.WEIGHT_DECAY, betas=pretrain.BETAS, save_every=SAVE_EVERY, seed=3,
    )  # fmt: skip
    rows = token_stream.Rows(stream(), LENGTH)
    collate = token_stream.RowCollator(WORDS - 1)
    return train(pretrain.build(config, seed=3), rows, collate, recipe, output, run=RUN, progress=False)


def stream():
    """A stream of ROWS rows: documents of thirty tokens, each a number that grows by its own step."""
    documents = [
        [WORDS - 1, *((n + step * (n % 7 + 1)) % 251 for step in range(29))] for n in range(ROWS * LENGTH // 30)
    ]
    tokens = np.array(documents, np.uint16).ravel()
    return token_stream.Stream(tokens, np.arange(len(documents)) * 30, WORDS, None)
