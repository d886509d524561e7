"""Runs one notebook headless, cell by cell, in a kernel of the Python that runs this, and measures time and memory.

A cell tagged `nbval-skip` holds an exercise that the reader fills in. It is skipped here as it is in the tests, so
that both run the same cells and a half-solved exercise never fails the course. It is still runnable as committed:
`save=True` runs it, because a saved notebook carries an execution count in every code cell and no error.
"""

import os
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import ipykernel.kernelspec
import nbformat
import psutil
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from course_utils import files

SKIP_TAG = "nbval-skip"
SAMPLE_SECONDS = 0.5  # between two looks at the kernel's children


@dataclass
class Outcome:
    """What became of one notebook; a row of `results/notebooks.json`."""

    notebook: str
    seconds: float = 0.0
    peak_memory_mb: float = 0.0  # resident, kernel and its children; pages they share count in each
    cells: int = 0  # code cells that ran to their end
    status: str = "interrupted"  # ok, failed or interrupted
    failed_cell: str | None = None
    error: str | None = None

    def row(self):
        """The record to keep."""
        return asdict(self) | {"seconds": round(self.seconds, 1), "peak_memory_mb": round(self.peak_memory_mb)}


class ThisPython(KernelSpecManager):
    """Always gives a kernel of sys.executable. A kernelspec "python3" installed elsewhere would win over it by name."""

    def get_kernel_spec(self, kernel_name):
        return KernelSpec(resource_dir=ipykernel.kernelspec.RESOURCES, **ipykernel.kernelspec.get_kernel_dict())


class PeakMemory(threading.Thread):
    """The most memory that a process and its children held: Linux keeps the mark itself, children are looked for.

    psutil finds children by walking the whole table of processes, which took a quarter of a core from the two that
    train; Linux names them in one file a thread.
    """

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.process, self.peak, self._over = psutil.Process(pid), 0, threading.Event()

    def run(self):
        while not self._over.wait(SAMPLE_SECONDS):
            self.sample()

    def sample(self):
        """Look once. A process that ends meanwhile counts nothing."""
        with suppress(psutil.Error):
            total = 0
            for process in [self.process, *_children(self.process)]:
                with suppress(psutil.Error):
                    total += process.memory_info().rss
            self.peak = max(self.peak, total, self._high_water())

    def _high_water(self):
        """The most that the kernel ever held, in bytes, where the system says it; a spike between two looks shows."""
        with suppress(OSError):
            for line in Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return 0

    def stop(self):
        """Look a last time and give the peak in MB."""
        self._over.set()
        self.sample()
        return self.peak / 1e6


def _children(process):
    """All that descend from a process."""
    threads = Path(f"/proc/{process.pid}/task")
    if not threads.is_dir():  # no Linux
        return process.children(recursive=True)
    found = []
    for file in threads.glob("*/children"):
        with suppress(OSError, psutil.Error):  # ended meanwhile
            for child in map(psutil.Process, map(int, file.read_text(encoding="utf-8").split())):
                found += [child, *_children(child)]
    return found


def run_notebook(path, *, executed, timeout=None, save=False, report=print):
    """Run a notebook from the top, in its own folder, until its end or its first failing cell.

    Args:
        path: the notebook. It is not changed.
        executed: where the executed copy is written, after an error or an interrupt as well.
        timeout: seconds one cell may take; None waits for as long as it works.
        save: also run the cells tagged nbval-skip, for a copy to commit.
        report: called as report(text, end=…) with each piece of progress.

    Returns:
        Outcome. Its status is "interrupted" when Ctrl-C came; the caller decides what then.
    """
    path, outcome, started = Path(path), Outcome(Path(path).stem), time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    variables = {**os.environ, "COURSE_NOTEBOOK": path.stem}
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_spec_manager=ThisPython()),
        timeout=timeout,
        store_widget_state=False,  # widget state in a notebook's metadata keeps it from rendering on GitHub
        coalesce_streams=True,
        shutdown_kernel="immediate",
        extra_arguments=["--log-level=ERROR"],  # else each kernel warns that its loopback sockets are not encrypted
    )
    try:
        with client.setup_kernel(cleanup_kc=True, cwd=str(path.parent), env=variables), _measured(client, outcome):
            outcome.status = _run_cells(client, outcome, save, report)
    except KeyboardInterrupt:
        report("interrupted")
    except (RuntimeError, OSError) as error:  # the kernel did not start, or not answer
        outcome.status, outcome.error = "failed", f"{type(error).__name__}: {error}"
        report(f"  FAILED {outcome.notebook}: {outcome.error}")
    finally:
        outcome.seconds = time.perf_counter() - started
        with files.explained(f"Writing {Path(executed).name}", Path(executed).parent, "COURSE_RESULTS"):
            Path(executed).parent.mkdir(parents=True, exist_ok=True)
            files.replace_text(executed, nbformat.writes(notebook) + "\n")
    return outcome


@contextmanager
def _measured(client, outcome):
    memory = PeakMemory(client.km.provisioner.pid)
    memory.start()
    try:
        yield
    finally:
        outcome.peak_memory_mb = memory.stop()


def _run_cells(client, outcome, save, report):
    cells = [(i, c) for i, c in enumerate(client.nb.cells) if c.cell_type == "code" and c.source.strip()]
    for _, cell in cells:
        cell.outputs, cell.execution_count = [], None  # what did not run must not look as if it had
    for position, (index, cell) in enumerate(cells, 1):
        name = cell.get("id", f"cell-{index}")
        report(f"  cell {position:2d}/{len(cells)} {name:<36} ", end="")
        if SKIP_TAG in cell.metadata.get("tags", []) and not save:
            report("exercise, skipped")
            continue
        started = time.perf_counter()
        try:
            client.execute_cell(cell, index)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            report(f"{time.perf_counter() - started:7.1f} s")
            outcome.failed_cell, outcome.error = name, _in_short(error)
            report(f"  FAILED {outcome.notebook}, cell {name}: {outcome.error}")
            return "failed"
        report(f"{time.perf_counter() - started:7.1f} s")
        outcome.cells += 1
    return "ok"


def _in_short(error):
    """One line or a few that name the error; the whole traceback stands in the executed copy."""
    if isinstance(error, CellTimeoutError):
        return "it took longer than it may"
    if isinstance(error, DeadKernelError):
        return "the kernel died. Out of memory? Close other programs, or set COURSE_TIER=cpu"
    return f"{error.ename}: {error.evalue}"
