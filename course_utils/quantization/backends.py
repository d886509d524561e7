"""The libraries that run quantized models, behind one interface: bytes, loss, decode and prefill speed.

Transformers runs the model in bf16 or fp32, and with its linear layers replaced by those of bitsandbytes, torchao and
PyTorch itself; llama.cpp has its own module, quantization/llama_cpp. Here the blocks' linear layers are quantized;
embedding and head stay as they are. Fewer bits are fewer bytes in any case; they are faster only where a kernel reads
the codes as they lie.
"""

import copy
import importlib.util
import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from course_utils.models.logprobs import token_logprobs
from course_utils.quantization import integer, layers


@dataclass(frozen=True)
class Row:
    """One line of the table; None where nothing was measured, and `missing` says why."""

    name: str
    bytes: int | None = None  # of all weights, scales included
    loss: float | None = None  # nats a token
    decode_1: float | None = None  # tokens a second, one row
    decode_16: float | None = None  # tokens a second, 16 rows together
    prefill: float | None = None  # tokens read a second
    missing: str = ""  # what to install


@dataclass(frozen=True)
class Backend:
    """A way to run the model's blocks."""

    name: str
    package: str | None  # that must be installed, None for torch alone
    convert: object  # (model, its own copy) → model
    dtype: torch.dtype = torch.bfloat16  # of what is not quantized

    @property
    def missing(self):
        """How to get it, or "" when it is here."""
        if self.package is None or importlib.util.find_spec(self.package) is not None:
            return ""
        return f"{self.name} needs {self.package}: pip install --no-deps {self.package}, then run the cell again"


def measure(backend, model, rows, *, tokens, prompt, decode=(1, 16)):
    """One row of the table.

    Args:
        backend: from BACKENDS.
        model: a causal language model of transformers, left as it is.
        rows: (B, T) int64 of real text, <bos> first, without pads.
        tokens: to decode for the speed.
        prompt: tokens to read for the prefill speed.
        decode: batch sizes of the decode columns.

    Returns:
        A Row. A package that is absent, or that fails here, leaves a sentence in `missing`.
    """
    if backend.missing:
        return Row(backend.name, missing=backend.missing)
    from course_utils.quantization import speed

    try:
        with _quiet():
            ready = backend.convert(copy.deepcopy(model).to(backend.dtype).eval())
            decoded = [speed.decode(ready, batch=size, tokens=tokens) for size in decode]
            return Row(
                backend.name, stored_bytes(ready), loss(ready, rows), *decoded, speed.prefill(ready, tokens=prompt)
            )
    except (RuntimeError, ImportError, NotImplementedError, AssertionError, AttributeError, TypeError) as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        return Row(backend.name, missing=f"{backend.name} does not run here: {type(error).__name__}: {reason}")


@contextmanager
def _quiet():
    """Without the libraries' own remarks on what they lack and will change; a notebook's output is better without."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@torch.inference_mode()
def loss(model, rows):
    """Mean −log p over all tokens of rows (B, T) but each row's first, in nats."""
    total = 0.0
    for row in rows.to(model.device):
        hidden = model.base_model(row[None], use_cache=False).last_hidden_state[0, :-1].contiguous()
        total -= token_logprobs(hidden, model.get_output_embeddings().weight, row[1:]).sum().item()
    return total / (rows.shape[0] * (rows.shape[1] - 1))


def stored_bytes(model):
    """Bytes of a converted model, each storage once, inside the libraries' own containers too."""
    found = {}

    def add(value, key=None):
        if isinstance(value, torch.Tensor) and hasattr(value, "__tensor_flatten__"):
            for name in value.__tensor_flatten__()[0]:
                add(getattr(value, name))
        elif isinstance(value, torch.Tensor):
            found[key or value.untyped_storage().data_ptr()] = value.nbytes

    for value in (*model.parameters(), *model.buffers()):
        add(value)
        state = getattr(value, "quant_state", None)  # bitsandbytes, 4 bits
        for part in (state, getattr(state, "state2", None)):
            for name in ("absmax", "offset"):
                add(getattr(part, name, None))
    for module in model.modules():
        add(getattr(getattr(module, "state", None), "SCB", None))  # bitsandbytes, 8 bits
        if hasattr(module, "_packed_params") and callable(getattr(module, "weight", None)):
            add(module.weight(), module)  # PyTorch's dynamic int8, unpacked anew at each call
    return sum(found.values())


def _each_layer(make):
    def convert(model):
        for name, layer in layers.linear_layers(model).items():
            model.set_submodule(name, make(layer).to(layer.weight.device))
        return model

    return convert


def bitsandbytes_nf4(layer):
    """bitsandbytes' NF4 layer with double quantization; quantized when it is moved to its device."""
    import bitsandbytes as bnb

    rows, columns = layer.weight.shape
    made = bnb.nn.Linear4bit(columns, rows, bias=False, quant_type="nf4", compute_dtype=layer.weight.dtype)
    made.weight = bnb.nn.Params4bit(
        layer.weight.detach().clone(), requires_grad=False, quant_type="nf4", compress_statistics=True
    )
    return made.train(layer.training)


def bitsandbytes_int8(layer):
    """bitsandbytes' LLM.int8 layer."""
    import bitsandbytes as bnb

    rows, columns = layer.weight.shape
    made = bnb.nn.Linear8bitLt(columns, rows, bias=False, has_fp16_weights=False, threshold=6.0)
    made.weight = bnb.nn.Int8Params(layer.weight.detach().clone(), requires_grad=False, has_fp16_weights=False)
    return made.train(layer.training)


def _torchao(config):
    def convert(model):
        from torchao.quantization import quantize_

        chosen = set(layers.linear_layers(model).values())
        quantize_(model, config(), filter_fn=lambda module, name: module in chosen)
        return model

    return convert


def _ao_int8():
    from torchao.quantization import Int8WeightOnlyConfig

    return Int8WeightOnlyConfig()


def _ao_int4():
    from torchao.quantization import IntxWeightOnlyConfig
    from torchao.quantization.granularity import PerGroup

    return IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(32))


def _dynamic_int8(model):
    from torch.ao.quantization import default_dynamic_qconfig, quantize_dynamic

    return quantize_dynamic(model, dict.fromkeys(layers.linear_layers(model), default_dynamic_qconfig), inplace=True)


class PackedInt4(torch.nn.Module):
    """Four bits with a zero-point, groups of 32, multiplied by PyTorch's own CPU kernel, which reads the codes."""

    def __init__(self, layer, group=32):
        super().__init__()
        if layer.weight.device.type != "cpu":
            raise NotImplementedError("this kernel of PyTorch is for CPUs")
        self.group = group
        weight = integer.quantize(layer.weight, bits=4, granularity="group", group=group, zero_point=True)
        codes = weight.integers().view(weight.shape).to(torch.int32)
        self.register_buffer("codes", torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1))
        scales = weight.scales.view(len(codes), -1)
        # the kernel's ŵ = s (q − 8) + m
        shifts = scales * (8 - weight.zeros.view(len(codes), -1).float())
        self.register_buffer("grid", torch.stack([scales, shifts], -1).transpose(0, 1).contiguous().bfloat16())

    def forward(self, x):
        """(..., I) → (..., O)."""
        rows = x.reshape(-1, x.shape[-1]).bfloat16().contiguous()
        product = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self.codes, self.group, self.grid)
        return product.view(*x.shape[:-1], -1).to(x.dtype)


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("bf16", None, lambda model: model),
        Backend("fp32", None, lambda model: model, torch.float32),
        Backend("bitsandbytes NF4", "bitsandbytes", _each_layer(bitsandbytes_nf4)),
        Backend("bitsandbytes int8", "bitsandbytes", _each_layer(bitsandbytes_int8)),
        Backend("torchao int8", "torchao", _torchao(_ao_int8)),
        Backend("torchao int4", "torchao", _torchao(_ao_int4)),
        Backend("PyTorch int8", None, _dynamic_int8, torch.float32),
        Backend("PyTorch int4", None, _each_layer(PackedInt4)),
    )
}


def _four_bit(model):
    return [module for module in model.modules() if hasattr(module, "support_avx512bf16_for_cpu")]


def check_trainable(model):
    """Raise ValueError when bitsandbytes has re-packed 4-bit layers for inference: no gradient passes them any more."""
    packed = [m for m in _four_bit(model) if getattr(m.weight.quant_state, "packing_format_for_cpu", False)]
    if packed:
        raise ValueError(
            f"{len(packed)} bitsandbytes layers were re-packed for inference by an eval-mode forward pass on the CPU. "
            "Training would go on without an error and learn next to nothing, because no gradient passes them. "
            "Load the model again and wrap everything that runs it in backends.trainable(model)."
        )


@contextmanager
def trainable(model):
    """Inside, bitsandbytes' 4-bit layers keep their layout in eval mode too, so that training can follow.

    Raises:
        ValueError: some were re-packed before; the codes that are left have lost precision in their scales.
    """
    check_trainable(model)
    found = _four_bit(model)
    before = [module.support_avx512bf16_for_cpu for module in found]
    try:
        for module in found:
            module.support_avx512bf16_for_cpu = False
        yield model
    finally:
        for module, value in zip(found, before, strict=True):
            module.support_avx512bf16_for_cpu = value
