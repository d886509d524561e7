import pytest
import torch
from helpers.toy_loss import SmallLoss, Stop, stop_at, weights

from course_utils.engine import resume
from course_utils.engine.checkpoint import CheckpointError


def test_a_resumed_run_is_bit_identical(fit, tmp_path):
    fields = {"steps": 20, "save_every": 3, "evaluate_every": 1, "micro_batch": 3}
    whole, whole_module, _ = fit(SmallLoss(dropout=0.3), "whole", evaluate=stop_at(-1), **fields)
    for step in (5, 4, 8):
        with pytest.raises(Stop):
            fit(SmallLoss(dropout=0.3), "cut", evaluate=stop_at(step), **fields)
    cut, cut_module, said = fit(SmallLoss(dropout=0.3), "cut", evaluate=stop_at(-1), **fields)
    assert cut.resumed_from == 12 and said == []
    assert cut.metrics == whole.metrics and torch.equal(weights(cut_module), weights(whole_module))
    # the name ends in the manifest's hash: weights, moments, random states, metrics, all of it
    assert cut.checkpoint.name == whole.checkpoint.name
    assert (tmp_path / "cut/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()


def test_a_finished_run_is_read_back(fit):
    first, first_module, _ = fit()
    again, again_module, _ = fit()
    assert again.metrics == first.metrics and torch.equal(weights(again_module), weights(first_module))
    assert again.resumed_from == 10


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(fit):
    first, _, _ = fit()
    (first.checkpoint / "optimizer.safetensors").unlink()
    again, _, said = fit()
    assert again.resumed_from == 8 and again.checkpoint.name == first.checkpoint.name
    assert len(said) == 1 and "optimizer.safetensors is missing" in said[0]


def test_without_go_on_a_folder_with_a_run_is_refused(fit):
    fit()
    with pytest.raises(CheckpointError, match=r"already holds a run, at step 10.*--resume"):
        fit(go_on=False)


def test_another_recipe_is_refused(fit):
    fit()
    with pytest.raises(CheckpointError, match=r"another recipe: now learning_rate 0.02 instead of 0.01, steps 12"):
        fit(learning_rate=0.02, steps=12)


def test_other_data_is_refused(fit, rows):
    fit()
    rows[3]["input_ids"][0] += 1
    with pytest.raises(CheckpointError, match=r"another data.*fingerprint"):
        fit(data=rows)


def test_another_frozen_base_is_refused(fit):
    modules = [SmallLoss(), SmallLoss()]
    for module in modules:
        module.embedding.requires_grad_(False)
    fit(modules[0])
    modules[1].embedding.weight.data[3, 3] += 1e-3
    with pytest.raises(CheckpointError, match="another model"):
        fit(modules[1])


def test_other_threads_or_micro_batches_are_said(fit, monkeypatch):
    with pytest.raises(Stop):
        fit(evaluate=stop_at(6), evaluate_every=1)
    fit_environment = resume.environment
    monkeypatch.setattr(resume, "environment", lambda trainer: fit_environment(trainer) | {"threads": 99})
    _, _, said = fit(evaluate=stop_at(-1), evaluate_every=1, micro_batch=2)
    assert len(said) == 1 and "threads 99 instead of" in said[0] and "micro_batch 2 instead of 8" in said[0]
    assert "bit-identity" in said[0] and "not promised" in said[0]
