"""The watch sees tensors as long as they live, and each storage once."""

import torch

from course_utils.quantization import measured_memory


def test_the_peak_is_what_is_alive_at_once():
    def one_after_the_other():
        for _ in range(5):
            torch.ones(1000).sum()

    def together():
        kept = [torch.ones(1000) for _ in range(5)]
        return kept

    first, second = (measured_memory.peak_bytes(run) for run in (one_after_the_other, together))
    assert 4_000 <= first < 8_100 and 20_000 <= second < 24_000


def test_what_was_freed_no_longer_counts_and_its_place_can_be_taken():
    def growing():
        for count in (1000, 3000):
            torch.ones(count).sum()

    assert 12_000 <= measured_memory.peak_bytes(growing) < 12_200


def test_views_share_their_storage():
    assert measured_memory.peak_bytes(lambda: torch.ones(1000).view(10, 100).t()) == 4_000


def test_weights_count_before_the_step_begins():
    layer = torch.nn.Linear(10, 100, bias=False)
    assert measured_memory.peak_bytes(lambda: layer.weight.detach(), layer) == 4_000


def test_a_backward_pass_is_seen():
    x = torch.ones(1000, requires_grad=True)
    assert measured_memory.peak_bytes(lambda: (x * x).sum().backward()) >= 8_000
