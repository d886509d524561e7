import json
from pathlib import Path

import parallel_run
import pytest
import torch
from helpers.toy_loss import SmallLoss

from course_utils.engine import parallel
from course_utils.engine.parallel import World, launch
from course_utils.engine.recipe import TrainingRecipe

STEPS, STOP = 14, 12  # stopped in step 12, so that the checkpoint of step 10 is resumed


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.delenv("PYTHONPATH", raising=False)  # launch hands on the paths of this process


def losses(output):
    return [json.loads(line)["loss"] for line in (output / "metrics.jsonl").read_text().splitlines()]


def alone(output, method, stop=0):
    try:
        parallel_run.main(output, method, STEPS, stop)
    except SystemExit:
        assert stop
    return losses(output)


def in_two(output, method, stop=0):
    said = []
    arguments = ["parallel_run", str(output), method, str(STEPS), str(stop)]
    if stop:
        with pytest.raises(RuntimeError, match="in 2 processes ended with status 0"):  # it left no result
            launch(arguments, processes=2, output=output, say=said.append)
    else:
        assert launch(arguments, processes=2, output=output, say=said.append)["processes"] == 2
    return losses(output), said


@pytest.mark.parametrize("method", ["full", "lora"])
def test_two_processes_learn_what_one_does_and_their_checkpoint_resumes_on_one(tmp_path, method):
    expected = alone(tmp_path / "one", method)
    found, _ = in_two(tmp_path / "both", method, STOP)
    assert len(found) == STOP - 1 and found == pytest.approx(expected[: STOP - 1], abs=1e-5)
    assert alone(tmp_path / "both", method) == pytest.approx(expected, abs=1e-5)


def test_a_checkpoint_of_one_process_resumes_on_two(tmp_path):
    expected = alone(tmp_path / "one", "full")
    alone(tmp_path / "both", "full", STOP)
    found, said = in_two(tmp_path / "both", "full")
    assert found == pytest.approx(expected, abs=1e-5)
    assert sum("processes 2 instead of 1" in line for line in said) == 1


def test_a_failed_run_ends_with_its_last_lines(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)in 2 processes ended with status 1.*expected one of full, lora"):
        launch(["parallel_run", str(tmp_path), "lorra", "3"], processes=2, output=tmp_path, say=lambda line: None)


def test_on_windows_torch_finds_its_processes_without_libuv():
    assert parallel._quirks("nt") == {"USE_LIBUV": "0"} and parallel._quirks("posix") == {}


def test_alone_nothing_is_wrapped():
    module, recipe = SmallLoss(), TrainingRecipe(steps=1, batch_size=3, learning_rate=1e-3)
    assert parallel.world() == World(0, 1) and parallel.wrap(module, recipe, World()) is module
    assert World().total(3, "cpu") == 3.0 and World().gather("x") == ["x"] and World().broadcast("x") == "x"


def test_a_batch_that_cannot_be_shared_equally():
    recipe = TrainingRecipe(steps=1, batch_size=3, learning_rate=1e-3)
    with pytest.raises(ValueError, match="3 rows cannot be shared equally by 2 processes"):
        parallel.wrap(SmallLoss(), recipe, World(0, 2))


def test_shares_are_disjoint_and_complete():
    shares = [World(rank, 3).share(list(range(12))) for rank in range(3)]
    assert sorted(row for share in shares for row in share) == list(range(12)) and {len(share) for share in shares} == {
        4
    }


def test_the_blocks_of_a_model_are_its_longest_list():
    module = torch.nn.Module()
    module.heads = torch.nn.ModuleList([torch.nn.Linear(1, 1)])
    module.layers = torch.nn.ModuleList([torch.nn.Linear(1, 1) for _ in range(3)])
    assert parallel.repeated_layers(module) is module.layers
