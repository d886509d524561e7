"""The grid keeps what a law needs: sizes, budgets, lines, a held-out run that is large enough."""

import pytest

from course_utils.experiments import scaling_grid as grid
from course_utils.training import rivals


def test_sizes_budgets_and_lines():
    assert len(grid.FITTED) >= 5 and len(grid.BUDGETS) >= 4 and len(grid.LINES) == 3
    assert len({(run.size, run.tokens) for run in grid.GRID.values()}) == len(grid.GRID) == 34
    for name, (flops, sizes) in grid.LINES.items():
        assert len(sizes) >= 4
        for size in sizes:
            run = grid.LINE[f"{name}-{size}"]
            assert 0.98 * flops < 6 * grid.counted(size)[0] * run.tokens <= flops


def test_the_largest_run_has_four_times_the_compute_of_any_that_is_fitted():
    compute = {name: 6 * grid.counted(run.size)[0] * run.tokens for name, run in grid.RUNS.items()}
    fitted = max(compute[name] for name in grid.FIT)
    assert compute["largest"] >= 4 * fitted and grid.LIVE not in grid.FITTED
    assert list(grid.POINTS).index("prediction") < list(grid.POINTS).index("largest")
    assert all(list(grid.POINTS).index(name) < list(grid.POINTS).index("prediction") for name in grid.FIT)


def test_all_points_are_named_once_and_end_in_time():
    assert len(grid.POINTS) == len(set(grid.POINTS)) == len(grid.RUNS) + 2  # two that are no runs
    assert max(map(grid.minutes, grid.RUNS.values())) < 30
    assert sum(map(grid.minutes, grid.RUNS.values())) < 2 * 5 * 60
    assert all(run.steps > (run.warm or 0) for run in grid.RUNS.values())


@pytest.mark.parametrize("kind", grid.RIVALS)
def test_rivals_have_as_many_weights_or_use_as_many(kind):
    for size in (grid.RIVAL_AT, *grid.RIVAL_SIZES):
        every, _, used = grid.counted(size, kind)
        ours = grid.counted(size)[0]
        assert (used if kind == "experts-compute" else every) == pytest.approx(ours, rel=0.1)
    assert grid.model_kind(kind) in rivals.KINDS


def test_the_warm_arm_has_one_length_and_the_kept_one_its_lines():
    assert {run.warm for run in grid.WARM.values()} - {grid.WARM_STEPS} == {122, 270}
    assert set(grid.KEPT) == {f"kept-{name}" for name in grid.LINE if name.startswith("low")}
