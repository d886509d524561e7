"""Quantized weights inside a transformers model: linear layers that decode on the fly, with LoRA on top.

    y = x Ŵᵀ,  dx = dy Ŵ          Ŵ is decoded in the forward pass and again in the backward pass, never kept

No gradient goes into the codes: only adapters learn (QLoRA, Dettmers et al. 2023). `models.fused_forward` joins an
adapter's product with its frozen layer's.
"""

from contextlib import contextmanager

import torch
from torch.nn import functional as F


class Decoded(torch.Tensor):
    """A weight that was decoded a moment ago and is kept nowhere: what is put into its `data` would be lost."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # what is computed from it is an ordinary tensor

    @property
    def data(self):
        """The numbers, to read."""
        return self.detach()

    @data.setter
    def data(self, value):
        raise ValueError(MERGING)


MERGING = (
    "An adapter cannot be merged into quantized codes: the sum would lie off their grid, and a change to the decoded "
    "copy would be lost. Call layers.to_linear(model) first, which makes ordinary layers of them, then merge."
)


class FrozenLinear(torch.nn.Linear):
    """torch.nn.Linear with a quantized weight that never learns."""

    def __init__(self, quantized, bias=None):
        torch.nn.Module.__init__(self)  # not Linear's own: it would make a weight
        self.out_features, self.in_features = quantized.shape
        self.quantized = quantized
        self.register_parameter("bias", bias)

    @property
    def decoded_dtype(self):
        """Of `weight`, without decoding it; tells models.fused_forward that this layer never learns."""
        return self.quantized.dtype

    @property
    def weight(self):
        """(O, I), decoded anew at each call; changing it in place changes nothing, and its `data` refuses to be set."""
        return self.quantized.dequantize().as_subclass(Decoded)

    def forward(self, x):
        """(..., I) → (..., O), in the dtype of x, or autocast's."""
        product = _Product.apply(x.to(_compute_dtype(x)), self.quantized)
        return product if self.bias is None else product + self.bias.to(product.dtype)


class _Product(torch.autograd.Function):
    """x Ŵᵀ, without a copy of Ŵ between the passes."""

    @staticmethod
    def forward(ctx, x, quantized):
        ctx.quantized = quantized
        rows = x.reshape(-1, x.shape[-1]).contiguous()
        return F.linear(rows, quantized.dequantize().to(x.dtype)).view(*x.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return grad @ ctx.quantized.dequantize().to(grad.dtype), None


def refuse_merging(config):
    """A peft.LoraConfig whose adapters on FrozenLinear layers raise when they are merged.

    peft would add them to a decoded copy, which is dropped, and the adapter would be lost without a word.
    """
    from peft.tuners.lora import Linear

    class LoraFrozen(Linear):
        def merge(self, *args, **kwargs):
            raise ValueError(MERGING)

    config._register_custom_module({FrozenLinear: LoraFrozen})
    return config


def linear_layers(model, *, head=False):
    """{name: layer} of the linear layers of a model's blocks, and of its head when asked; frozen ones are left out."""
    own = model.get_output_embeddings()
    plain = {
        n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and not isinstance(m, FrozenLinear)
    }
    return {name: module for name, module in plain.items() if head or module is not own}


def swap(model, quantize):
    """Put FrozenLinear layers in place of the linear ones of a model's blocks; the head stays.

    Args:
        model: a causal language model of transformers, changed in place.
        quantize: weight (O, I) → QuantizedWeight.

    Returns:
        {name: layer that was there}. Drop it to free the weights.

    Raises:
        ValueError: no layer was found.
    """
    replaced = linear_layers(model)
    if not replaced:
        raise ValueError("The model has no torch.nn.Linear layer left: was it quantized already?")
    for name, layer in replaced.items():
        model.set_submodule(name, FrozenLinear(quantize(layer.weight), layer.bias))
    return replaced


@contextmanager
def rounded(model, quantize, *, head=False, names=None):
    """Inside, the linear layers hold what their codes stand for, as ordinary weights: to measure loss at full speed.

    Args:
        model: a causal language model of transformers; the same afterwards.
        quantize: weight (O, I) → QuantizedWeight, or a dict from layer names to QuantizedWeights, as GPTQ gives.
        head: whether the head, and the embedding where it is tied, is rounded too.
        names: the layers to take, all when None.

    Yields:
        The bits a weight over these layers, scales included.
    """
    chosen = {n: m for n, m in linear_layers(model, head=head).items() if names is None or n in names}
    originals, size, count = {}, 0, 0
    try:
        for name, layer in chosen.items():
            quantized = quantize[name] if isinstance(quantize, dict) else quantize(layer.weight.data)
            originals[name] = layer.weight.data.clone()
            layer.weight.data.copy_(quantized.dequantize())  # in place, so that a tied embedding follows
            size, count = size + quantized.nbytes, count + quantized.numel
        yield 8 * size / max(count, 1)
    finally:
        for name, values in originals.items():
            chosen[name].weight.data.copy_(values)


def to_linear(model):
    """Make ordinary frozen layers of all FrozenLinear ones, in place, inside a peft model too, to merge and to ship.

    The numbers are the decoded ones: what rounding lost stays lost.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, FrozenLinear):
            plain = torch.nn.Linear(module.in_features, module.out_features, bias=False, device="meta")
            plain.weight, plain.bias = (
                torch.nn.Parameter(module.quantized.dequantize(), requires_grad=False),
                module.bias,
            )
            model.set_submodule(name, plain)
        elif type(module).__name__ == "LoraFrozen":
            module.__class__ = type(module).__mro__[1]  # peft's own layer again, which can merge
    return model


def model_bytes(model):
    """Bytes of all weights and buffers, each storage once, quantized codes packed: what the model needs to be there."""
    counted = {value.untyped_storage().data_ptr(): value.nbytes for value in (*model.parameters(), *model.buffers())}
    return sum(counted.values())


def _compute_dtype(x):
    """Autocast's dtype where it is on, else that of x."""
    return torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
