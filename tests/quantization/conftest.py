"""A weight of a real layer's size, and rows of tokens."""

import pytest
import torch


@pytest.fixture
def normal_weight():
    """(96, 128) normal weights of a real layer's size."""
    return torch.randn(96, 128, generator=torch.Generator().manual_seed(0)) * 0.03


@pytest.fixture
def token_rows():
    """(3, 20) token ids."""
    return torch.randint(4, 320, (3, 20), generator=torch.Generator().manual_seed(1))
