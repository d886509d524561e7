import pytest
import torch
from helpers.toy_loss import SmallLoss, Stop, make_rows, stop_at, weights

from course_utils.engine import checkpoint, stop_messages
from course_utils.engine.batching import rows_of_step
from course_utils.engine.loop import TrainingStopped
from course_utils.engine.recipe import TrainingRecipe


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
    assert (
        "The checkpoint of step 4 is kept.\n" in text
        and "run the same" not in text
        and "third of the learning rate" in text
    )
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

    def __init__(self, limit, error=None, dropout=0.0):
        super().__init__(dropout)
        self.limit, self.error, self.sizes = limit, error or torch.OutOfMemoryError("CUDA out of memory."), []

    def forward(self, batch):
        self.sizes.append(len(batch["input_ids"]))
        loss = super().forward(batch)
        if self.sizes[-1] > self.limit:
            raise self.error
        return loss


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


def test_the_retried_step_draws_what_it_would_have_drawn(fit):
    whole, _, _ = fit(SmallLoss(dropout=0.5), "whole", micro_batch=4)
    cut, _, _ = fit(Hungry(4, dropout=0.5), "cut")
    assert cut.losses == whole.losses


def test_out_of_memory_with_one_row_stops_with_advice(fit):
    with pytest.raises(TrainingStopped, match="memory does not suffice for micro-batches of 1 rows") as caught:
        fit(Hungry(0))
    assert "activation_checkpointing=True" in str(caught.value) and "max_length" in str(caught.value)
    assert "micro_batch=" not in str(caught.value)  # it has come down to one row already


@pytest.mark.parametrize(
    ("fields", "tries"),
    [
        ({"micro_batch": 4}, " with micro_batch=2 and activation_checkpointing=True."),
        ({"micro_batch": 1}, " with activation_checkpointing=True."),
        ({"micro_batch": 1, "activation_checkpointing": True}, "."),
        ({"micro_batch": 2, "method": "prefix"}, " with micro_batch=1."),  # which excludes activation checkpointing
    ],
)
def test_advice_against_want_of_memory_names_what_may_still_change(fields, tries):
    recipe = TrainingRecipe(steps=10, batch_size=8, learning_rate=0.01, **fields)
    text = stop_messages.explain("memory does not suffice", 3, recipe, [], [], [])
    assert f"Close other programs and run the same again{tries} If that" in text and "new output folder" in text


def test_other_errors_are_not_taken_for_want_of_memory(fit):
    with pytest.raises(RuntimeError, match="size mismatch"):
        fit(Hungry(0, RuntimeError("size mismatch")))


def test_an_interruption_says_where_to_go_on(fit, capsys):
    def interrupt(module):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(evaluate=interrupt, evaluate_every=5)
    assert "Interrupted after step 5. The checkpoint of step 4 is kept" in capsys.readouterr().out
