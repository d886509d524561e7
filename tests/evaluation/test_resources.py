"""The calculators against published figures."""

import pytest

from course_utils.evaluation import resources as r


def test_training_against_what_was_published():
    gpt3, llama = r.MODELS["GPT-3"], r.MODELS["Llama 3 405B"]
    assert r.training_flops(gpt3.parameters, gpt3.tokens) == pytest.approx(3.14e23, rel=0.01)  # Brown et al. 2020, D.1
    flops = r.training_flops(llama.parameters, llama.tokens)
    assert flops == pytest.approx(3.8e25, rel=0.01)  # Dubey et al. 2024
    hours = r.training_days(flops, r.CHIPS["H100"], 1) * 24
    assert hours == pytest.approx(30.84e6, rel=0.15)  # GPU hours of the model card, restarts and long context included
    assert r.training_bytes(llama.parameters) == pytest.approx(6.48e12)
    assert r.energy_kwh(1, r.CHIPS["H100"], 1, overhead=1) == pytest.approx(16.8)
    assert r.money(1, 10, hour=2) == 480


def test_caches_against_what_was_published():
    # GPT-3's cache of one token: 2 · 96 layers · 12,288 numbers · 2 bytes = 4.7 MB
    assert r.cache_bytes(r.MODELS["GPT-3"], 1) == 2 * 96 * 12288 * 2
    gemma = r.MODELS["Gemma 3 270M"]
    assert r.cache_bytes(gemma, 512) == 18 * 2 * 256 * 2 * 512
    assert r.cache_bytes(gemma, 1024) - r.cache_bytes(gemma, 1023) == 3 * 2 * 256 * 2, "local layers keep a window"


def test_a_cache_is_that_of_the_transformer_by_hand():
    from course_utils.models import base, kv_cache, transformer_weights

    config = transformer_weights.read_config(base.prepare())
    for tokens in (100, 2000):
        ours = r.cache_bytes(r.MODELS["Gemma 3 270M"], tokens)
        assert ours == pytest.approx(kv_cache.cache_bytes(config, tokens), rel=0.003)  # its window keeps one fewer


def test_batching_is_nearly_free_until_reading_is_not_the_longer_part():
    model, chip = r.MODELS["Llama 3 8B"], r.CHIPS["H100"]
    one, many = (r.decode_step(model, chip, users, 1000) for users in (1, 16))
    assert one < many < 1.2 * one
    huge = r.decode_step(model, chip, 2000, 1)
    assert huge == pytest.approx(2 * model.parameters * 2000 / (chip.flops * 0.4))
    assert r.most_users(r.MODELS["GPT-3"], chip, 1000) == 0 < r.most_users(model, chip, 1000)
    served = r.answers(model, chip, 16, 1000)
    assert served["tokens_a_second"] == pytest.approx(16 * served["per_user"])
    assert served["dollars"] == pytest.approx(2 * served["hours"])


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="percentage"):
        r.training_days(1e20, r.CHIPS["T4"], 1, utilisation=40)
    with pytest.raises(ValueError, match="users above 0"):
        r.decode_step(r.MODELS["GPT-2"], r.CHIPS["T4"], 0, 10)
