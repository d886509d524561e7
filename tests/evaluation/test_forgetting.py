import pytest
import torch
from helpers import two_layer_gemma as small

from course_utils.adapters import library
from course_utils.evaluation import forgetting

TEXTS = [[2, 30, 40, 50], [2, 99, 7, 8]]


def test_divergence_by_the_formula():
    base, other = small.build().eval(), library.attach(small.build(), "lora", rank=2).eval()
    assert forgetting.divergence(base, other, TEXTS) == pytest.approx(0, abs=1e-6)
    for name, weight in other.named_parameters():
        if "lora_B" in name:
            weight.data += 0.1
    ids = torch.tensor(TEXTS)
    logps = [model(input_ids=ids).logits.log_softmax(-1) for model in (base, other)]
    expected = torch.nn.functional.kl_div(logps[1], logps[0], log_target=True, reduction="sum") / 8
    assert expected > 1e-3
    for chunk in (3, 64):
        assert forgetting.divergence(base, other, TEXTS, chunk=chunk) == pytest.approx(expected.item(), rel=1e-4)
