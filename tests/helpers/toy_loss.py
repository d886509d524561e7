"""A loss module of a few thousand weights, rows for it, and the runtime's decisions on a plain CPU."""

import random
from types import SimpleNamespace

import torch
from torch.nn.functional import cross_entropy

WORDS = 50


class SmallLoss(torch.nn.Module):
    """Next-word loss of an embedding, dropout, a hidden layer and a head."""

    def __init__(self, dropout=0.0):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.embedding = torch.nn.Embedding(WORDS, 16)
        self.dropout = torch.nn.Dropout(dropout)
        self.hidden = torch.nn.Linear(16, 16)
        self.head = torch.nn.Linear(16, WORDS, bias=False)
        for weight in self.parameters():
            weight.data = torch.randn(weight.shape, generator=generator) * 0.2

    def get_input_embeddings(self):
        return self.embedding

    def count(self, batch):
        return int(batch["completion_mask"][:, 1:].sum())

    def forward(self, batch):
        mask = batch["completion_mask"][:, 1:]
        hidden = torch.tanh(self.hidden(self.dropout(self.embedding(batch["input_ids"]))))
        return cross_entropy(self.head(hidden)[:, :-1][mask], batch["input_ids"][:, 1:][mask])


class SmallCollator:
    columns = ("input_ids", "completion_mask")

    def __call__(self, rows):
        longest = max(len(row["input_ids"]) for row in rows)
        padded = {name: [row[name] + [0] * (longest - len(row[name])) for row in rows] for name in self.columns}
        return {
            "input_ids": torch.tensor(padded["input_ids"]),
            "completion_mask": torch.tensor(padded["completion_mask"]).bool(),
        }


def make_rows(count=40, seed=1):
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        length = draw.randrange(4, 14)
        ids = [draw.randrange(1, WORDS) for _ in range(length)]
        rows.append({"input_ids": ids, "completion_mask": [False, False] + [True] * (length - 2)})
    return rows


RUN = SimpleNamespace(device="cpu", autocast=None, grad_scaler=False)
HALF = SimpleNamespace(device="cpu", autocast=torch.float16, grad_scaler=True)


def weights(module):
    """All weights in one vector."""
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


class Stop(Exception):
    pass


def stop_at(step):
    """An `evaluate` that ends the process, as far as the run can tell, when called for the step-th time."""
    calls = []

    def evaluate(module):
        calls.append(1)
        if len(calls) == step:
            raise Stop
        return {"drawn": torch.rand(()).item()}

    return evaluate
