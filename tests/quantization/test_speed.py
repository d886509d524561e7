"""Speeds are counts over seconds; the bound is bandwidth over bytes."""

import pytest
import torch

from course_utils.quantization import speed


class Clock:
    """A clock that goes one second further each time it is read."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(speed.time, "perf_counter", self.read)

    def read(self):
        self.now += 1.0
        return self.now


def test_decoding_counts_the_tokens_of_all_rows(blocky, monkeypatch):
    Clock(monkeypatch)
    model = blocky()
    assert speed.decode(model, batch=3, tokens=5) == 15.0


def test_decoding_feeds_each_token_once_and_never_a_strided_head(blocky, monkeypatch):
    model, widths = blocky(), []
    model.base_model.register_forward_pre_hook(
        lambda module, arguments, keywords: widths.append(arguments[0].shape[1]), with_kwargs=True
    )
    seen = []
    model.lm_head.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].is_contiguous()))
    speed.decode(model, batch=2, tokens=3, prompt=4)
    assert widths == [4, 1, 1, 1, 1] and seen == [True] * 5


def test_prefill_counts_the_tokens_read(blocky, monkeypatch):
    Clock(monkeypatch)
    assert speed.prefill(blocky(), tokens=32) == 32.0


def test_a_copy_counts_what_is_read_and_written(monkeypatch):
    Clock(monkeypatch)
    assert speed.copy_bandwidth(megabytes=1, rounds=2) == 2 * 2**20


def test_the_bound_is_bandwidth_over_bytes():
    assert speed.bound(20e9, 0.5e9) == 40.0
    with pytest.raises(ValueError, match="above 0"):
        speed.bound(1e9, 0)


def test_the_bound_halves_the_time_when_bytes_halve():
    assert speed.bound(1e9, torch.tensor(5e8).item()) == 2 * speed.bound(1e9, 1e9)
