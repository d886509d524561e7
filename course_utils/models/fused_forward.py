"""The same model with fewer passes over memory: fused forward methods for a frozen base with adapters, and for the
transformer by hand, whose weights all learn.

In eager mode on a CPU half of an adapter's training step goes into small element-wise kernels and into adapters that
peft computes in fp32. `fast_blocks` replaces three forward methods, on the instances and only for as long as it is
asked to, by functions with their backward written out:

    LoRA linear     y = x Wᵀ + s (x Aᵀ) Bᵀ          matrices in the base's dtype, no gradient for the frozen W
    IA3 linear      y = l ∘ (x Wᵀ) or (l ∘ x) Wᵀ       one product in the base's dtype instead of two casts
    RMSNorm         y = x / √(mean x² + ε) · (1 + w)   one fp32 copy, changed in place
    gated MLP       y = gelu(g) · u                    keeps g and u, computes gelu(g) again

Modules, parameters, adapter switches and checkpoints stay peft's and transformers' own. Anything these functions do not
cover (dropout, DoRA, several adapters at once, merged weights, a library's trained norms, its own quantised layers,
autocast) takes the original method, call by call; LoRA on quantization.layers.FrozenLinear is covered, decoded once in
each pass. In fp32 loss and gradients agree to 1e-5; in bf16 to its noise, where the adapter's product is
rounded to bf16 once, and its weights stay fp32.
"""

import contextlib
import functools

import torch
from torch.nn import functional as F

from course_utils.models.transformer import RMSNorm


@contextlib.contextmanager
def fast_blocks(model):
    """Inside the context the model computes with the functions of this module; afterwards it is as it was before."""
    patched = []
    try:
        for module in model.modules():
            replacement = _replacement(module)
            if replacement is not None and "forward" not in vars(module):  # else another such context has it
                module.forward = functools.partial(replacement, module, module.forward)
                patched.append(module)
        yield model
    finally:
        for module in patched:
            del module.forward


def _replacement(module):
    """The faster forward(module, original, …) for a module that has one."""
    names = {kind.__name__ for kind in type(module).__mro__}
    if "LoraLayer" in names and isinstance(getattr(module, "base_layer", None), torch.nn.Linear):
        return _lora_forward
    if "IA3Layer" in names and isinstance(getattr(module, "base_layer", None), torch.nn.Linear):
        return _ia3_forward
    if "Gemma3RMSNorm" in names:
        return _norm_forward
    if type(module) is RMSNorm:
        return _own_norm_forward
    if "GatedMLP" in names:
        return _mlp_forward
    if "Gemma3MLP" in names and module.config.hidden_activation == "gelu_pytorch_tanh":
        return _mlp_forward
    return None


def _lora_forward(layer, original, x, *args, **kwargs):
    base, factors = layer.base_layer, lora_factors(layer)
    plain = (
        factors is not None
        and not (args or kwargs)
        and x.dtype == _frozen_dtype(base)
        and not torch.is_autocast_enabled(x.device.type)
    )
    return LoraLinear.apply(x, base, *factors) if plain else original(x, *args, **kwargs)


def lora_factors(layer):
    """(A, B, scaling) of the one adapter that a peft LoRA layer adds, y = x Wᵀ + s (x Aᵀ) Bᵀ; None when it adds none,
    several, or anything else."""
    active = [name for name in layer.active_adapters if name in layer.lora_A]
    plain = (
        len(active) == 1
        and not (layer.disable_adapters or layer.merged)
        and active[0] not in layer.lora_variant
        and isinstance(layer.lora_dropout[active[0]], torch.nn.Identity)
        and layer.lora_B[active[0]].bias is None
    )
    if not plain:
        return None
    return layer.lora_A[active[0]].weight, layer.lora_B[active[0]].weight, layer.scaling[active[0]]


def _frozen_dtype(base):
    """The dtype of a frozen linear layer's weight, or None for a layer that LoraLinear does not cover."""
    if type(base) is torch.nn.Linear:
        return None if base.weight.requires_grad else base.weight.dtype
    return getattr(base, "decoded_dtype", None)  # codes of few bits, which the layer decodes whenever it is asked


def _ia3_forward(layer, original, x, *args, **kwargs):
    base, active = layer.base_layer, [name for name in layer.active_adapters if name in layer.ia3_l]
    plain = (
        len(active) == 1
        and not (args or kwargs or layer.disable_adapters or layer.merged)
        and type(base) is torch.nn.Linear
        and x.dtype == base.weight.dtype
        and not torch.is_autocast_enabled(x.device.type)
    )
    if not plain:
        return original(x, *args, **kwargs)
    scale = layer.ia3_l[active[0]].flatten()
    return base(Rescale.apply(x, scale)) if layer.is_feedforward else Rescale.apply(base(x), scale)


def _norm_forward(norm, original, x):
    if norm.weight.requires_grad or torch.is_autocast_enabled(x.device.type):
        return original(x)
    return ScaledRMSNorm.apply(x, 1.0 + norm.weight.float(), norm.eps)


def _own_norm_forward(norm, original, x):
    if torch.is_autocast_enabled(x.device.type):
        return original(x)
    return ScaledRMSNorm.apply(x, 1.0 + norm.weight.float(), norm.epsilon)


def _mlp_forward(mlp, original, x):
    if torch.is_autocast_enabled(x.device.type):
        return original(x)
    return mlp.down_proj(GatedGelu.apply(mlp.gate_proj(x), mlp.up_proj(x)))


class LoraLinear(torch.autograd.Function):
    """y = x Wᵀ + b + s (x Aᵀ) Bᵀ with W (O, I) and b (O) frozen, A (R, I), B (O, R).

    dx = dy W + s (dy B) A,  dA = s (dy B)ᵀ x,  dB = s dyᵀ (x Aᵀ)

    W is asked from its layer in both passes: a quantized layer decodes it twice and nothing is kept between (QLoRA).
    """

    @staticmethod
    def forward(ctx, x, base, down, up, scaling):
        rows = x.reshape(-1, x.shape[-1])
        inner = rows @ down.to(x.dtype).t()
        output = F.linear(rows, base.weight, base.bias).addmm_(inner, (up * scaling).to(x.dtype).t())
        ctx.save_for_backward(x, down, up, inner)
        ctx.base, ctx.scaling = base, scaling
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, down, up, inner = ctx.saved_tensors
        rows, grad = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        grad_inner = grad @ (up * ctx.scaling).to(x.dtype)
        grad_x = grad_down = grad_up = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad @ ctx.base.weight).addmm_(grad_inner, down.to(x.dtype)).view_as(x)
        if ctx.needs_input_grad[2]:
            grad_down = (grad_inner.t() @ rows).to(down.dtype)
        if ctx.needs_input_grad[3]:
            grad_up = (grad.t() @ inner).to(up.dtype).mul_(ctx.scaling)
        return grad_x, None, grad_down, grad_up, None


class Rescale(torch.autograd.Function):
    """y = l ∘ x with l (D) in fp32, rounded to x's dtype once.

    dx = l ∘ dy,  dl = Σ over rows of x ∘ dy, in fp32
    """

    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x, scale)
        return x * scale.to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, scale = ctx.saved_tensors
        products = (x * grad.to(scale.dtype)).flatten(0, -2).sum(0)
        return grad * scale.to(grad.dtype), products


class ScaledRMSNorm(torch.autograd.Function):
    """y = n · scale with n = x · r, r = 1 / √(mean x² + ε), computed in fp32.

    dx = r (g − n · mean(g ∘ n)) with g = dy · scale,  d scale = Σ over rows of dy ∘ n
    """

    @staticmethod
    def forward(ctx, x, scale, eps):
        normal = x.to(scale.dtype, copy=True)
        inverse = torch.linalg.vector_norm(normal, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, scale, inverse)
        return normal.mul_(inverse).mul_(scale).to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, scale, inverse = ctx.saved_tensors
        normal = x.to(scale.dtype, copy=True).mul_(inverse)
        grad = grad.to(scale.dtype, copy=True)
        grad_scale = (grad * normal).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        grad = grad.mul_(scale)
        mean = torch.linalg.vecdot(grad, normal).div_(-x.shape[-1]).unsqueeze(-1)
        return grad.addcmul_(normal, mean).mul_(inverse).to(x.dtype), grad_scale, None


class GatedGelu(torch.autograd.Function):
    """y = gelu(gate) · up, with the tanh form of gelu."""

    @staticmethod
    def forward(ctx, gate, up):
        ctx.save_for_backward(gate, up)
        return F.gelu(gate, approximate="tanh").mul_(up)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        gate, up = ctx.saved_tensors
        grad_up = F.gelu(gate, approximate="tanh").mul_(grad)
        return torch.ops.aten.gelu_backward(grad * up, gate, approximate="tanh"), grad_up
