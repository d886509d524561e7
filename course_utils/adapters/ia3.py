"""IA3 by hand (Liu et al. 2022): three learned vectors a block rescale what the frozen matrices compute.

    keys     k = l_k ∘ (W_k x)
    values   v = l_v ∘ (W_v x)
    MLP      y = W_down (l_ff ∘ h)

A vector of ones changes nothing; that is where training starts. Each can be folded into its matrix: rows of W_k and
W_v, columns of W_down. Beyond the paper: Gemma 3 has a norm x / √(mean x² + ε) behind each of the three, so that a
factor c common to all channels does exactly what dividing this ε by c² would do: nothing where mean x² is large
against ε, a good deal where x is nearly zero.
"""

import torch

from course_utils.adapters import layers

TARGETS = ("k_proj", "v_proj", "down_proj")
ON_INPUT = ("down_proj",)  # rescaled before the matrix, all others behind it


class RescaledLinear(layers.Wrapped):
    """l ∘ (W x), or W (l ∘ x), around one linear layer."""

    def __init__(self, base, on_input):
        super().__init__(base)
        self.on_input = on_input
        width = base.in_features if on_input else base.out_features
        self.rescale = torch.nn.Parameter(torch.ones(width, device=base.weight.device))

    def forward(self, x):
        """(…, I) → (…, O)."""
        if self.original is not None:
            return self.base(x)
        if self.on_input:
            return self.base((self.rescale * x).to(x.dtype))
        return (self.rescale * self.base(x)).to(x.dtype)

    def merged_weight(self):
        # l on the input scales W's columns, l on the output its rows
        return self.base.weight * (self.rescale if self.on_input else self.rescale[:, None])


def inject(model, *, targets=TARGETS, on_input=ON_INPUT):
    """Freeze a model and put a rescaling of ones around its chosen linear layers, in place.

    Args:
        model: any model with linear layers without a bias.
        targets: last names of the layers; on_input: those of them that are rescaled before the matrix.

    Returns:
        The model.

    Raises:
        ValueError: no such layer, or one with a bias, which merging would have to rescale too.
    """
    biased = [name for name, linear in layers.chosen(model, targets).items() if linear.bias is not None]
    if biased:
        raise ValueError(f"{biased[0]} has a bias; this IA3 rescales matrices alone. Choose layers without one.")
    return layers.wrap(model, targets, lambda name, linear: RescaledLinear(linear, name.endswith(on_input)))


merge, remove = layers.merge, layers.remove
