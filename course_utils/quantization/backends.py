"""The libraries that run quantized models inside transformers: bitsandbytes, torchao and PyTorch itself.

Each replaces the linear layers of a model's blocks; embedding and head stay as they are. llama.cpp has its own module.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import torch

from course_utils.quantization import layers


@dataclass(frozen=True)
class Backend:
    """A way to run the model's blocks."""

    name: str
    package: str | None  # that must be installed, None for torch alone
    convert: object  # (model, its own copy) → model
    dtype: torch.dtype = torch.bfloat16  # of what is not quantized


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
    made.bias = _own_bias(layer)
    return made.train(layer.training)


def decoded(layer):
    """(O, I) the numbers that a 4-bit layer of bitsandbytes stands for, in its dtype."""
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(layer.weight.data, layer.weight.quant_state)


def bitsandbytes_int8(layer):
    """bitsandbytes' LLM.int8 layer."""
    import bitsandbytes as bnb

    rows, columns = layer.weight.shape
    made = bnb.nn.Linear8bitLt(columns, rows, bias=False, has_fp16_weights=False, threshold=6.0)
    made.weight = bnb.nn.Int8Params(layer.weight.detach().clone(), requires_grad=False, has_fp16_weights=False)
    made.bias = _own_bias(layer)
    return made.train(layer.training)


def _own_bias(layer):
    """A frozen copy of a layer's bias: the library changes its dtype in place."""
    return None if layer.bias is None else torch.nn.Parameter(layer.bias.detach().clone(), requires_grad=False)


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
    )
}


def _four_bit(model):
    return [module for module in model.modules() if hasattr(module, "support_avx512bf16_for_cpu")]


def repacks(model):
    """Whether bitsandbytes re-packs this model's 4-bit layers in eval mode: on a CPU with AVX512-BF16, nowhere else."""
    return any(module.support_avx512bf16_for_cpu and module.weight.device.type == "cpu" for module in _four_bit(model))


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
