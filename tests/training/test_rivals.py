"""Rivals of the transformer: causal, told apart by document where attention is, and each learns by the common loss."""

import math

import pytest
import torch
from helpers import tiny_stream

from course_utils.training import pretrain, rivals

CONFIG = tiny_stream.config(key_value_heads=2)
each_kind = pytest.mark.parametrize("kind", list(rivals.KINDS))


def text(length=12, seed=0):
    return torch.randint(0, 200, (2, length), generator=torch.Generator().manual_seed(seed))


@each_kind
def test_no_token_sees_what_comes_after_it(kind):
    model, tokens = rivals.build(kind, CONFIG).eval(), text()
    changed = tokens.clone()
    changed[:, 7] += 1
    before, after = model.hidden(tokens), model.hidden(changed)
    assert torch.allclose(before[:, :7], after[:, :7], atol=1e-5) and not torch.allclose(before[:, 7:], after[:, 7:])


@pytest.mark.parametrize("kind", ["vanilla", "experts"])
def test_attention_stays_in_its_document(kind):
    model, tokens = rivals.build(kind, CONFIG).eval(), text()
    documents = torch.tensor([[0] * 5 + [1] * 7] * 2)
    changed = tokens.clone()
    changed[:, 2] += 1
    assert torch.allclose(model.hidden(tokens, documents)[:, 5:], model.hidden(changed, documents)[:, 5:], atol=1e-5)


@each_kind
def test_the_first_loss_is_a_guess_and_steps_lower_it(kind, one_thread):
    module = rivals.RivalLoss(rivals.build(kind, CONFIG))
    batch, optimizer = {"input_ids": text()}, torch.optim.Adam(module.parameters(), 1e-2)
    with module.while_training():
        first = module(batch)
        assert first.item() == pytest.approx(math.log(CONFIG.vocabulary), abs=0.9)
        for _ in range(15):
            optimizer.zero_grad()
            module(batch).backward()
            optimizer.step()
    assert all(weight.grad is not None for weight in module.parameters())
    assert module(batch).item() < first.item() - 0.5


def test_experts_add_their_balance_to_the_loss():
    model, batch = rivals.build("experts", CONFIG).eval(), {"input_ids": text()}
    added = rivals.RivalLoss(model)(batch) - pretrain.PretrainLoss(model)(batch)
    assert added.item() == pytest.approx(model.balance.item(), rel=1e-4) and added > 0


def test_an_even_router_costs_the_least():
    experts = rivals.Experts(CONFIG)
    torch.nn.init.zeros_(experts.router.weight)
    experts(torch.randn(1, 5, CONFIG.width))
    assert experts.balance.item() == pytest.approx(1)
    with torch.no_grad():
        experts.router.weight[0] = 100.0
    experts(torch.ones(1, 5, CONFIG.width))
    assert experts.balance.item() == pytest.approx(rivals.EXPERTS / rivals.CHOSEN)


def test_experts_answer_with_the_weights_of_their_router():
    experts, x = rivals.Experts(CONFIG), torch.randn(1, 3, CONFIG.width)
    liked = experts.router(x[0, 1]).softmax(-1)
    weights, chosen = liked.topk(rivals.CHOSEN)
    byhand = sum(w / weights.sum() * experts.experts[e](x[0, 1]) for w, e in zip(weights, chosen, strict=True))
    assert torch.allclose(experts(x)[0, 1], byhand, atol=1e-6)


def test_positions_and_layer_norm_as_written_down():
    table = rivals.positions(torch.arange(3), 4)
    assert table[0].tolist() == [0, 0, 1, 1] and table[2, 1].item() == pytest.approx(math.sin(2 / 100))
    assert rivals.LayerNorm(2)(torch.tensor([[1.0, 3.0]])).tolist() == [pytest.approx([-1, 1], abs=1e-4)]


def test_an_lstm_begins_with_open_forget_gates():
    bias = rivals.build("lstm", CONFIG).cells.bias_ih_l0.view(4, -1)
    assert bias.sum(1).tolist() == [0, CONFIG.width, 0, 0]


def test_weights_are_counted_without_making_them():
    every, blocks, used = rivals.count("experts", CONFIG)
    assert every == sum(weight.numel() for weight in rivals.build("experts", CONFIG).parameters())
    assert every - blocks == CONFIG.vocabulary * CONFIG.width
    assert every - used == CONFIG.layers * 3 * CONFIG.width * CONFIG.mlp_width * (rivals.EXPERTS - rivals.CHOSEN)
    with pytest.raises(ValueError, match=r"no model 'rnn' here\. Choose from: gemma, vanilla"):
        rivals.build("rnn", CONFIG)
