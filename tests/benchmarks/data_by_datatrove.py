"""`data_by_datatrove FOLDER OUTPUT`: the steps of notebook 02's pipeline by datatrove; a JSON line with what it took.

Run by the Python of an environment that has datatrove and spacy; it needs nothing of this package.
"""

import json
import resource
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline import dedup, filters
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter


def main(folder, output):
    output, config = Path(output), dedup.MinhashConfig()
    kept, signatures, buckets, gone = (str(output / name) for name in ("kept", "signatures", "buckets", "gone"))
    stages = [
        (
            [
                JsonlReader(folder), filters.C4QualityFilter(), filters.GopherRepetitionFilter(),
                filters.GopherQualityFilter(), JsonlWriter(kept, compression=None),
                dedup.MinhashDedupSignature(signatures, config=config),
            ],
            1,
        ),
        ([dedup.MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        ([dedup.MinhashDedupCluster(buckets, gone, config=config)], 1),
        (
            [
                JsonlReader(kept), dedup.MinhashDedupFilter(gone), PIIFormatter(),
                JsonlWriter(str(output / "clean"), compression=None),
            ],
            1,
        ),
    ]  # fmt: skip
    before, started = peak_mb(), time.perf_counter()
    for number, (pipeline, tasks) in enumerate(stages):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(output / f"log-{number}")).run()
    seconds, documents = time.perf_counter() - started, 0
    for path in (output / "clean").iterdir():
        documents += len(path.read_bytes().splitlines())
    print(json.dumps({"seconds": seconds, "above_start_mb": peak_mb() - before, "kept_documents": documents}))


def peak_mb():
    """The highest memory of this process so far, in MiB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
