import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_loss import SmallCollator, SmallLoss, make_rows

from course_utils.training import checkpoint, resume, state
from course_utils.training.batching import rows_of_step
from course_utils.training.checkpoint import CheckpointError
from course_utils.training.loop import TrainingStopped
from course_utils.training.recipe import TrainingRecipe


def weights(module):
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


class Stop(Exception):
    pass


def stop_at(step):
    """An `evaluate` that ends the process, as far as the run can tell, when called for the step-th time."""
    calls = []

    def evaluate(module):
        calls.append(1)
        if len(calls) == step:
            raise Stop
        return {"drawn": torch.rand(()).item()}

    return evaluate


# What it learns


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


# What it leaves behind


def test_metrics_hold_every_step_and_no_clock(fit, tmp_path):
    result, _, _ = fit()
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert lines == result.metrics and [line["step"] for line in lines] == list(range(1, 11))
    assert set(lines[0]) == {"step", "loss", "learning_rate", "gradient_norm", "counted"}
    timings = [json.loads(line) for line in (tmp_path / "run/timings.jsonl").read_text().splitlines()]
    assert len(timings) == 10 and timings[0]["tokens_per_second"] > 0
    assert json.loads((tmp_path / "run/result.json").read_text())["loss"] == result.losses[-1]


def test_evaluate_is_called_without_gradients_in_eval_mode(fit):
    seen = []

    def evaluate(module):
        seen.append((module.training, torch.is_grad_enabled()))
        return {"score": 0.5, "broken": float("nan")}

    result, _, _ = fit(evaluate=evaluate, evaluate_every=5)
    assert seen == [(False, False)] * 2
    assert result.metrics[4]["evaluate"] == {"score": 0.5, "broken": None} and "evaluate" not in result.metrics[5]


def test_the_callers_random_numbers_and_mode_are_left_alone(fit):
    torch.manual_seed(5)
    expected = torch.rand(3)
    for _ in range(2):  # once trained, once read back
        module = SmallLoss(dropout=0.5).eval()
        torch.manual_seed(5)
        fit(module)
        assert torch.equal(torch.rand(3), expected) and not module.training


# Going on


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


# What goes wrong


class NanAt(SmallLoss):
    """The loss of any batch that holds a given word is what it should not be."""

    def __init__(self, word, value=float("nan")):
        super().__init__()
        self.word, self.value = word, value

    def forward(self, batch):
        loss = super().forward(batch)
        return loss * self.value if (batch["input_ids"] == self.word).any() else loss


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_at_once(fit, value):
    rows = make_rows(count=80)  # ten batches of eight: each row comes once
    late = rows_of_step(6, [len(row["input_ids"]) for row in rows], TrainingRecipe(10, 8, 0.01))[3]
    for number, row in enumerate(rows):
        row["input_ids"] = [49 if number == late else min(word, 40) for word in row["input_ids"]]
    module = NanAt(49, value)
    with pytest.raises(TrainingStopped) as caught:
        fit(module, data=rows, micro_batch=1)
    text = str(caught.value)
    assert text.startswith(
        f"Training stopped at step 6, before its update: the loss is {value} (rows {late}). At step 5 "
    )
    assert "The checkpoint of step 4 is kept" in text and "third of the learning rate" in text
    assert torch.isfinite(weights(module)).all()


def test_a_gradient_that_is_not_finite_stops_before_the_update(fit):
    class Spike(SmallLoss):
        def forward(self, batch):
            loss = super().forward(batch)
            return loss + (self.head.weight[0, 0] - self.head.weight[0, 0].detach()).abs().sqrt()

    module = Spike()
    before = weights(module).clone()
    with pytest.raises(TrainingStopped, match=r"step 1, before its update.*norm of its gradient is.*no checkpoint yet"):
        fit(module)
    assert torch.equal(weights(module), before)


class Hungry(SmallLoss):
    """Out of memory beyond a number of rows; `real` raises what torch raises."""

    def __init__(self, limit, error=None):
        super().__init__()
        self.limit, self.error, self.sizes = limit, error or torch.OutOfMemoryError("CUDA out of memory."), []

    def forward(self, batch):
        self.sizes.append(len(batch["input_ids"]))
        if self.sizes[-1] > self.limit:
            raise self.error
        return super().forward(batch)


@pytest.mark.parametrize(
    "error",
    [
        None,
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried …"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes."),
    ],
)
def test_out_of_memory_halves_the_micro_batch_and_keeps_the_batch(fit, error):
    whole, _, _ = fit(folder="whole")
    module = Hungry(3, error)
    cut, _, _ = fit(module)
    assert cut.micro_batch == 2 and set(module.sizes[2:]) == {2}
    assert cut.losses == pytest.approx(whole.losses, abs=2e-6)
    assert cut.metrics[0]["counted"] == whole.metrics[0]["counted"]
    assert checkpoint.newest(cut.checkpoint.parent).document("environment")["micro_batch"] == 2


def test_halving_is_said_and_remembered_by_the_next_process(fit, capsys):
    with pytest.raises(Stop):
        fit(Hungry(4), evaluate=stop_at(6), evaluate_every=1)
    assert (
        "out of memory. Going on with micro-batches of 4 rows; each step still learns from 8" in capsys.readouterr().out
    )
    module = Hungry(4)
    result, _, _ = fit(module, evaluate=stop_at(-1), evaluate_every=1)
    assert max(module.sizes) == 4 and result.resumed_from == 4


def test_out_of_memory_with_one_row_stops_with_advice(fit):
    with pytest.raises(TrainingStopped, match="memory does not suffice for micro-batches of 1 rows") as caught:
        fit(Hungry(0))
    assert "activation_checkpointing=True" in str(caught.value) and "max_length" in str(caught.value)


def test_other_errors_are_not_taken_for_want_of_memory(fit):
    with pytest.raises(RuntimeError, match="size mismatch"):
        fit(Hungry(0, RuntimeError("size mismatch")))


def test_an_interruption_says_where_to_go_on(fit, capsys):
    def interrupt(module):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(evaluate=interrupt, evaluate_every=5)
    assert "Interrupted after step 5. The checkpoint of step 4 is kept" in capsys.readouterr().out


# Half precision


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


def test_the_state_of_all_generators_comes_back():
    state.seed_everything(3)
    random.gauss(0, 1), np.random.randn()  # both keep a second number back
    saved = state.random_state()
    drawn = [random.gauss(0, 1), random.random(), np.random.randn(), torch.rand(()).item()]
    state.set_random_state(saved)
    assert [random.gauss(0, 1), random.random(), np.random.randn(), torch.rand(()).item()] == drawn
