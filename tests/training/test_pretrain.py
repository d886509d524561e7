"""Pre-training on a tiny stream: a guess at first, learned by one loop, the same whether it was stopped or not."""

import math
from dataclasses import replace

import pytest
import torch
from helpers import tiny_stream

from course_utils import recipes, runtime
from course_utils.engine import loop
from course_utils.engine.recipe import TrainingRecipe
from course_utils.models.fused_forward import fast_blocks
from course_utils.models.transformer import Transformer
from course_utils.text import token_stream
from course_utils.training import pretrain

RECIPE = TrainingRecipe(
    method="full", steps=8, batch_size=4, micro_batch=2, learning_rate=1e-2, max_length=tiny_stream.LENGTH,
    warmup_steps=2, weight_decay=0.1, save_every=3, evaluate_at=(4, 8),
)  # fmt: skip


@pytest.fixture
def small(tmp_path, monkeypatch, one_thread):
    monkeypatch.setattr(pretrain, "config_of", lambda size: tiny_stream.config())
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    runtime.start(quiet=True)
    return tiny_stream.make(tmp_path / "tokens")


def trained(job, output, evaluate=None, module=None):
    module = module or job.build()
    result = loop.train(module, job.rows, job.collate, job.recipe, output, evaluate=evaluate, progress=False)
    return module, result


def test_it_begins_as_a_guess_and_learns(small, tmp_path):
    job = pretrain.job("cpu", stream=small, recipe=replace(RECIPE, steps=40))
    module, result = trained(job, tmp_path / "run", lambda module: {"one": 1.0, "said": ["a text"]})
    assert result.losses[0] == pytest.approx(math.log(tiny_stream.VOCABULARY), abs=0.1)
    assert result.losses[-1] < result.losses[0] - 2
    assert [line["step"] for line in result.metrics if "evaluate" in line] == [4, 8]
    assert result.metrics[3]["evaluate"] == {"one": 1.0, "said": ["a text"]}
    assert {"gradient_norm", "learning_rate", "counted"} <= result.metrics[0].keys()
    assert result.metrics[0]["counted"] == 4 * (tiny_stream.LENGTH - 1)
    assert not any(hasattr(part, "forward") and "forward" in vars(part) for part in module.modules())


def test_a_run_that_was_stopped_is_the_one_that_was_not(small, tmp_path):
    job = pretrain.job("cpu", stream=small, recipe=RECIPE)
    whole, expected = trained(job, tmp_path / "whole")

    def interrupt(module):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(job, tmp_path / "stopped", interrupt)
    again, found = trained(job, tmp_path / "stopped")
    assert found.resumed_from == 3
    assert [line["loss"] for line in found.metrics] == [line["loss"] for line in expected.metrics]
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_a_document_does_not_see_the_one_before_it_unless_asked(small):
    model = pretrain.build(tiny_stream.config()).model
    tokens = torch.randint(0, 299, (1, 12))
    tokens[0, [0, 6]] = small.boundary
    other = tokens.clone()
    other[0, 1:6] = (other[0, 1:6] + 7) % 299
    apart = token_stream.numbered(tokens, small.boundary)
    assert torch.equal(model(tokens, apart)[0, 6:], model(other, apart)[0, 6:])
    assert (model(tokens)[0, 6:] - model(other)[0, 6:]).abs().max() > 1e-3


def test_the_fast_parts_give_the_same_loss_and_gradients(small):
    torch.manual_seed(0)
    loss = pretrain.build(tiny_stream.config()).double()
    for weight in loss.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    batch = token_stream.RowCollator(small.boundary)([token_stream.Rows(small, 16)[n] for n in range(4)])
    found = []
    for fast in (False, True):
        loss.zero_grad()
        with loss.while_training() if fast else fast_blocks(torch.nn.Module()):
            value = loss(batch)
            value.backward()
        found.append([value.detach(), *(weight.grad.clone() for weight in loss.parameters())])
    for plain, fast in zip(*found, strict=True):
        assert (plain - fast).abs().max() <= 1e-5 * plain.abs().max()  # norms are in fp32
    tokens, hidden = batch["input_ids"], loss.model.hidden(batch["input_ids"], batch["documents"])
    logits = loss.model.logits(hidden)[:, :-1].flatten(0, 1)
    assert value.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten()).item())


def test_a_mask_that_sees_ahead_changes_the_past(small):
    model = pretrain.build(tiny_stream.config(), kind=pretrain.SeesAhead).model
    tokens = torch.randint(0, 299, (1, 8))
    other = tokens.clone()
    other[0, -1] = (other[0, -1] + 1) % 299
    assert (model(tokens)[0, :7] - model(other)[0, :7]).abs().max() > 1e-3
    honest = Transformer(model.config)
    honest.load_state_dict(model.state_dict())
    assert torch.equal(honest(tokens)[0, :7], honest(other)[0, :7])


def test_an_adapter_has_nothing_to_change_yet(small):
    with pytest.raises(ValueError, match="Pre-training trains every weight"):
        pretrain.for_method(RECIPE, "lora")
    with pytest.raises(ValueError, match="no base yet"):
        pretrain.job("cpu", stream=small, recipe=replace(RECIPE, method="lora"))


def test_decay_leaves_norms_alone_and_the_tiers_have_three_million_weights():
    loss = pretrain.build(tiny_stream.config())
    decayed, free = loop.make_optimizer(loss, RECIPE).param_groups
    assert {weight.dim() for weight in free["params"]} == {1} and free["weight_decay"] == 0
    assert {weight.dim() for weight in decayed["params"]} == {2} and decayed["weight_decay"] == 0.1
    for tier in recipes.TIERS:
        with torch.device("meta"):
            model = Transformer(pretrain.config_of(recipes.of("03", tier)))
        assert 3e6 < sum(weight.numel() for weight in model.parameters()) < 3.5e6
        assert pretrain.recipe_of(tier).max_length == recipes.of("03", tier).length


def test_the_rate_rises_in_a_tenth_of_the_steps():
    assert pretrain.recipe_of("cpu", steps=50).warmup_steps == 5
