"""llama.cpp through the wheel xllamacpp: GGUF files of several formats in one engine."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PACKAGE = "xllamacpp"


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
        with ThreadPoolExecutor(rows) as pool:  # a request that fails raises here
            list(pool.map(lambda n: self.complete([*short, 5 + n], tokens), range(rows)))
        together = rows * tokens / (time.perf_counter() - before)
        # its clock starts when the first token is there, so one token less was timed than it counts
        alone = 1000 * (timings["predicted_n"] - 1) / timings["predicted_ms"]
        return alone, together, timings["prompt_per_second"]
