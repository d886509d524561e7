"""A record of `run scaling` whose runs follow a law that is known."""

import json
from contextlib import contextmanager

import pytest

from course_utils.evaluation import scaling as laws
from course_utils.experiments import scaling_grid as grid
from course_utils.experiments import scaling_summary as summary

LAW = laws.Law(1.6, 60, 400, 0.30, 0.42)


@contextmanager
def few_resamples():
    """Fits of at most 20 resamples: for tests that ask what is done with a fit."""
    whole = laws.fit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laws, "fit", lambda *runs, resamples=20: whole(*runs, resamples=min(resamples, 20)))
        yield


def result(run):
    every, blocks, used = grid.counted(run.size, run.kind)
    loss = float(LAW.loss(every, run.tokens)) * (1 + 0.002 * (run.tokens % 7 - 3 + run.seed))
    exact = {str(k): (every / 2e6) ** (k / 2) for k in grid.SPANS}
    copied = {"text": {"nats": loss - 1, "first": loss, "exact": exact}}
    return {
        "size": run.size, "tokens": run.tokens, "steps": run.steps, "weights": every, "block_weights": blocks,
        "used_weights": used,
        "loss": loss, "bits_per_byte": loss / 2, "documents": {"news": [2, 20], "plays": [2, 20], "code": [2, 18]},
        "curve": {str(tokens): loss + 0.3 for tokens in run.evaluate}, "tokens_per_second": 1000, "int4": loss + 0.1,
        "bits": [loss * 9 + n for n in range(6)], "unique_tokens": run.tokens // run.times, "copied": copied,
        "learning_rate": run.rate or 2e-2, "recited": {"nats": loss - 1, "exact": exact},
    }  # fmt: skip


def made():
    """The record, as it comes out of its file; its fits have few resamples if `laws.fit` was changed so."""
    points = {name: result(run) for name, run in grid.RUNS.items()}
    points["largest"] |= {
        "predicted": {"loss": 3.3, "low": 3.2, "high": 3.4, "written": "2026-01-01", "most_fitted_compute": 8.28e12},
        "started": "2026-01-02",
    }  # fmt: skip
    points["recovery"] = {
        "noise": 0.003, "between_seeds": 0.002, "draws": 100,
        "found": {"alpha": {"true": 0.3, "inside": 0.94, "width": 0.2}},
    }  # fmt: skip
    return json.loads(json.dumps({"setting": {}, "summary": summary.summary(points), "points": points}))
