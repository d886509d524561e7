"""Everything that decides how training goes on, as plain tensors and numbers: what a checkpoint holds.

Trained weights and AdamW's moments go by parameter name; frozen weights are not saved, their hash identifies them.
The state is always the full one: sharded tensors are gathered, so that a checkpoint does not know how many processes
wrote it. Python's, NumPy's and torch's random states become tensors too.
"""

import os
import platform
import random

import numpy as np
import torch
from torch.distributed.tensor import DTensor, distribute_tensor

from course_utils.engine.checkpoint import fingerprint

_MOMENTS = ("exp_avg", "exp_avg_sq")


def trained_parameters(module):
    """{name: parameter} of what the optimizer moves, shared weights once."""
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


def frozen_hash(module):
    """Identity of the weights and buffers that training leaves alone, or None when everything is trained."""
    trained = set(trained_parameters(module))
    frozen = {
        name: value
        for name, value in module.state_dict().items()
        if name not in trained and isinstance(value, torch.Tensor)
    }
    shared = {weight.data_ptr() for weight in trained_parameters(module).values()}
    frozen = {name: value for name, value in frozen.items() if value.data_ptr() not in shared}
    if not frozen:
        return None
    return fingerprint(*(part for name in sorted(frozen) for part in (name, frozen[name])))


def weights(module):
    """{name: full CPU tensor} of the trained weights. Every process of a parallel run must call this together."""
    return {name: full(weight) for name, weight in trained_parameters(module).items()}


def moments(module, optimizer):
    """{"name|moment": full CPU tensor} of AdamW. Every process of a parallel run must call this together."""
    found = {}
    for name, weight in trained_parameters(module).items():
        for moment, value in optimizer.state.get(weight, {}).items():
            found[f"{name}|{moment}"] = full(value)
    return found


@torch.no_grad()
def load_weights(module, saved):
    """Copy saved weights into the trained parameters; the names must agree exactly."""
    parameters = trained_parameters(module)
    missing, unknown = sorted(set(parameters) - set(saved)), sorted(set(saved) - set(parameters))
    if missing or unknown:
        raise ValueError(
            f"The saved weights do not belong to this model: {len(missing)} of its {len(parameters)} trained weights "
            f"are not among them (first: {missing[:1]}), {len(unknown)} are not in the model (first: {unknown[:1]}). "
            "Build the model and its adapter as in the run that saved them."
        )
    for name, weight in parameters.items():
        if weight.shape != saved[name].shape:
            raise ValueError(f"{name} was saved as {tuple(saved[name].shape)}, but here it is {tuple(weight.shape)}.")
        weight.copy_(_like(saved[name], weight))


def load_moments(module, optimizer, saved):
    """Put saved moments into an optimizer that has not stepped yet."""
    for name, weight in trained_parameters(module).items():
        here = {key.rpartition("|")[2]: value for key, value in saved.items() if key.rpartition("|")[0] == name}
        if here:
            optimizer.state[weight] = {
                moment: _like(value, weight) if moment in _MOMENTS else _step_like(value, weight, optimizer)
                for moment, value in here.items()
            }


def full(value):
    """A tensor whole and on the CPU; every process of a parallel run must call this together."""
    value = value.detach()
    return (value.full_tensor() if isinstance(value, DTensor) else value).cpu()


def _like(value, weight):
    """A full CPU tensor, on the weight's device and sharded as the weight is."""
    value = value.to(weight.device)
    if isinstance(weight, DTensor):
        return distribute_tensor(value, weight.device_mesh, weight.placements)
    return value


def _step_like(value, weight, optimizer):
    """AdamW's own step counter; its fused kernel wants it beside the weight."""
    return value.to(weight.device) if optimizer.defaults.get("fused") else value


def random_state():
    """The states of all random generators of this process, as tensors."""
    version, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state()
    found = {
        "python": torch.tensor([version, *words], dtype=torch.int64),
        "python_gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
        "numpy": torch.from_numpy(keys.astype(np.int64)),
        "numpy_rest": torch.tensor([position, has_gauss, cached], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def set_random_state(state):
    """Put back what random_state returned."""
    version, *words = state["python"].tolist()
    gauss = state["python_gauss"].tolist()
    random.setstate((version, tuple(words), gauss[0] if gauss else None))
    position, has_gauss, cached = state["numpy_rest"].tolist()
    np.random.set_state(("MT19937", state["numpy"].numpy().astype(np.uint32), int(position), int(has_gauss), cached))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def seed_everything(seed):
    """Seed Python's, NumPy's and torch's generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def environment(run, module, micro_batch, processes):
    """What the last digits depend on: two runs agree bit for bit only where all of this agrees."""
    first = next(module.parameters())
    return {
        "threads": torch.get_num_threads(),
        "dtype": str(first.dtype),
        "autocast": str(run.autocast),
        "instruction_set": " ".join(
            [torch.backends.cpu.get_cpu_capability(), os.environ.get("ONEDNN_MAX_CPU_ISA", "")]
        ),
        "processor": torch.cuda.get_device_name() if first.device.type == "cuda" else _processor(),
        "device": first.device.type,
        "torch": torch.__version__,
        "micro_batch": micro_batch,
        "processes": processes,
    }


def _processor():
    """The matrix units that oneDNN may use besides the instruction set; the name alone where torch cannot tell."""
    known = getattr(torch.cpu, "get_capabilities", dict)()
    units = [unit for unit in ("avx512_bf16", "amx_bf16", "amx_tile", "bf16", "sve") if known.get(unit)]
    return " ".join([platform.machine(), *units])
