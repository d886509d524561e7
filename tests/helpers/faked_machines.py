"""Machines that nobody here has, put in the place of what torch and the system say."""

import types

import torch

from course_utils import devices

# What the wheels for CUDA 12.8 are built for
ARCHITECTURES = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]
CARDS = {  # name, GiB as torch reports them
    (6, 0): ("Tesla P100", 15.9),
    (7, 0): ("Tesla V100", 15.8),
    (7, 5): ("Tesla T4", 14.6),
    (8, 0): ("A100 80GB", 79.2),
    (8, 9): ("L4", 22.0),
    (9, 0): ("H200", 139.8),
    (12, 0): ("RTX 5090", 31.4),
}


def fake_cuda(patch, capability, *, architectures=ARCHITECTURES, gib=None, count=1):
    """Let torch see `count` GPUs. It lies about bf16 on all of them, as the real torch does on a T4."""
    name, memory = CARDS[capability]
    size = int((gib or memory) * 2**30)
    answers = {
        "is_available": True,
        "is_bf16_supported": True,
        "device_count": count,
        "get_device_capability": capability,
        "get_arch_list": list(architectures),
        "get_device_properties": types.SimpleNamespace(name=name, total_memory=size),
        "mem_get_info": (int(size * 0.95), size),
    }
    for function, answer in answers.items():
        patch.setattr(torch.cuda, function, lambda *_, answer=answer, **__: answer)
    patch.setattr(torch.version, "hip", None)


def fake_no_gpu(patch):
    """Let torch see no GPU of any kind."""
    patch.setattr(torch.cuda, "is_available", lambda: False)
    patch.setattr(torch.backends.mps, "is_available", lambda: False)


def fake_mps(patch):
    """Let torch see Apple's GPU."""
    patch.setattr(torch.cuda, "is_available", lambda: False)
    patch.setattr(torch.backends.mps, "is_available", lambda: True)


def fake_cpu(patch, *, amx=False, avx512_bf16=False, capability="AVX512"):
    """Let torch see no GPU, and a CPU with these instructions, which no environment variable limits."""
    fake_no_gpu(patch)
    for name in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        patch.delenv(name, raising=False)
    patch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    patch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16, raising=False)
    patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)


def cuda_device(capability, **facts):
    """A Device for the pure policy."""
    name, memory = CARDS[capability]
    facts = {"memory_gib": memory, "architectures": tuple(ARCHITECTURES), **facts}
    return devices.Device("cuda", name, capability=capability, **facts)
