"""One process or several, with torch's own engines: DDP where few weights are trained, FSDP2 where all are.

Under `torchrun` each process learns from its share of every batch; alone, the same loop runs without any of this.
FSDP2 shards the weights, and a sharded weight can be read only inside the root module's forward. So the loss module is
the root: it calls the trunk and the head in one forward.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from course_utils import streams

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class World:
    """The processes that train together."""

    rank: int = 0  # this process
    size: int = 1  # how many there are

    @property
    def first(self):
        """Whether this process writes and speaks."""
        return self.rank == 0

    def share(self, rows):
        """This process's rows of a batch; every process gets equally many."""
        return rows[self.rank :: self.size]

    def total(self, number, device):
        """The sum of one number over all processes, as a float."""
        if self.size == 1:
            return float(number)
        value = torch.tensor(float(number), dtype=torch.float64, device=device)
        dist.all_reduce(value)
        return value.item()

    def gather(self, value):
        """What each process passes, as a list in the order of their ranks."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value):
        """What the first process passes, everywhere."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def wait(self):
        """Go on when all processes are here."""
        if self.size > 1:
            dist.barrier()


def world():
    """The World of this process: several under `torchrun`, else one.

    Raises:
        ValueError: RANK is set, and what torchrun sets beside it is not, or is no number.
    """
    if "RANK" not in os.environ or not dist.is_available():
        return World()
    for name in TORCHRUN:
        value = os.environ.get(name, "")
        if not value or (name != "MASTER_ADDR" and not (value.isascii() and value.isdigit())):
            raise ValueError(
                f"RANK is set, as for one of several processes, but {name} is {value!r}. Start them with torchrun, "
                "which sets both, or unset RANK to train in one process."
            )
    if not dist.is_initialized():
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if cuda else "gloo")
        atexit.register(dist.destroy_process_group)  # its threads must have ended when the process does
    return World(dist.get_rank(), dist.get_world_size())


def wrap(module, recipe, world):
    """The module that the loop calls: itself alone; DDP for adapters; FSDP2, in place, when all weights are trained."""
    if world.size == 1:
        return module
    if recipe.batch_size % world.size:
        raise ValueError(
            f"A batch of {recipe.batch_size} rows cannot be shared equally by {world.size} processes. "
            f"Take a batch_size that {world.size} divides."
        )
    if recipe.method != "full":
        device = next(module.parameters()).device
        return DistributedDataParallel(module, device_ids=[device.index] if device.type == "cuda" else None)
    for weight in module.parameters():  # DDP does this itself
        dist.broadcast(weight.data, src=0)
    for layer in repeated_layers(module):
        fully_shard(layer)
    return fully_shard(module)


def repeated_layers(module):
    """The transformer blocks inside a module: the longest list of equal parts."""
    stacks = [part for part in module.modules() if isinstance(part, torch.nn.ModuleList)]
    return max(stacks, key=len, default=[])


@contextlib.contextmanager
def hold_gradients(wrapped, last):
    """Inside, processes exchange gradients only in the last micro-batch of a step."""
    if isinstance(wrapped, DistributedDataParallel) and not last:
        with wrapped.no_sync():
            yield
        return
    if hasattr(wrapped, "set_requires_gradient_sync"):
        wrapped.set_requires_gradient_sync(last)
    yield


def launch(arguments, *, processes, output, threads=None, say=print):
    """Run `python -m MODULE …` in several processes and return its result; for a notebook cell.

    The processes are started fresh, not forked: a notebook that has used a GPU cannot fork.

    Args:
        arguments: what follows `python -m`, such as ["course_utils.commands.train", "sft", "--output", …].
        processes: how many, usually one for each GPU.
        output: the run's folder, in which `result.json` appears.
        threads: CPU threads of each process; by default those of this process shared equally.
        say: receives what the processes print, line by line.

    Returns:
        The content of `result.json`.

    Raises:
        RuntimeError: the run failed; the message ends with its last lines.
    """
    result = Path(output) / "result.json"
    result.unlink(missing_ok=True)
    threads = threads or max(1, torch.get_num_threads() // processes)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    # a notebook may have found the package by a path of its own
    environment = streams.speaking() | _quirks() | {"OMP_NUM_THREADS": str(threads)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "errors": "replace"}
    run = subprocess.Popen([*command, *arguments], env=environment, **pipe)
    tail, over = deque(maxlen=15), False
    for line in run.stdout:
        over = over or "failed (exitcode" in line  # from here on torchrun reports about itself
        if not over:
            tail.append(line)
            say(line.rstrip())
    if run.wait() or not result.is_file():
        last = "".join(tail)
        raise RuntimeError(
            f"The run in {processes} processes ended with status {run.returncode}. Its last lines:\n{last}"
        )
    return json.loads(result.read_text(encoding="utf-8"))


def _quirks(system=os.name):
    """Variables without which processes do not find each other: torch for Windows is built without libuv."""
    return {"USE_LIBUV": "0"} if system == "nt" else {}
