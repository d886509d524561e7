"""What every quantized weight has: its codes, how to get numbers back, and its size counted to the bit.

A quantized weight is a module without parameters: its tensors are buffers, so it moves with a model and appears in its
state. Shapes: O outputs, I inputs; a weight is (O, I), as in torch.nn.Linear.
"""

import torch


class QuantizedWeight(torch.nn.Module):
    """A frozen weight in codes of `bits` bits; subclasses say how numbers come back.

    Attributes:
        bits: of one code.
        shape: (O, I) of the weight it stands for.
        dtype: of the weight that came in, and of what `dequantize` returns.
    """

    def __init__(self, weight, bits):
        super().__init__()
        self.bits, self.shape, self.dtype = bits, tuple(weight.shape), weight.dtype

    def dequantize(self):
        """The numbers that the codes stand for, (O, I)."""
        raise NotImplementedError

    @property
    def numel(self):
        """Weights that the codes stand for."""
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self):
        """Bytes of codes (packed to their bits), scales and all else that is needed to get the numbers back."""
        others = sum(value.nbytes for name, value in self.named_buffers() if name != "codes")
        return -(-self.numel * self.bits // 8) + others

    @property
    def bits_per_weight(self):
        """All bits, scales included, over the number of weights: the figure to compare formats at."""
        return 8 * self.nbytes / self.numel


def relative_error(weight, quantized):
    """‖W − Ŵ‖ / ‖W‖, a float; 0 for an all-zero weight that came back as zeros."""
    weight = weight.detach().float()
    difference = (weight - quantized.dequantize().float()).norm()
    return 0.0 if difference == 0 else (difference / weight.norm()).item()


def check_weight(weight):
    """Raise ValueError unless the weight is a matrix of finite numbers; a NaN would spread over its whole block."""
    if weight.dim() != 2 or not weight.is_floating_point():
        raise ValueError(f"Expected a matrix (O, I) of floats, got {weight.dtype} of shape {tuple(weight.shape)}.")
    broken = ~torch.isfinite(weight)
    if broken.any():
        row, column = broken.nonzero()[0].tolist()
        raise ValueError(
            f"{int(broken.sum())} of {weight.numel()} weights are NaN or infinite, the first in row {row}, column "
            f"{column}. One of them would spoil its whole block: look for the step that broke the model first."
        )


def check_divides(size, block, what):
    """Raise ValueError unless `size` is a whole number of blocks; `what` names the size in the message."""
    if block < 1 or size % block:
        fitting = [b for b in (16, 32, 64, 128, 256) if size % b == 0]
        raise ValueError(
            f"{what} is {size}, which is no multiple of {block}: the last block would be cut off. "
            f"Blocks that fit: {fitting or 'none of 16 to 256; leave this layer as it is'}."
        )
