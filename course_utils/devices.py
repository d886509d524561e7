"""Which number format, which sizes, or a refusal: pure policy over a frozen Device, so that a test can fake any.

`probe` is the only function that looks at the machine and the only one that imports torch.
"""

import os
from dataclasses import dataclass

from course_utils import machine

TIERS = ("cpu", "gpu-16gb", "gpu-24gb", "gpu-80gb")
# A card sold as 16 GB shows torch 14.6 to 15.8 GiB, one of 24 GB 22 to 23.7, one of 80 GB 79
SMALLEST_GIB = {"gpu-80gb": 70, "gpu-24gb": 20, "gpu-16gb": 13}
RUN_ON_CPU = "set CUDA_VISIBLE_DEVICES=-1 before Python starts and the course runs on the CPU"


class UnsupportedDevice(RuntimeError):
    """The GPU cannot run this torch or this course. The message names the remedy."""


@dataclass(frozen=True)
class Device:
    """What the policy needs to know about the device that would compute.

    kind: "cpu", "cuda" or "mps".
    name: as the maker calls it.
    memory_gib: all of the device's memory; on a CPU or Apple's chip the machine's.
    capability: CUDA compute capability as (major, minor); None elsewhere, also on an AMD GPU.
    architectures: what this torch was built for, as torch.cuda.get_arch_list() says: "sm_80", "compute_90".
    native_bf16: on a CPU, the instructions that multiply bf16; "" when it has none or may not use them.
    limit: the environment variable that forbids those instructions, as NAME=value; "" when none does.
    count: GPUs that torch sees.
    """

    kind: str
    name: str = ""
    memory_gib: float = 0.0
    capability: tuple[int, int] | None = None
    architectures: tuple[str, ...] = ()
    native_bf16: str = ""
    limit: str = ""
    count: int = 1

    def __post_init__(self):
        if self.kind not in ("cpu", "cuda", "mps"):
            raise ValueError(f'Device kind is {self.kind!r}; expected "cpu", "cuda" or "mps".')


@dataclass(frozen=True)
class Precision:
    """The number formats of a run, as torch names them, and why.

    dtype: of the weights. autocast: of the matrix products when another, else None. grad_scaler: whether gradients must
    be scaled. reason: half a sentence.
    """

    dtype: str
    autocast: str | None
    grad_scaler: bool
    reason: str

    def __str__(self):
        products = f" weights, {self.autocast} products" if self.autocast else ""
        return f"{self.dtype}{products} – {self.reason}"


def has_kernels(capability, architectures):
    """True when a torch built for these architectures runs on a GPU of this compute capability.

    Machine code "sm_80" runs on its own major version from its minor on (8.0, 8.6, 8.9); "compute_80" is compiled
    for any later GPU when it is loaded. "sm_90a" runs on 9.0 alone.
    """
    major, minor = capability
    for name in architectures:
        kind, _, digits = name.partition("_")
        exact = digits.endswith(("a", "f"))
        digits = digits.rstrip("af")
        if not digits.isdigit() or kind not in ("sm", "compute"):
            continue
        built = int(digits[:-1]), int(digits[-1])
        if built == (major, minor):
            return True
        if not exact and built < (major, minor) and (kind == "compute" or built[0] == major):
            return True
    return False


def refusal(device):
    """None for a device that can run the course, else (problem, remedy), both plain sentences."""
    if device.kind != "cuda" or device.capability is None:
        return None
    shown = "{}.{}".format(*device.capability)
    if device.capability < (7, 0):
        return (
            f"{device.name} has compute capability {shown}; the course needs 7.0 or newer (T4, V100 and later), "
            "and current builds of torch have no code for older GPUs.",
            f'On Kaggle choose the accelerator "GPU T4 x2"; anywhere else {RUN_ON_CPU}.',
        )
    if not has_kernels(device.capability, device.architectures):
        return (
            f"{device.name} has compute capability {shown}, and this torch was built for "
            f"{', '.join(device.architectures) or 'no GPU'} only.",
            "Install the build of torch that fits the GPU: uv pip install --torch-backend=auto --reinstall torch; "
            f"or {RUN_ON_CPU}.",
        )
    return None


def choose_precision(device):
    """The Precision for a device. Gemma 3 is never run in pure fp16: its hidden states exceed 65,504 and become NaN.

    Raises:
        UnsupportedDevice: the GPU is too old, or this torch has no code for it.
    """
    refused = refusal(device)
    if refused:
        raise UnsupportedDevice("\n".join(refused))
    if device.kind == "mps":
        # Older Apple chips emulate bf16, fp16 overflows, and 270M weights in fp32 are only 1.1 GB
        return Precision("float32", None, False, "Apple's GPU: bf16 is emulated on some chips and fp16 overflows")
    if device.kind == "cpu":
        if device.native_bf16:
            return Precision("bfloat16", None, False, f"this CPU multiplies bf16 natively ({device.native_bf16})")
        if device.limit:
            return Precision("float32", None, False, f"{device.limit} forbids native bf16")
        return Precision("float32", None, False, "this CPU has no native bf16 (AMX or AVX512-BF16)")
    if device.capability is None:
        return Precision("float32", None, False, "an AMD GPU, on which the course is untested: the safe format")
    shown = "{}.{}".format(*device.capability)
    if device.capability >= (8, 0):
        return Precision("bfloat16", None, False, f"compute capability {shown} computes bf16 natively")
    # torch.cuda.is_bf16_supported() says True here too, but means emulation, slower than fp32
    reason = f"compute capability {shown}: products in fp16 with scaled gradients, bf16 is only emulated"
    return Precision("float32", "float16", True, reason)


def choose_tier(device, asked=""):
    """(tier, reason): the sizes for a device, or those that `asked` names.

    Raises:
        ValueError: asked is no tier.
    """
    if asked and asked not in TIERS:
        raise ValueError(f"COURSE_TIER is {asked!r}; expected one of {', '.join(TIERS)}. Unset it: memory decides.")
    own, reason = _own_tier(device)
    if asked and asked != own:
        return asked, f"asked by COURSE_TIER; this machine's own would be {own}"
    return own, reason


def _own_tier(device):
    memory = f"{device.memory_gib:.0f} GiB"
    if device.kind == "cpu":
        return "cpu", "no GPU that torch can use"
    if device.kind == "mps":
        return "cpu", f"Apple's GPU shares {memory} with everything else that runs"
    for tier, smallest in SMALLEST_GIB.items():
        if device.memory_gib >= smallest:
            return tier, f"the GPU has {memory}"
    return "cpu", f"the GPU has {memory}, less than the smallest GPU tier: small sizes, but on the GPU"


def choose_attention(device):
    """(implementation, reason) for transformers."""
    return "sdpa", "torch's fused attention, which every supported device has"


def several_gpus(device):
    """None, or (problem, remedy) when torch sees several GPUs; None too in a process that torchrun started."""
    if device.count < 2 or "LOCAL_RANK" in os.environ:
        return None
    return (
        f"{device.count} GPUs are visible and the notebooks use the first; TRL's trainers stop when they see several.",
        "Set CUDA_VISIBLE_DEVICES=0 before Python starts; torchrun uses them all.",
    )


def isa_limit(environ):
    """The environment variable that forbids a CPU's bf16 instructions to torch, as NAME=value; "" when none does."""
    aten = environ.get("ATEN_CPU_CAPABILITY", "")
    if aten.lower() in ("default", "avx2"):
        return f"ATEN_CPU_CAPABILITY={aten}"
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        value = environ.get(name, "")
        if value and not any(part in value.upper() for part in ("BF16", "FP16", "AMX", "AVX10", "ALL", "DEFAULT")):
            return f"{name}={value}"
    return ""


def _cpu(torch):
    """The CPU as a Device. torch's own answers count where this version has them, else the system's list of flags."""
    name, flags = machine.cpu_facts()
    ask_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: "amx_bf16" in flags)
    ask_avx512 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: "avx512_bf16" in flags)
    native = "AMX" if ask_amx() else "AVX512-BF16" if ask_avx512() else ""
    limit = isa_limit(os.environ) if native else ""
    if limit or not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        native = ""
    return Device("cpu", name, machine.memory_gib()[0], native_bf16=native, limit=limit)


def probe():
    """The Device that torch would compute on: the first CUDA GPU, else Apple's GPU, else the CPU."""
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return Device(
            "cuda",
            properties.name,
            properties.total_memory / machine.GIB,
            capability=None if torch.version.hip else tuple(torch.cuda.get_device_capability(0)),
            architectures=tuple(torch.cuda.get_arch_list()),
            count=torch.cuda.device_count(),
        )
    if torch.backends.mps.is_available():
        return Device("mps", machine.cpu_facts()[0], machine.memory_gib()[0])
    return _cpu(torch)
