"""LoRA by hand (Hu et al. 2021): each chosen matrix gets a parallel low-rank path, which can be folded into it.

    y = W x + (α / r) B A x        W (O, I) frozen, A (r, I) and B (O, r) trained

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
