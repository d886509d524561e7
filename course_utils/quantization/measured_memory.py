"""What a training step really allocates, to hold against `memory.step`.

On a GPU the allocator knows. On the CPU it keeps no count, so every tensor that an operation returns is watched until
its storage is freed; scratch space inside an operation is not seen.
"""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Watch(TorchDispatchMode):
    """Counts the bytes of storages that came into being inside, as long as they live."""

    def __init__(self):
        super().__init__()
        self.alive, self.now, self.peak = {}, 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "cpu":
                self.see(tensor.untyped_storage())
        return result

    def see(self, storage):
        """Count a storage once, until it is freed."""
        key = storage._cdata
        if key in self.alive or not storage.nbytes():
            return
        self.alive[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, key)

    def _freed(self, key):
        self.now -= self.alive.pop(key, 0)


def peak_bytes(step, *modules):
    """The most bytes of tensors alive at one time while step() runs, those of the modules included.

    Args:
        step: () → anything; a forward and backward pass and an update.
        modules: whose weights and buffers are there before it starts.
    """
    from course_utils.quantization import layers

    before = sum(layers.model_bytes(module) for module in modules)
    device = next((value.device for module in modules for value in module.parameters()), torch.device("cpu"))
    if device.type == "cuda":
        torch.cuda.synchronize()
        start = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return before + torch.cuda.max_memory_allocated() - start
    with _Watch() as watch:
        for module in modules:
            for value in (*module.parameters(), *module.buffers()):
                watch.alive[value.untyped_storage()._cdata] = 0  # counted by `before`
        step()
    return before + watch.peak
