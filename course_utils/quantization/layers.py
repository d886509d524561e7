"""Quantized weights inside a transformers model: linear layer and embedding decode on the fly, with LoRA on top.

    y = x Ŵᵀ,  dx = dy Ŵ          Ŵ is decoded in the forward pass and again in the backward pass, never kept

No gradient goes into the codes: only adapters learn (QLoRA, Dettmers et al. 2023).
"""

from contextlib import contextmanager

import torch
from torch.nn import functional as F


class FrozenLinear(torch.nn.Linear):
    """torch.nn.Linear with a quantized weight that never learns."""

    def __init__(self, quantized, bias=None):
        torch.nn.Module.__init__(self)  # not Linear's own: it would make a weight
        self.out_features, self.in_features = quantized.shape
        self.quantized = quantized
        self.register_parameter("bias", bias)

    @property
    def weight(self):
        """(O, I), decoded anew at each call; changing it in place changes nothing."""
        return self.quantized.dequantize()

    def forward(self, x):
        """(..., I) → (..., O), in the dtype of x, or autocast's."""
        product = _Product.apply(x.to(_compute_dtype(x)), self.quantized)
        return product if self.bias is None else product + self.bias.to(product.dtype)


class FrozenEmbedding(torch.nn.Module):
    """An embedding that decodes only the rows it is asked for; may share its codes with the head.

    scale: a factor on the result, which Gemma's embedding has.
    """

    def __init__(self, quantized, scale=None):
        super().__init__()
        self.num_embeddings, self.embedding_dim = quantized.shape
        self.quantized, self.scale = quantized, scale

    @property
    def weight(self):
        """(V, D), decoded anew at each call."""
        return self.quantized.dequantize()

    def forward(self, input_ids):
        """(...) int64 → (..., D)."""
        words, place = input_ids.unique(return_inverse=True)
        rows = self.quantized.dequantize(words)[place]
        return rows if self.scale is None else rows * self.scale.to(rows)


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


class _LoraProduct(torch.autograd.Function):
    """y = x Ŵᵀ + s (x Aᵀ) Bᵀ with A (R, I), B (O, R): QLoRA in fifteen lines.

    dx = dy Ŵ + s (dy B) A,  dA = s (dy B)ᵀ x,  dB = s dyᵀ (x Aᵀ)
    """

    @staticmethod
    def forward(ctx, x, quantized, down, up, scaling):
        rows = x.reshape(-1, x.shape[-1]).contiguous()
        inner = rows @ down.to(x.dtype).t()
        ctx.save_for_backward(rows, down, up, inner)
        ctx.quantized, ctx.scaling = quantized, scaling
        output = F.linear(rows, quantized.dequantize().to(x.dtype))
        return output.addmm_(inner, (up * scaling).to(x.dtype).t()).view(*x.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        rows, down, up, inner = ctx.saved_tensors
        shape, grad = grad.shape, grad.reshape(-1, grad.shape[-1])
        grad_inner = grad @ (up * ctx.scaling).to(grad.dtype)
        grad_x = (grad @ ctx.quantized.dequantize().to(grad.dtype)).addmm_(grad_inner, down.to(grad.dtype))
        grad_up = (grad.t() @ inner).to(up.dtype).mul_(ctx.scaling)
        return grad_x.view(*shape[:-1], -1), None, (grad_inner.t() @ rows).to(down.dtype), grad_up, None


def with_lora(model, config):
    """peft's LoRA on a model with FrozenLinear layers, each adapter's product joined with its layer's.

    Args:
        model: a transformers model after `swap`.
        config: a peft.LoraConfig.

    Returns:
        A peft model. Merging into codes is refused; `to_linear` first, then merge.
    """
    from peft import get_peft_model
    from peft.tuners.lora import Linear

    class LoraFrozen(Linear):
        """peft's layer, with the product of base and adapter in one function."""

        def forward(self, x, *args, **kwargs):
            active = [name for name in self.active_adapters if name in self.lora_A]
            plain = len(active) == 1 and not (args or kwargs or self.disable_adapters or active[0] in self.lora_variant)
            if not plain or not isinstance(self.lora_dropout[active[0]], torch.nn.Identity):
                return super().forward(x, *args, **kwargs)
            base, name = self.base_layer, active[0]
            down, up = self.lora_A[name].weight, self.lora_B[name].weight
            y = _LoraProduct.apply(x.to(_compute_dtype(x)), base.quantized, down, up, self.scaling[name])
            return y if base.bias is None else y + base.bias.to(y.dtype)

        def merge(self, *args, **kwargs):
            raise ValueError(
                "An adapter cannot be merged into quantized codes: the sum would lie off their grid. Call "
                "layers.to_linear(model) first, which makes 16-bit layers of them, then merge."
            )

    config._register_custom_module({FrozenLinear: LoraFrozen})
    return get_peft_model(model, config)


def linear_layers(model, *, head=False):
    """{name: layer} of the linear layers of a model's blocks, and of its head when asked; frozen ones are left out."""
    own = model.get_output_embeddings()
    plain = {
        n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and not isinstance(m, FrozenLinear)
    }
    return {name: module for name, module in plain.items() if head or module is not own}


def swap(model, quantize, *, head=False, names=None):
    """Put FrozenLinear layers in place of a model's linear ones.

    Args:
        model: a causal language model of transformers, changed in place.
        quantize: weight (O, I) → QuantizedWeight, or a dict from layer names to QuantizedWeights, as GPTQ gives.
        head: whether the head is quantized too; where it is tied, the embedding shares its codes.
        names: the layers to take, all when None.

    Returns:
        {name: module that was there}, for `restore`. Drop it to free the weights.

    Raises:
        ValueError: no layer was found, or a name is unknown.
    """
    chosen = linear_layers(model, head=head)
    if names is not None:
        unknown = sorted(set(names) - set(chosen))
        if unknown:
            raise ValueError(
                f"No linear layer is called {unknown[0]!r}; there are {len(chosen)}, as {next(iter(chosen))!r}."
            )
        chosen = {name: chosen[name] for name in names}
    if not chosen:
        raise ValueError("The model has no torch.nn.Linear layer left: was it quantized already?")
    embedding, replaced = model.get_input_embeddings(), {}
    for name, layer in chosen.items():
        quantized = quantize[name] if isinstance(quantize, dict) else quantize(layer.weight)
        if layer.weight is embedding.weight:
            place = next(n for n, module in model.named_modules() if module is embedding)
            replaced[place] = embedding
            model.set_submodule(place, FrozenEmbedding(quantized, getattr(embedding, "embed_scale", None)))
        replaced[name] = layer
        model.set_submodule(name, FrozenLinear(quantized, layer.bias))
    return replaced


def restore(model, replaced):
    """Put back what `swap` took out."""
    for name, module in replaced.items():
        model.set_submodule(name, module)


@contextmanager
def swapped(model, quantize, **choice):
    """Inside the context the model is quantized, afterwards it is as before; arguments as for `swap`."""
    replaced = swap(model, quantize, **choice)
    try:
        yield model
    finally:
        restore(model, replaced)


@contextmanager
def rounded(model, quantize, *, head=False, names=None):
    """Inside, the linear layers hold what their codes stand for, as ordinary weights: to measure loss at full speed.

    Yields the bits a weight over the chosen layers, scales included. Arguments as for `swap`.
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
    """Make ordinary frozen layers of all FrozenLinear and FrozenEmbedding layers, in place, to merge and to ship.

    Works inside a peft model too; a tied head and embedding share one weight again. The numbers are the decoded ones:
    what rounding lost stays lost.
    """
    decoded = {}
    for name, module in list(model.named_modules()):
        if isinstance(module, FrozenLinear | FrozenEmbedding):
            key = id(module.quantized)
            decoded.setdefault(key, torch.nn.Parameter(module.weight, requires_grad=False))
            model.set_submodule(name, _plain(module, decoded[key]))
    for module in model.modules():
        if type(module).__name__ == "LoraFrozen":
            module.__class__ = type(module).__mro__[1]  # peft's own layer again, which can merge
    return model


def _plain(module, weight):
    if isinstance(module, FrozenEmbedding):
        plain = _ScaledEmbedding(*weight.shape, device="meta")
        plain.weight, plain.scale = weight, module.scale
        return plain
    plain = torch.nn.Linear(module.in_features, module.out_features, bias=False, device="meta")
    plain.weight, plain.bias = weight, module.bias
    return plain


class _ScaledEmbedding(torch.nn.Embedding):
    def forward(self, input_ids):
        rows = super().forward(input_ids)
        return rows if self.scale is None else rows * self.scale.to(rows)


def model_bytes(model):
    """Bytes of all weights and buffers, each storage once, quantized codes packed: what the model needs to be there."""
    counted = {value.untyped_storage().data_ptr(): value.nbytes for value in (*model.parameters(), *model.buffers())}
    return sum(counted.values())


def _compute_dtype(x):
    """Autocast's dtype where it is on, else that of x."""
    return torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
