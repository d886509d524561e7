"""Cores and memory of faked machines, each a folder that stands for the root of the file system."""

import math
import os
import sys

import pytest

from course_utils import machine

GIB = 2**30


def system(root, files):
    """Write {path: content} under root and return root."""
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


def cores(*siblings):
    """The topology files of CPUs, given the list of hyper-threads that each shares its core with."""
    return {f"sys/devices/system/cpu/cpu{n}/topology/core_cpus_list": f"{s}\n" for n, s in enumerate(siblings)}


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own files")


@linux
@pytest.mark.parametrize(
    "files, logical, expected",
    [
        (cores("0-1", "0-1", "2-3", "2-3"), [0, 1, 2, 3], 2),  # two hyper-threads are one core
        (cores("0-1", "0-1", "2-3", "2-3"), [0, 1], 1),  # affinity leaves one of the two
        (cores("0", "1", "2", "3"), [0, 1, 2, 3], 4),
        (
            {f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": "0-1" for n in (0, 1)},
            [0, 1],
            1,
        ),  # older Linux
        ({}, [0, 1, 2], 3),  # no topology: each counts
        ({**cores("0", "1", "2", "3"), "sys/fs/cgroup/cpu.max": "250000 100000\n"}, range(4), 2),
        ({**cores("0", "1"), "sys/fs/cgroup/cpu.max": "50000 100000\n"}, range(2), 1),  # never none
        ({**cores("0", "1"), "sys/fs/cgroup/cpu.max": "max 100000\n"}, range(2), 2),
    ],
)
def test_physical_cores(files, logical, expected, tmp_path):
    assert machine.physical_cores(system(tmp_path, files), logical) == expected


def test_the_own_groups_limit_counts_although_the_root_has_none(tmp_path):
    files = {
        "proc/self/cgroup": "0::/user/course\n",
        "sys/fs/cgroup/user/cpu.max": "max 100000",
        "sys/fs/cgroup/user/course/cpu.max": "150000 100000",
    }
    assert machine.cpu_quota(system(tmp_path, files)) == 1.5


def test_quota_of_version_1_groups(tmp_path):
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/other\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "300000",
        "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000",
    }
    assert machine.cpu_quota(system(tmp_path, files)) == 3.0


def test_no_quota_is_infinite(tmp_path):
    assert machine.cpu_quota(tmp_path) == math.inf


MEMINFO = {"proc/meminfo": f"MemTotal: {16 * GIB // 1024} kB\nMemAvailable: {10 * GIB // 1024} kB\n"}


def test_memory_of_a_bare_machine(tmp_path):
    assert machine.memory_gib(system(tmp_path, MEMINFO)) == (16, 10)


def test_memory_of_a_container_is_its_limit_and_reclaimable_cache_is_free(tmp_path):
    files = {
        "sys/fs/cgroup/memory.max": f"{8 * GIB}\n",
        "sys/fs/cgroup/memory.current": f"{5 * GIB}\n",
        "sys/fs/cgroup/memory.stat": f"active_file 7\ninactive_file {2 * GIB}\n",
    }
    assert machine.memory_gib(system(tmp_path, {**MEMINFO, **files})) == (8, 5)


def test_a_limit_above_the_machine_is_none(tmp_path):
    files = {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}
    assert machine.memory_gib(system(tmp_path, {**MEMINFO, **files})) == (16, 10)


@pytest.mark.parametrize(
    ("text", "share"), [("some avg10=43.50 avg60=1.00 avg300=0.2 total=9\nfull avg10=0.00", 0.435), ("", None)]
)
def test_what_waits_for_a_core(tmp_path, text, share):
    assert machine.waiting_share(system(tmp_path, {"proc/pressure/cpu": text})) == share


def test_cpu_facts(tmp_path):
    files = {
        "proc/cpuinfo": "processor: 0\nmodel name\t: Some CPU\nflags\t: fma avx2 amx_bf16\n\nmodel name\t: other\n"
    }
    assert machine.cpu_facts(system(tmp_path, files)) == ("Some CPU", {"fma", "avx2", "amx_bf16"})


def test_this_machine():
    assert 1 <= machine.physical_cores() <= os.cpu_count()
    total, free = machine.memory_gib()
    assert 0 < free <= total
