"""LoRA by hand (Hu et al. 2021): each chosen matrix gets a parallel low-rank path, which can be folded into it.

    y = W x + (α / r) B A x        W (O, I) frozen, A (r, I) and B (O, r) trained

Several tasks can share one batch, each row with the adapter of its own: `MixedLinear`.

B starts at zero, so nothing changes before the first step. Deviation from the paper, as in peft: A is drawn from
U(−1/√I, 1/√I) instead of a normal distribution. A and B are fp32 whatever the base is; so is their product.
"""

import math

import torch
from torch.nn import functional as F

from course_utils.adapters import layers

TARGETS = ("q_proj", "v_proj")  # the paper's choice


class LoraLinear(layers.Wrapped):
    """W x + (α / r) B A x around one linear layer."""

    def __init__(self, base, rank, alpha):
        super().__init__(base)
        self.scaling = alpha / rank
        self.update = torch.nn.ParameterDict(
            {
                "A": torch.empty(rank, base.in_features, device=base.weight.device),
                "B": torch.zeros(base.out_features, rank, device=base.weight.device),
            }
        )
        torch.nn.init.kaiming_uniform_(self.update["A"], a=math.sqrt(5))

    def forward(self, x):
        """(…, I) → (…, O)."""
        if self.original is not None:
            return self.base(x)
        inner = F.linear(x.to(self.update["A"].dtype), self.update["A"])
        return self.base(x) + (self.scaling * F.linear(inner, self.update["B"])).to(x.dtype)

    def delta(self):
        """ΔW = (α / r) B A, (O, I)."""
        return self.scaling * self.update["B"] @ self.update["A"]

    def merged_weight(self):
        # W' = W + ΔW
        return self.base.weight + self.delta()


class MixedLinear(layers.Wrapped):
    """y_i = W x_i + (α / r) B_t A_t x_i around one linear layer, t the task of row i: W is multiplied once for all."""

    def __init__(self, base, tasks, scaling, chosen):
        """
        Args:
            tasks: {name: (A (r, I), B (O, r))}, all of one rank.
            chosen: a list that all layers share and `choose` fills with the number of each row's task.
        """
        super().__init__(base)
        self.scaling, self.chosen, self.names = scaling, chosen, tuple(tasks)
        self.register_buffer("A", torch.stack([a for a, _ in tasks.values()]), persistent=False)
        self.register_buffer("B", torch.stack([b for _, b in tasks.values()]), persistent=False)

    def forward(self, x):
        """(rows, T, I) → (rows, T, O)."""
        if x.dim() != 3 or len(x) != len(self.chosen):
            raise ValueError(
                f"Tasks were chosen for {len(self.chosen)} rows, and {tuple(x.shape)} came. Call lora.choose(model, "
                "names) with one name for each row of this batch; packed rows cannot be told apart here."
            )
        inner = x.to(self.A.dtype) @ self.A[self.chosen].mT
        return self.base(x) + (self.scaling * inner @ self.B[self.chosen].mT).to(x.dtype)

    def merged_weight(self):
        raise ValueError(f"The tasks {', '.join(self.names)} have no one matrix. Inject one of them alone to merge it.")


def inject_mixed(model, tasks, *, alpha=16):
    """Freeze a model and put several tasks' LoRA around its layers, in place; `choose` says which row is of which task.

    Args:
        model: the bare model that all of them were trained on.
        tasks: {name: what `weights.take` gave of a model after `inject`}, all of the same layers and rank.
        alpha: α, as they were trained with.

    Returns:
        The model, for inference.

    Raises:
        ValueError: no task, or tasks of other layers or ranks.
    """
    shapes = {name: {key: tuple(weight.shape) for key, weight in task.items()} for name, task in tasks.items()}
    if not shapes or len({tuple(sorted(shape.items())) for shape in shapes.values()}) > 1:
        raise ValueError(
            f"Expected tasks of the same layers and rank, got {', '.join(shapes) or 'none'} of "
            f"{[len(shape) for shape in shapes.values()]} matrices. Take each from a model after the same inject(…)."
        )
    first, chosen = next(iter(tasks.values())), []
    targets = sorted({key.removesuffix(".update.A").rpartition(".")[2] for key in first if key.endswith(".A")})

    def make(name, linear):
        pairs = {task: tuple(own[f"{name}.update.{part}"] for part in "AB") for task, own in tasks.items()}
        return MixedLinear(linear, pairs, alpha / len(first[f"{name}.update.A"]), chosen)

    return layers.wrap(model, targets, make)


def choose(model, names):
    """From now on row i of a batch is computed with the adapter of task names[i].

    Raises:
        ValueError: a name that is no task of this model.
    """
    first = next((layer for layer in layers.wrapped(model).values() if isinstance(layer, MixedLinear)), None)
    known = first.names if first else ()
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"This model has no task {', '.join(unknown)}, only {', '.join(known) or 'none'}.")
    if first:
        first.chosen[:] = [known.index(name) for name in names]


def inject(model, *, rank=8, alpha=16, targets=TARGETS):
    """Freeze a model and put LoRA around its chosen linear layers, in place.

    Args:
        model: any model with linear layers.
        rank: r, at most the smaller side of each matrix.
        alpha: α; the update is scaled by α / r, so that another rank needs no other learning rate.
        targets: last names of the layers, as "q_proj".

    Returns:
        The model.

    Raises:
        ValueError: no such layer, or a rank above a layer's width.
    """
    for name, linear in layers.chosen(model, targets).items():
        check_rank(name, linear, rank)  # all, before anything is changed
    return layers.wrap(model, targets, lambda _, linear: LoraLinear(linear, rank, alpha))


def check_rank(name, linear, rank):
    """Raise ValueError when a product of rank r could not be smaller than the matrix itself."""
    width = min(linear.in_features, linear.out_features)
    if not 1 <= rank <= width:
        raise ValueError(
            f"Rank {rank} does not fit {name}, a matrix of {linear.out_features} × {linear.in_features}: its own rank "
            f"is at most {width}, and B A of a higher rank only costs more. Take 1 to {width}; 4 to 64 is usual."
        )


merge, remove = layers.merge, layers.remove
