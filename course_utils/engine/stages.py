"""A stage's result from the cache, or trained now: so that no notebook requires another to have been run.

A stage is a function of its recipe, its data, the weights it starts from and the code that trains it; torch's version,
number format, threads and device decide the last digits. All of this is the key, and the key is the folder's name. The
folder is an ordinary run: a stage that was killed goes on, a finished one is read back in the time of loading it.
What a notebook prints is the same either way.
"""

import ast
import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

import course_utils
from course_utils import runtime
from course_utils.engine import parallel, preflight, state
from course_utils.engine.checkpoint import fingerprint
from course_utils.engine.loop import TrainingResult, train

# A change in these rooms may change what is learned; the rooms to their right cannot
ROOMS = ("tensors.py", "engine", "data", "text", "models", "quantization", "adapters", "training")


@dataclass(frozen=True)
class Stage:
    """A trained loss module and the run it came from."""

    module: torch.nn.Module  # holds the trained weights
    result: TrainingResult  # its metrics, the same whether trained now or read back
    folder: Path  # the run
    cached: bool  # whether nothing had to be trained


def run_stage(
    name, build, rows, collate, recipe, *, evaluate=None, run=None, progress=True, say=print, also=(), trainer=train
):
    """Train a stage, or go on with it, or read it back.

    Args:
        name: of the stage, such as "sft"; the folder's name begins with it.
        build: () -> loss module with its starting weights; called with the recipe's seed.
        rows, collate, recipe, evaluate, run, progress, say: as for `loop.train`.
        also: what else decides the result, as values for `fingerprint`; the reward of PPO.
        trainer: what trains, with the arguments of `loop.train`.

    Returns:
        A Stage.
    """
    run = run or runtime.current()
    module = seeded(build, recipe.seed)
    folder = run.runs / "stages" / f"{name}-{stage_key(module, rows, collate, recipe, run, also)}"
    # two notebooks wait for each other there
    result = trainer(module, rows, collate, recipe, folder, run=run, evaluate=evaluate, progress=progress, say=say)
    return Stage(module.eval(), result, folder, cached=result.resumed_from == recipe.steps)


def stage_key(module, rows, collate, recipe, run, also=()):
    """16 hex digits that differ when anything differs that could change the result."""
    start = [part for name, value in sorted(module.state_dict().items()) for part in (name, _tensor(value))]
    return fingerprint(
        dataclasses.asdict(recipe) | {"betas": list(recipe.betas)},
        preflight.survey(rows, collate, recipe, module).fingerprint,
        code_fingerprint(),
        state.environment(run, module, recipe.micro_batch, parallel.world().size),
        *start,
        *also,
    )


def seeded(build, seed):
    """What build() returns when every random generator starts from the seed; the caller's generators are left alone."""
    before = state.random_state()
    try:
        state.seed_everything(seed)
        return build()
    finally:
        state.set_random_state(before)


def code_fingerprint(package=None):
    """SHA-256 over the code that trains, 16 hex digits. Comments, docstrings and layout do not count."""
    package = Path(package or Path(course_utils.__file__).parent)
    digest = hashlib.sha256()
    for room in ROOMS:
        found = [package / room] if room.endswith(".py") else sorted((package / room).rglob("*.py"))
        for path in found:
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(ast.dump(_without_docstrings(path)).encode())
    return digest.hexdigest()[:16]


def _without_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree


def _tensor(value):
    return value if isinstance(value, torch.Tensor) else str(value)
