"""The pre-training that is killed learns, saves as often as the small run, and is read back."""

import torch

from course_utils.commands import soak_jobs, soak_pretrain
from course_utils.engine import checkpoint


def test_it_learns_and_is_read_back(tmp_path):
    threads = torch.get_num_threads()
    result = soak_jobs.JOBS["pretrain"](tmp_path / "run")
    again = soak_pretrain.small(tmp_path / "run")
    torch.set_num_threads(threads)
    assert result.losses[-1] < result.losses[0] - 0.5 and again.resumed_from == soak_pretrain.STEPS
    assert (
        checkpoint.steps(tmp_path / "run/checkpoints") == [60, 56] and again.checkpoint.name == result.checkpoint.name
    )
