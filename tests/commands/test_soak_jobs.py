from course_utils.commands import soak_jobs
from course_utils.training import checkpoint


def test_the_small_run_learns_saves_eight_files_and_is_read_back(tmp_path):
    result = soak_jobs.small(tmp_path / "run")
    assert result.losses[-1] < result.losses[0] and len(list(result.checkpoint.iterdir())) == 8
    assert checkpoint.steps(tmp_path / "run/checkpoints") == [soak_jobs.STEPS, soak_jobs.BEFORE_LAST]
    assert soak_jobs.small(tmp_path / "run").resumed_from == soak_jobs.STEPS
