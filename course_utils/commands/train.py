"""`python -m course_utils train <stage>`: a stage outside a notebook, by the same code and recipe; also under torchrun.

python -m course_utils train sft --tier gpu-16gb --output runs/sft --resume
torchrun --nproc-per-node 2 -m course_utils train sft --output runs/sft
"""

import argparse
import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path

from course_utils import flags, folders, runtime
from course_utils.files import AssetError

# stage → the module whose job(tier, recipe=…) builds it
STAGES = {
    "pretrain": "course_utils.training.pretrain",
    "sft": "course_utils.training.sft",
    "reward": "course_utils.training.reward",
    "ppo": "course_utils.training.rlhf",
}


def main(argv=None):
    """Train, or go on with --resume.

    Returns:
        The exit status: 0, or 1 with one message when the run cannot be done or had to stop.
    """
    options = _parser().parse_args(argv)
    if options.tier:
        os.environ["COURSE_TIER"] = options.tier
    from course_utils.engine import loop, parallel
    from course_utils.engine.checkpoint import CheckpointError

    try:
        world = parallel.world()
        run = runtime.start(quiet=not world.first)
        output = options.output or run.runs / "train" / options.stage
        _refuse_the_output(output, options.resume)
        result = _train(options, run, output)
    except (ValueError, CheckpointError, loop.TrainingStopped, AssetError) as error:
        print(error, file=sys.stderr)
        return 1
    if world.first:
        print(f"{len(result.losses)} steps, last loss {result.losses[-1]:.4f}, weights in {result.checkpoint}")
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="python -m course_utils train", description=__doc__.split("\n")[0])
    parser.add_argument("stage", choices=sorted(STAGES))
    parser.add_argument("--tier", choices=runtime.TIERS, help="sizes; by default what this machine's memory allows")
    parser.add_argument("--output", type=Path, help="the run's folder; by default one below COURSE_RUNS")
    parser.add_argument("--resume", action="store_true", help="go on from the newest whole checkpoint in the folder")
    parser.add_argument("--method", choices=("lora", "full"), help="which weights are trained")
    parser.add_argument("--steps", type=flags.whole(1), help="another number of optimizer steps")
    parser.add_argument("--micro-batch", type=flags.whole(1), help="rows in memory at once")
    return parser


def _refuse_the_output(output, resume):
    """Say it before the model is loaded."""
    from course_utils.engine import checkpoint

    if not folders.writable(output):
        raise ValueError(f"Nothing can be written in {output}. Pass a folder of your own as --output.")
    steps = checkpoint.steps(output / "checkpoints")
    if steps and not resume:
        raise ValueError(
            f"{output} already holds a run, at step {steps[0]}. Pass --resume to go on from there, or another --output."
        )


def _train(options, run, output):
    from course_utils.engine import stages

    stage = importlib.import_module(STAGES[options.stage])
    recipe = stage.recipe_of(run.tier, seed=run.seed)
    if options.method:
        recipe = stage.for_method(recipe, options.method)
    chosen = {"steps": options.steps, "micro_batch": options.micro_batch}
    chosen["warmup_steps"] = options.steps and min(recipe.warmup_steps, options.steps // 2)
    recipe = replace(recipe, **{name: value for name, value in chosen.items() if value is not None})
    job = stage.job(run.tier, recipe=recipe)
    module = stages.seeded(job.build, recipe.seed)
    return job.trainer(
        module, job.rows, job.collate, recipe, output, run=stage.precision(recipe, run), go_on=options.resume
    )


if __name__ == "__main__":
    sys.exit(main())
