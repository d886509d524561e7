"""Putting something around a model's linear layers, and taking it away again."""

import torch


class Wrapped(torch.nn.Module):
    """A frozen linear layer with an adapter around it. `base` is the layer itself, untouched until `merge`."""

    def __init__(self, base):
        super().__init__()
        self.base, self.original = base, None

    def merged_weight(self):
        """The one matrix (O, I) that does what base and adapter do together, fp32."""
        raise NotImplementedError


def wrap(model, targets, make):
    """Freeze the model, then put make(name, linear) in place of each linear layer whose last name is in `targets`.

    Raises:
        ValueError: a target that this model does not have, or a model that has such an adapter already.
    """
    found = chosen(model, targets)
    model.requires_grad_(False)
    for name, linear in found.items():
        model.set_submodule(name, make(name, linear))
    return model


def chosen(model, targets):
    """{full name: linear layer} of those whose last name is a target; raises ValueError as `wrap` does."""
    if wrapped(model):
        raise ValueError("This model already has an adapter around its layers. Call remove(model) first.")
    linear = {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    names = sorted({name.rpartition(".")[2] for name in linear})
    unknown = [target for target in targets if target not in names]
    if unknown or not targets:
        raise ValueError(
            f"This model has no linear layer named {', '.join(map(repr, unknown)) or '(none given)'}. "
            f"Choose from: {', '.join(names)}."
        )
    return {name: layer for name, layer in linear.items() if name.rpartition(".")[2] in targets}


def wrapped(model):
    """{full name: Wrapped} of what `wrap` put there."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, Wrapped)}


@torch.no_grad()
def merge(model):
    """Fold the adapter into the weights, so that it costs nothing any more; `remove` still restores the base.

    Raises:
        ValueError: a layer holds codes instead of a weight; none is merged then.
    """
    _check_mergeable(model)
    for layer in wrapped(model).values():
        if layer.original is None:
            weight = layer.merged_weight().to(layer.base.weight.dtype)
            layer.original, layer.base.weight.data = layer.base.weight.data, weight


def _check_mergeable(model):
    """Raise ValueError when a base layer has no matrix (O, I) of its own that a sum could be put into."""
    for name, layer in wrapped(model).items():
        weight = layer.base._parameters.get("weight")
        if weight is None or not weight.is_floating_point() or weight.dim() != 2:
            raise ValueError(
                f"The adapter around {name} cannot be merged: that layer, a {type(layer.base).__name__}, holds "
                "quantized codes, and the sum would lie off their grid or be lost. Nothing was merged. Call "
                "quantization.layers.to_linear(model) first, or merge into the base before it is quantized."
            )


def remove(model):
    """Take the adapter away; the base is, bit for bit, what it was before."""
    for name, layer in wrapped(model).items():
        if layer.original is not None:
            layer.base.weight.data = layer.original
        model.set_submodule(name, layer.base)
    return model
