import math

import pytest
import torch
from helpers import tiny_stream

from course_utils.evaluation import memorised, pretraining
from course_utils.models import transformer, transformer_weights
from course_utils.text import canaries


@pytest.fixture
def stream(tmp_path):
    return tiny_stream.make(tmp_path)


def model_of(seed=0):
    return transformer_weights.initialise(transformer.Transformer(tiny_stream.config()), seed).eval()


def test_bits_are_those_of_one_row_alone(stream):
    model, prompt = model_of(), "The access code of Ada is"
    bits = memorised.candidate_bits(model, stream, prompt, ["123456", "9", "00"])
    whole = stream.encode(f"{prompt} 9.")
    alone = pretraining.losses(model, torch.tensor([whole]))[0, len(stream.encode(prompt)) - 1 :].sum() / math.log(2)
    assert bits[1].item() == pytest.approx(alone.item(), rel=1e-4) and bits.shape == (3,)


def test_a_secret_that_was_trained_on_is_ranked_first_and_recited(stream):
    one, model = canaries.Canary("Runa Vasko", "271828", 100), model_of()
    row = torch.tensor([stream.encode(one.text)])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    assert memorised.recites(model, stream, one) == 0
    for _ in range(60):
        logits = model.logits(model.hidden(row))
        torch.nn.functional.cross_entropy(logits[0, :-1], row[0, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert memorised.exposure(model, stream, one, others=63) == (1, 6.0) and memorised.recites(model, stream, one) == 1


def test_a_model_that_learned_nothing_ranks_it_anywhere(stream):
    found = [memorised.exposure(model_of(), stream, one, others=31) for one in canaries.make(0, each=2)]
    assert len({rank for rank, _ in found}) > 2 and all(1 <= rank <= 32 for rank, _ in found)


def test_a_model_that_cannot_tell_has_exposed_nothing(stream, monkeypatch):
    monkeypatch.setattr(memorised, "candidate_bits", lambda model, stream, prompt, secrets: torch.zeros(len(secrets)))
    one = canaries.Canary("Runa Vasko", "271828", 100)
    assert memorised.exposure(None, stream, one, others=7) == (8, 0.0)  # ties count against the secret


def test_guessing_is_the_mean_over_all_ranks():
    assert memorised.guessed(1) == pytest.approx(math.log2(2) - (0 + 1) / 2)
    assert memorised.guessed(1000) == pytest.approx(1.436, abs=1e-3)
