"""Rows in groups: each gets what it would get alone, in value and gradient."""

import pytest
import torch

from course_utils.models import row_attention


@pytest.mark.parametrize(("row_lengths", "shared"), [((2, 4), 0), ((2, 3, 1), 2)])
@pytest.mark.parametrize("key_heads", [1, 2])
def test_row_attention_passes_gradcheck(key_heads, row_lengths, shared):
    generator = torch.Generator().manual_seed(0)
    shapes = [(6, 4, 3), (6, key_heads, 3), (6, key_heads, 3)]
    tensors = [torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in shapes]
    assert torch.autograd.gradcheck(lambda *t: row_attention.RowAttention.apply(*t, row_lengths, shared, 0.7), tensors)


@pytest.mark.parametrize(("row_lengths", "shared"), [((2, 4, 1, 5), 0), ((2, 3, 1, 6), 2), ((4, 4, 4), 0)])
def test_rows_in_groups_get_what_each_gets_alone(row_lengths, shared, monkeypatch):
    generator, results = torch.Generator().manual_seed(0), []
    tensors = [torch.randn(12, heads, 8, dtype=torch.float64, generator=generator) for heads in (4, 2, 2)]
    for scores in (row_attention.SCORES, 400, 1):
        monkeypatch.setattr(row_attention, "SCORES", scores)
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        output = row_attention.RowAttention.apply(*leaves, row_lengths, shared, 0.3)
        results.append((output, *torch.autograd.grad(output.square().sum(), leaves)))
    for several, alone in zip(zip(*results[:2], strict=True), results[2], strict=True):
        for found in several:
            torch.testing.assert_close(found, alone, rtol=1e-10, atol=1e-10)


def test_short_rows_stand_together_and_long_ones_alone():
    def lengths(row_lengths, shared=0, prefix=0):
        return [group.lengths for group in row_attention._groups(row_lengths, shared, prefix, 4, 1 << 18)]

    assert lengths((27,) * 16) == [(27,) * 16]
    assert lengths((16, *(27,) * 16), shared=16) == [(16,), (27,) * 16]
    assert lengths((300, 400, 20, 30)) == [(300,), (400,), (20, 30)]
    assert lengths((30,), prefix=5) == [(30,)]
