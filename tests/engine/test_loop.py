from types import SimpleNamespace

import pytest
import torch
from helpers.toy_loss import SmallCollator, SmallLoss, Stop, stop_at, weights

from course_utils.engine import checkpoint


def test_it_learns(fit):
    result, _, _ = fit(steps=100, batch_size=40)
    assert result.losses[-1] < 0.7 * result.losses[0]


@pytest.mark.parametrize("micro_batch", [1, 2, 3])
def test_however_a_batch_is_cut_the_gradient_is_the_same(fit, micro_batch):
    whole, whole_module, _ = fit(folder="whole")
    cut, cut_module, _ = fit(folder="cut", micro_batch=micro_batch)
    assert cut.losses == pytest.approx(whole.losses, abs=2e-6)
    assert torch.allclose(weights(cut_module), weights(whole_module), atol=2e-5)


def test_the_loss_is_the_mean_over_all_positions_that_count(fit, rows):
    result, _, _ = fit(steps=1, batch_size=len(rows), micro_batch=7)
    module = SmallLoss()
    parts = [SmallCollator()([row]) for row in rows]
    total = sum(module(part).item() * module.count(part) for part in parts)
    assert result.losses[0] == pytest.approx(total / sum(module.count(part) for part in parts), abs=1e-6)


def test_the_gradient_is_clipped(fit):
    free, free_module, _ = fit(folder="free", steps=1, clip=1e9)
    clipped, clipped_module, _ = fit(folder="clipped", steps=1, clip=1e-9)
    assert free.metrics[0]["gradient_norm"] == clipped.metrics[0]["gradient_norm"] > 0.01
    start = weights(SmallLoss())
    assert (weights(clipped_module) - start).abs().max() < 0.1 * (weights(free_module) - start).abs().max()


def test_only_matrices_decay(fit):
    _, module, _ = fit(steps=1, weight_decay=0.5, learning_rate=0.1, clip=1e-12)
    start = SmallLoss()
    assert torch.allclose(module.head.weight, start.head.weight * 0.95, atol=1e-3)
    assert torch.allclose(module.hidden.bias, start.hidden.bias, atol=1e-3)


def test_frozen_weights_stay_and_are_not_saved(fit):
    module = SmallLoss()
    module.embedding.requires_grad_(False)
    before = module.embedding.weight.clone()
    result, _, _ = fit(module)
    assert torch.equal(module.embedding.weight, before)
    saved = checkpoint.newest(result.checkpoint.parent).tensors("weights")
    assert sorted(saved) == ["head.weight", "hidden.bias", "hidden.weight"]


def test_activation_checkpointing_is_switched_on_and_off_again(fit):
    calls = []

    class Model(SmallLoss):
        def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs):
            calls.append(gradient_checkpointing_kwargs)

        def gradient_checkpointing_disable(self):
            calls.append("off")

    fit(Model(), activation_checkpointing=True)
    assert calls == [{"use_reentrant": False}, "off"]


def test_evaluate_is_called_without_gradients_in_eval_mode(fit):
    seen = []

    def evaluate(module):
        seen.append((module.training, torch.is_grad_enabled()))
        return {"score": 0.5, "broken": float("nan"), "each": [0.25, [float("inf")]]}

    result, _, _ = fit(evaluate=evaluate, evaluate_every=5)
    assert seen == [(False, False)] * 2
    assert "evaluate" not in result.metrics[5] and result.metrics[4]["evaluate"] == {
        "score": 0.5, "broken": None, "each": [0.25, [None]]}  # fmt: skip


def test_the_callers_random_numbers_and_mode_are_left_alone(fit):
    torch.manual_seed(5)
    expected = torch.rand(3)
    for _ in range(2):  # once trained, once read back
        module = SmallLoss(dropout=0.5).eval()
        torch.manual_seed(5)
        fit(module)
        assert torch.equal(torch.rand(3), expected) and not module.training


def test_fp16_autocast_with_a_scaler_follows_fp32(fit, half):
    full, _, _ = fit(folder="full", steps=20)
    scaled, module, _ = fit(folder="half", run=half, steps=20)
    assert scaled.losses == pytest.approx(full.losses, abs=2e-3) and scaled.losses != full.losses
    assert module.head.weight.dtype == torch.float32
    assert scaled.metrics[0]["loss_scale"] == 2**14 and not scaled.metrics[0]["skipped"]


def test_an_overflow_under_the_scaler_skips_a_step_and_goes_on(fit, half):
    class Steep(SmallLoss):
        def forward(self, batch):
            return super().forward(batch) * 3000.0

    result, module, _ = fit(Steep(), run=half, steps=20)
    skipped = [line["skipped"] for line in result.metrics]
    assert skipped[0] and not skipped[-1] and result.metrics[-1]["loss_scale"] < 2**14
    assert torch.isfinite(weights(module)).all() and result.metrics[0]["gradient_norm"] is None


def test_the_scaler_resumes_too(fit, half):
    class Steep(SmallLoss):
        def forward(self, batch):
            return super().forward(batch) * 3000.0

    whole, _, _ = fit(Steep(), "whole", run=half, steps=20, evaluate=stop_at(-1), evaluate_every=1)
    with pytest.raises(Stop):
        fit(Steep(), "cut", run=half, steps=20, evaluate=stop_at(7), evaluate_every=1)
    cut, _, _ = fit(Steep(), "cut", run=half, steps=20, evaluate=stop_at(-1), evaluate_every=1)
    assert cut.resumed_from == 4 and cut.checkpoint.name == whole.checkpoint.name


def test_bf16_autocast(fit):
    run = SimpleNamespace(device="cpu", autocast=torch.bfloat16, grad_scaler=False)
    full, _, _ = fit(folder="full")
    cast, _, _ = fit(folder="cast", run=run)
    assert cast.losses == pytest.approx(full.losses, abs=3e-2) and cast.losses != full.losses
