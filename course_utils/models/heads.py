"""A scalar behind a language model: one number for a text (a reward) or for each position (a value).

The head reads the last hidden states after their norm, brought to length √D, in fp32: their size differs between models
and layers by a factor of a hundred, and with it what a learning rate means. It starts at zero, so before training every
text scores 0, a reward model's loss is ln 2, and every value is 0.

Shapes: B texts, T tokens, N real tokens of all texts, D width.
"""

import torch
from torch.nn import functional as F

from course_utils.tensors import check_rows


class ScalarHead(torch.nn.Module):
    """w · h / rms(h) + b, from (…, D) to (…) fp32."""

    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(width))
        self.bias = torch.nn.Parameter(torch.zeros(()))

    def forward(self, hidden):
        with torch.autocast(hidden.device.type, enabled=False):
            return F.rms_norm(hidden.float(), hidden.shape[-1:]) @ self.weight + self.bias


def last_of_rows(hidden, mask):
    """The hidden state at the last real token of each text, where the whole text has been read.

    Args:
        hidden: (N, D) as `packing.packed_hidden` returns it.
        mask: (B, T) bool, True at real tokens.

    Returns:
        (B, D), as one would find them in a padded batch.

    Raises:
        ValueError: a text has no token, or hidden is of another batch.
    """
    check_rows(len(mask), "text", " to find the end of")
    lengths = mask.sum(dim=1)
    if int(lengths.sum()) != len(hidden) or not lengths.all():
        raise ValueError(
            f"Expected hidden states of {int(lengths.sum())} real tokens, at least one a text, got {len(hidden)} for "
            f"texts of {lengths.tolist()} tokens. Is the mask inverted, or of another batch?"
        )
    return hidden[lengths.cumsum(0) - 1]
