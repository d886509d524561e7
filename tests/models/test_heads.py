import pytest
import torch

from course_utils.models import packing
from course_utils.models.heads import ScalarHead, last_of_rows


def test_before_training_every_text_scores_zero():
    head = ScalarHead(8)
    assert torch.equal(head(torch.randn(3, 8)), torch.zeros(3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_size_does_not_matter_and_the_answer_is_fp32(dtype):
    head = ScalarHead(8)
    torch.nn.init.normal_(head.weight)
    hidden = torch.randn(2, 3, 8, dtype=dtype)
    scores = head(hidden)
    assert scores.shape == (2, 3) and scores.dtype == torch.float32
    torch.testing.assert_close(head(hidden * 64), scores)
    # w · h / √(mean h²) + b
    h = hidden[0, 1].float()
    torch.testing.assert_close(
        scores[0, 1], head.weight @ h / h.square().mean().sqrt() + head.bias, rtol=1e-4, atol=1e-4
    )


def test_autocast_leaves_the_head_in_fp32():
    head = ScalarHead(8)
    torch.nn.init.normal_(head.weight)
    hidden = torch.randn(3, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head(hidden), head(hidden.clone())) and head(hidden).dtype == torch.float32
        inside = head(hidden)
    assert torch.equal(inside, head(hidden))


def test_the_last_real_token_of_packed_rows_is_that_of_the_padded_batch(small_gemma, padded_batch):
    model, (ids, real, _) = small_gemma(adapter=False), padded_batch
    with torch.no_grad():
        packed = last_of_rows(packing.packed_hidden(model, ids, real), real)
        padded = model.model(input_ids=ids, attention_mask=real.long()).last_hidden_state
    last = torch.stack([row[mask.nonzero().max()] for row, mask in zip(padded, real, strict=True)])
    torch.testing.assert_close(packed, last, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(packed, padded[:, -1], atol=1e-2), "reading a pad must make a difference"


def test_hidden_states_of_another_batch_are_refused():
    mask = torch.tensor([[True, True], [True, False]])
    with pytest.raises(ValueError, match=r"3 real tokens, at least one a text, got 4 for texts of \[2, 1\]"):
        last_of_rows(torch.zeros(4, 2), mask)
    with pytest.raises(ValueError, match=r"texts of \[2, 0\]"):
        last_of_rows(torch.zeros(2, 2), torch.tensor([[True, True], [False, False]]))


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="Expected at least one text, got none"):
        last_of_rows(torch.zeros(0, 3), torch.zeros(0, 4, dtype=torch.bool))
