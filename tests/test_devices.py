"""The policy on machines that nobody here has."""

import os
import subprocess
import sys

import pytest
import torch
from helpers.faked_machines import ARCHITECTURES, cuda_device, fake_cpu, fake_cuda, fake_mps, fake_no_gpu

from course_utils import devices
from course_utils.devices import Device

# fake, tier, dtype, autocast, grad_scaler: all nine machines that the course promises to judge right
SUPPORTED = {
    "none": (lambda patch: fake_cpu(patch), "cpu", "float32", None, False),
    "7.0": (lambda patch: fake_cuda(patch, (7, 0)), "gpu-16gb", "float32", "float16", True),
    "7.5": (lambda patch: fake_cuda(patch, (7, 5)), "gpu-16gb", "float32", "float16", True),
    "8.0": (lambda patch: fake_cuda(patch, (8, 0)), "gpu-80gb", "bfloat16", None, False),
    "8.9": (lambda patch: fake_cuda(patch, (8, 9)), "gpu-24gb", "bfloat16", None, False),
    "9.0": (lambda patch: fake_cuda(patch, (9, 0)), "gpu-80gb", "bfloat16", None, False),
    "mps": (lambda patch: fake_mps(patch), "cpu", "float32", None, False),
}
REFUSED = {
    "6.0": (lambda patch: fake_cuda(patch, (6, 0), architectures=["sm_60", *ARCHITECTURES]), "6.0", "GPU T4 x2"),
    "absent": (
        lambda patch: fake_cuda(patch, (12, 0), architectures=ARCHITECTURES[:5]),
        "12.0",
        "--torch-backend=auto",
    ),
}


@pytest.mark.parametrize("machine", SUPPORTED)
def test_supported_machine(machine, monkeypatch):
    fake, tier, dtype, autocast, grad_scaler = SUPPORTED[machine]
    fake(monkeypatch)
    device = devices.probe()
    precision = devices.choose_precision(device)
    assert (precision.dtype, precision.autocast, precision.grad_scaler) == (dtype, autocast, grad_scaler)
    assert precision.reason and devices.choose_tier(device)[0] == tier
    assert devices.choose_attention(device)[0] == "sdpa"


@pytest.mark.parametrize("machine", REFUSED)
def test_refused_machine_says_the_remedy(machine, monkeypatch):
    fake, capability, remedy = REFUSED[machine]
    fake(monkeypatch)
    with pytest.raises(devices.UnsupportedDevice) as caught:
        devices.choose_precision(devices.probe())
    assert capability in str(caught.value) and remedy in str(caught.value)
    assert "CUDA_VISIBLE_DEVICES=-1" in str(caught.value)


def test_t4_is_never_bf16_although_torch_says_so(monkeypatch):
    fake_cuda(monkeypatch, (7, 5))
    assert torch.cuda.is_bf16_supported()
    precision = devices.choose_precision(devices.probe())
    assert "bfloat16" not in (precision.dtype, precision.autocast)


@pytest.mark.parametrize(
    "capability, architectures, runs",
    [
        ((8, 0), ["sm_80"], True),
        ((8, 9), ["sm_80"], True),  # within a major version, from the built minor on
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_80", "sm_86"], False),
        ((9, 0), ["sm_90a"], True),
        ((10, 3), ["sm_100a"], False),  # code with an "a" runs on its own version alone
        ((10, 0), ["sm_100"], True),
        ((12, 0), ["sm_90", "compute_90"], True),  # compiled when it is loaded
        ((7, 0), ["compute_75"], False),
        ((7, 5), [], False),
        ((7, 5), ["gfx942"], False),
    ],
)
def test_has_kernels(capability, architectures, runs):
    assert devices.has_kernels(capability, architectures) is runs


@pytest.mark.parametrize(
    "gib, tier",
    [(7.8, "cpu"), (11.6, "cpu"), (14.6, "gpu-16gb"), (15.9, "gpu-16gb"), (22.0, "gpu-24gb"), (39.4, "gpu-24gb"),
     (79.1, "gpu-80gb"), (139.8, "gpu-80gb")],
)  # fmt: skip
def test_tier_follows_the_memory_that_torch_reports(gib, tier):
    assert devices.choose_tier(cuda_device((8, 0), memory_gib=gib))[0] == tier


def test_tier_asked_for_wins_and_says_what_it_overrides():
    assert devices.choose_tier(cuda_device((8, 0)), "cpu") == (
        "cpu",
        "asked by COURSE_TIER; this machine's own would be gpu-80gb",
    )
    assert "COURSE_TIER" not in devices.choose_tier(Device("cpu"), "cpu")[1]


def test_unknown_tier_is_refused():
    with pytest.raises(ValueError, match=r"COURSE_TIER is 'gpu'; expected one of cpu, gpu-16gb"):
        devices.choose_tier(Device("cpu"), "gpu")


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'tpu'"):
        Device("tpu")


@pytest.mark.parametrize("instructions", [{"amx": True}, {"avx512_bf16": True}])
def test_cpu_with_native_bf16(instructions, monkeypatch):
    fake_cpu(monkeypatch, **instructions)
    assert devices.choose_precision(devices.probe()).dtype == "bfloat16"


def test_cpu_that_torch_drives_without_avx512_is_fp32(monkeypatch):
    fake_cpu(monkeypatch, avx512_bf16=True, capability="AVX2")
    assert devices.choose_precision(devices.probe()).dtype == "float32"


@pytest.mark.parametrize(
    "name, value, dtype",
    [
        ("ATEN_CPU_CAPABILITY", "avx2", "float32"),
        ("ATEN_CPU_CAPABILITY", "default", "float32"),
        ("ATEN_CPU_CAPABILITY", "avx512", "bfloat16"),
        ("ONEDNN_MAX_CPU_ISA", "AVX2", "float32"),
        ("ONEDNN_MAX_CPU_ISA", "avx512_core", "float32"),
        ("DNNL_MAX_CPU_ISA", "AVX2", "float32"),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", "bfloat16"),
        ("ONEDNN_MAX_CPU_ISA", "ALL", "bfloat16"),
    ],
)
def test_environment_that_forbids_bf16(name, value, dtype, monkeypatch):
    fake_cpu(monkeypatch, amx=True)
    monkeypatch.setenv(name, value)
    precision = devices.choose_precision(devices.probe())
    assert precision.dtype == dtype
    assert (f"{name}={value}" in precision.reason) is (dtype == "float32")


@pytest.mark.parametrize("variable", ["ATEN_CPU_CAPABILITY=avx2", "ONEDNN_MAX_CPU_ISA=AVX2"])
def test_this_cpu_limited_for_real_is_fp32(variable):
    name, value = variable.split("=")
    code = "from course_utils import devices as d; print(d.choose_precision(d.probe()).dtype)"
    environment = {**os.environ, name: value, "CUDA_VISIBLE_DEVICES": "-1"}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == "float32\n"


def test_torch_without_its_private_questions_falls_back_to_the_flags(monkeypatch):
    fake_cpu(monkeypatch)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.setattr(devices.machine, "cpu_facts", lambda: ("some CPU", {"amx_bf16", "avx512f"}))
    assert devices.probe().native_bf16 == "AMX"
    monkeypatch.setattr(devices.machine, "cpu_facts", lambda: ("some CPU", {"avx2"}))
    assert devices.probe().native_bf16 == ""


def test_two_gpus_are_noted_except_under_torchrun(monkeypatch):
    fake_cuda(monkeypatch, (7, 5), count=2)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert "2 GPUs" in devices.several_gpus(devices.probe())[0]
    assert "CUDA_VISIBLE_DEVICES=0" in devices.several_gpus(devices.probe())[1]
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert devices.several_gpus(devices.probe()) is None


def test_amd_gpu_is_neither_refused_nor_trusted(monkeypatch):
    fake_cuda(monkeypatch, (9, 0), architectures=["gfx942"])
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert devices.choose_precision(devices.probe()).dtype == "float32"


def test_no_gpu_is_the_cpu(monkeypatch):
    fake_no_gpu(monkeypatch)
    assert devices.probe().kind == "cpu"
