import pytest
import torch

from course_utils.commands import soak_jobs
from course_utils.engine import checkpoint


def test_the_small_run_learns_saves_eight_files_and_is_read_back(tmp_path):
    result = soak_jobs.small(tmp_path / "run")
    assert result.losses[-1] < result.losses[0] and len(list(result.checkpoint.iterdir())) == 8
    assert checkpoint.steps(tmp_path / "run/checkpoints") == [soak_jobs.STEPS, soak_jobs.BEFORE_LAST]
    assert soak_jobs.small(tmp_path / "run").resumed_from == soak_jobs.STEPS


@pytest.mark.parametrize("name", ["reward", "ppo"])
def test_the_small_runs_of_rlhf_learn_and_are_read_back(tmp_path, name):
    threads = torch.get_num_threads()
    result = soak_jobs.JOBS[name](tmp_path / "run")
    again = soak_jobs.JOBS[name](tmp_path / "run")
    torch.set_num_threads(threads)
    key, rising = ("reward", 1) if name == "ppo" else ("loss", -1)
    numbers = [rising * line[key] for line in result.metrics]
    assert sum(numbers[-5:]) > sum(numbers[:5]) + 0.1
    assert again.resumed_from == len(again.metrics) and again.checkpoint.name == result.checkpoint.name
