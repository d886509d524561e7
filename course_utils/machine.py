"""What this process may use of the machine: cores, memory, instruction sets. No torch, and psutil only off Linux.

A container shows its host's cores and memory; its own limits stand in the control groups, so those are read too.
Every function takes the root of the file system, so that a test can show it another machine.
"""

import builtins
import math
import os
import platform
import re
from pathlib import Path

GIB = 2**30


def in_notebook():
    """Whether this process is a notebook's kernel."""
    return hasattr(getattr(builtins, "get_ipython", lambda: None)(), "kernel")


def _read(path):
    """The stripped content of a small system file, "" when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _group_folders(controller, root):
    """Folders that may hold this process's limits for "cpu" or "memory": its control group's and all above it."""
    folders = [root / "sys/fs/cgroup", root / "sys/fs/cgroup" / controller]
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = folders[1] if controllers else folders[0]
        parts = [part for part in group.split("/") if part]
        folders += [base.joinpath(*parts[: depth + 1]) for depth in range(len(parts))]
    return folders


def _number(path):
    """The whole number in a system file, None when it holds none ("max" means no limit)."""
    content = _read(path)
    return int(content) if content.isdigit() else None


def cpu_quota(root=Path("/")):
    """Cores' worth of time that control groups (version 2 or 1) grant, as a float; infinity without a limit."""
    quotas = [math.inf]
    for folder in _group_folders("cpu", root):
        fields = _read(folder / "cpu.max").split()
        if not fields:
            fields = [_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")]
        if len(fields) == 2 and all(field.isdigit() for field in fields) and int(fields[1]) > 0:
            quotas.append(int(fields[0]) / int(fields[1]))
    return min(quotas)


def _logical_cores():
    """Numbers of the logical cores that this process is allowed on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def physical_cores(root=Path("/"), logical=None):
    """Physical cores that this process may use: two hyper-threads count once, affinity and quota are respected.

    Args:
        root: of the file system.
        logical: numbers of the allowed logical cores; asked from the system when None.
    """
    logical = _logical_cores() if logical is None else logical
    siblings = set()
    for number in logical:
        topology = root / f"sys/devices/system/cpu/cpu{number}/topology"
        siblings.add(_read(topology / "core_cpus_list") or _read(topology / "thread_siblings_list") or str(number))
    cores = len(siblings)
    if platform.system() != "Linux":
        try:
            import psutil

            cores = min(cores, psutil.cpu_count(logical=False) or cores)
        except ImportError:
            pass
    return max(1, math.floor(min(cores, cpu_quota(root))))


def waiting_share(root=Path("/")):
    """Of the last ten seconds, the share in which something here waited for a core; None where the system cannot say.

    Linux's pressure figures: "some avg10=12.34 avg60=…" in per cent.
    """
    found = re.search(r"^some avg10=([\d.]+)", _read(root / "proc/pressure/cpu"), re.MULTILINE)
    return float(found[1]) / 100 if found else None


def cpu_facts(root=Path("/")):
    """(name, flags): the processor's name and, on Linux, the set of its instruction-set flags."""
    facts = {}
    for line in _read(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    return facts.get("model name") or platform.processor() or platform.machine(), set(facts.get("flags", "").split())


def memory_gib(root=Path("/")):
    """(total, free) memory in GiB that this process may use; free counts what the system can reclaim at once."""
    fields = dict(line.split(":", 1) for line in _read(root / "proc/meminfo").splitlines() if ":" in line)
    if "MemTotal" not in fields:
        return _memory_off_linux()
    total = int(fields["MemTotal"].split()[0]) * 1024  # "MemTotal:  123 kB"
    free = int(fields.get("MemAvailable", fields["MemTotal"]).split()[0]) * 1024
    for folder in _group_folders("memory", root):
        for maximum, current in (("max", "current"), ("limit_in_bytes", "usage_in_bytes")):
            limit, used = _number(folder / f"memory.{maximum}"), _number(folder / f"memory.{current}")
            if limit is not None and limit < total:
                cache = re.search(r"^(?:total_)?inactive_file (\d+)", _read(folder / "memory.stat"), re.MULTILINE)
                total = limit
                free = min(free, max(0, limit - (used or 0) + (int(cache[1]) if cache else 0)))
    return total / GIB, free / GIB


def _memory_off_linux():
    try:
        import psutil
    except ImportError:
        return math.nan, math.nan
    memory = psutil.virtual_memory()
    return memory.total / GIB, memory.available / GIB
