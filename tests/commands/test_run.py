import json

import pytest
import torch

from course_utils.commands import run
from course_utils.data import reviews
from course_utils.evaluation import sweep

TRUTH = [0.5, -1.0, 2.0, 3.0, -2.0]
LINES = [
    {"point": {"part": "baselines"}, "baselines": {"calibrated zero-shot": {"predicted": [0, 1, 2, 1, 0]}}},
    {"point": {"part": "test", "arm": "full"}, "correlation": 0.9, "predicted": [0, -1, 2, 2, -2]},
    {"point": {"part": "test", "arm": "lora"}, "correlation": 0.8, "predicted": [1, -1, 2, 2, -1]},
]


@pytest.fixture(autouse=True)
def no_work(monkeypatch):
    monkeypatch.setattr(reviews, "load", lambda domain, split: {"mean": TRUTH})


def test_the_result_says_how_it_was_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "work_off", lambda grid, folder, run: LINES)
    assert run.main(["comparison", "--output", str(tmp_path / "new" / "comparison.json")]) == 0
    found = json.loads((tmp_path / "new" / "comparison.json").read_text())
    assert found["command"] == "python -m course_utils run comparison" and len(found["date"]) == 10
    assert "threads" in found["machine"] and found["grid"]["test"] == sweep.Grid().test
    assert found["summary"]["lora"]["median"] == 0.8 and len(found["summary"]["lora"]["over full"]) == 3
    assert found["points"][2] == {"point": {"part": "test", "arm": "lora"}, "correlation": 0.8}
    assert "Written to" in capsys.readouterr().out


def test_what_cannot_be_done_is_one_message(monkeypatch, capsys):
    def fail(grid, folder, run):
        raise ValueError("The disk is full.")

    monkeypatch.setattr(sweep, "work_off", fail)
    assert run.main(["comparison"]) == 1
    assert capsys.readouterr().err == "The disk is full.\n"
    with pytest.raises(SystemExit):
        run.main(["another"])
    assert torch.is_grad_enabled()
