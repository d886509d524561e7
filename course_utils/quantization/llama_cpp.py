"""llama.cpp through the wheel xllamacpp: GGUF files of several formats in one engine.

The engine gives no log-probability of a prompt's own tokens, so a file's loss is computed by `file_loss` from the
numbers its blocks stand for; llama.cpp also rounds activations to 8 bits, which that leaves out.
"""

import importlib.util
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import torch

from course_utils.quantization.backends import Row, loss

PACKAGE = "xllamacpp"


def missing():
    """How to get the engine, or "" when it is here."""
    if importlib.util.find_spec(PACKAGE) is not None:
        return ""
    return f"llama.cpp needs {PACKAGE}: pip install --no-deps {PACKAGE}, then run the cell again"


class Engine:
    """One GGUF file, loaded."""

    def __init__(self, path, *, threads, context=512, rows=16):
        import xllamacpp

        if not Path(path).is_file():
            raise FileNotFoundError(f"There is no GGUF file at {path}. Write one with gguf_writer.write.")
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx, parameters.n_parallel = context * rows, rows
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
        parameters.verbosity, parameters.warmup = -1, False
        self._server = xllamacpp.Server(parameters)

    def complete(self, tokens, count):
        """The engine's answer to a prompt of token ids: greedy, exactly `count` tokens."""
        request = {"prompt": list(tokens), "max_tokens": count, "temperature": 0.0}
        answer = self._server.handle_completions(request | {"ignore_eos": True, "cache_prompt": False})
        if "timings" not in answer:
            raise RuntimeError(f"llama.cpp refused: {str(answer)[:200]}")
        return answer

    def speeds(self, *, tokens, prompt, rows=16):
        """(decode tokens/s of one row, of `rows` rows together, prefill tokens/s)."""
        ids = [5 + 7 * n % 200 for n in range(prompt)]
        self.complete(ids[:8], 4)
        timings = self.complete(ids, tokens)["timings"]
        short, before = ids[:4], time.perf_counter()
        workers = [threading.Thread(target=self.complete, args=([*short, 5 + n], tokens)) for n in range(rows)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        together = rows * tokens / (time.perf_counter() - before)
        return timings["predicted_per_second"], together, timings["prompt_per_second"]


def measure(path, model, rows, *, threads, tokens, prompt):
    """One row of the table, as `backends.measure`, for a GGUF file of the model."""
    name = f"llama.cpp {Path(path).stem}"
    if missing():
        return Row(name, missing=missing())
    one, many, prefill = Engine(path, threads=threads).speeds(tokens=tokens, prompt=prompt)
    return Row(name, Path(path).stat().st_size, file_loss(path, model, rows), one, many, prefill)


def file_loss(path, model, rows):
    """Mean −log p in nats of the weights that a GGUF file stands for, computed in the model's place and dtype."""
    with weights_of(path, model):
        return loss(model, rows)


@contextmanager
def weights_of(path, model):
    """Inside, the model holds the numbers that a GGUF file's blocks stand for."""
    from course_utils.models import convert
    from course_utils.models.gguf_file import GGUFFile

    own = dict(model.named_parameters())
    before = {name: value.detach().clone() for name, value in own.items()}
    try:
        with torch.no_grad():
            for name, values in convert.weights(GGUFFile(path)).items():
                own[name].copy_(values)
        yield model
    finally:
        with torch.no_grad():
            for name, values in before.items():
                own[name].copy_(values)
