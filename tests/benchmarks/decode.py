"""Batch-1 decoding: rounded weights against 16-bit ones in llama.cpp, and the fastest of them against transformers.

`decode/same-engine` sets the fastest GGUF file of 8, 5 or 4 bits against the 16-bit file of the same weights in one
engine; `decode/fastest` sets the fastest file of all against transformers in bf16 and fp32. The files are written anew
from the course's own model, and all write one row behind a prompt of the same length. One contender is one process.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import side_by_side

FILES = {"llama.cpp 16 bits": "F16", "llama.cpp 8 bits": "Q8_0", "llama.cpp 5 bits": "Q5_0", "llama.cpp 4 bits": "Q4_0"}
LIBRARY = {"transformers bf16": "bf16", "transformers fp32": "fp32"}
CONTENDERS = (*FILES, *LIBRARY)
READ = 64  # tokens of the prompt


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64, help="that are written and timed")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps({"tokens_per_second": contend(options.contender, options.tokens)}))
        return
    results = side_by_side.play(__file__, CONTENDERS, options.rounds, ("--tokens", options.tokens))
    sixteen, *rounded = FILES
    kind = {"key": "tokens_per_second", "metric": "speed", "unit": "tokens/s"}
    best = max(FILES, key=lambda name: max(result[kind["key"]] for result in results[name]))
    fewer = max(rounded, key=lambda name: max(result[kind["key"]] for result in results[name]))
    side_by_side.store([
        side_by_side.compare("decode/same-engine", results, fewer, (sixteen,), **kind),
        side_by_side.compare("decode/fastest", results, best, tuple(LIBRARY), **kind),
    ])  # fmt: skip


def contend(name, tokens):
    """Tokens a second of one row."""
    from course_utils import runtime
    from course_utils.evaluation import engines, quantized
    from course_utils.models.base import load_base
    from course_utils.quantization import gguf_writer

    run, speeds = runtime.start(quiet=True), {"decoded": tokens, "read": READ}
    if name in LIBRARY:
        row = engines.in_transformers(LIBRARY[name], load_base()[0], None, **speeds)
    else:
        source = quantized.source_file()
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            path = gguf_writer.write(source, Path(folder) / f"{FILES[name]}.gguf", FILES[name])
            row = engines.in_llama_cpp(path, None, None, threads=run.threads, **speeds)
    if row.missing:
        raise SystemExit(row.missing)
    return row.decode_1


if __name__ == "__main__":
    sys.exit(main())
