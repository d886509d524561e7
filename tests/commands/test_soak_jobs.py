import os
import random
import shutil

import pytest
import torch

from course_utils.commands import soak, soak_jobs
from course_utils.engine import checkpoint


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("soak") / "reference"
    soak_jobs.small(folder)
    return folder


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


def test_damage_is_noticed_two_in_one_folder_take_turns_and_wrong_names_are_put_right(reference, tmp_path):
    found = soak_jobs.meddle(tmp_path, reference, 2, 1, random.Random(0))
    assert all(part["passed"] for part in found.values())
    counted = {name: set(part["counts"].values()) for name, part in found.items()}
    assert counted == {"damages": {(24, 24)}, "two at once": {(2, 2)}, "renamed": {(1, 1)}}


def test_what_did_not_hold_is_counted_and_is_no_pass():
    found = soak_jobs.count("cases", ["one", "two"], [(True, True), (False, True)], say=lambda line: None)
    assert found == {"counts": {"one": (1, 2), "two": (2, 2)}, "passed": False}
    assert soak_jobs.count("cases", ["one"], [])["counts"] == {"one": (0, 0)}


def test_a_wrong_name_that_nobody_mentions_is_a_miss(reference, tmp_path, monkeypatch):
    output = tmp_path / "run"
    shutil.copytree(reference, output)

    class Silent:
        def wait(self):
            (tmp_path / "run.log").touch()

    monkeypatch.setattr(soak, "start", lambda job, output: Silent())
    assert soak_jobs.renamed(reference, output, ["swapped"], random.Random(0)) == (False, True)


@pytest.mark.parametrize(("way", "wrong"), list(zip(soak_jobs.RENAMINGS, (1, 2, 1, 1), strict=True)))
def test_renaming_says_which_names_are_wrong(reference, tmp_path, way, wrong):
    shutil.copytree(reference / "checkpoints", tmp_path / "checkpoints")
    for path in (tmp_path / "checkpoints").glob("step-00000060-*"):
        path.rename(path.with_name("step-00000058-" + path.name[-16:]))
    names = soak_jobs.rename(tmp_path, way)
    assert len(names) == wrong and all((tmp_path / "checkpoints" / name).is_dir() for name in names)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_harm_to_a_checkpoint_is_seen(reference, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(reference, output)
    assert soak_jobs.whole(output)
    (output / "checkpoints" / "damaged-step-00000004-0").mkdir()
    assert not soak_jobs.whole(output)


def test_one_that_nobody_joins_gives_up(tmp_path, monkeypatch):
    monkeypatch.setattr(soak_jobs, "PATIENCE", 0)
    with pytest.raises(RuntimeError, match="the other process"):
        soak_jobs.wait_for_the_other(tmp_path)
    (tmp_path / "another").touch()
    soak_jobs.wait_for_the_other(tmp_path)
    assert (tmp_path / str(os.getpid())).exists()
