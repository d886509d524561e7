"""Scaling laws on runs that a laptop can repeat: fitted, used to predict, and tried at their edges.

What is run stands in `scaling_grid`, written down before: `python -m course_utils run scaling --at-once 2`. That is
five hours of one core, two and a half of two; the largest run takes twenty minutes, any other twelve at most.
A point that is measured by itself comes after all STAGES before its own.

Judge: nats a token on the first DOCUMENT_BYTES of held-out test documents, DOCUMENTS of each source at most, the same
for every run; beside it the bits of each document, the loss with every matrix of the blocks in int4, and copying.

`prediction` holds the law of all fitted runs, and says with an interval what `largest` will come to. `largest` refuses
to begin while that is missing, and keeps a copy; `prediction` refuses once `largest` is there.
"""

import datetime
import json
import math
from dataclasses import replace

import numpy as np
import torch

from course_utils import files, runtime
from course_utils.data.splits import stable_number
from course_utils.engine import loop
from course_utils.engine.recipe import TrainingRecipe
from course_utils.evaluation import copying, pretraining, scaling
from course_utils.experiments import pretrain as long_run
from course_utils.experiments import scaling_grid as grid
from course_utils.experiments import scaling_summary
from course_utils.quantization import integer
from course_utils.text import corpus, token_stream
from course_utils.training import pretrain, rivals, sft

POINTS, STAGES, summary = grid.POINTS, grid.STAGES, scaling_summary.summary
SETTING = {
    "vocabulary": grid.VOCABULARY, "length": grid.LENGTH, "batch_size": grid.BATCH, "sizes": grid.SIZES,
    "budgets": (*grid.BUDGETS, grid.MORE), "lines": grid.LINES, "largest": (grid.LARGEST, grid.LARGEST_TOKENS),
    "rates": grid.RATES, "rival_rates": grid.RIVAL_RATES, "warm_steps": grid.WARM_STEPS, "times": grid.TIMES,
    "least_steps": grid.LEAST_STEPS, "groups": grid.GROUPS, "mixtures": grid.MIXTURES, "rivals": grid.RIVALS,
    "documents": grid.DOCUMENTS, "document_bytes": grid.DOCUMENT_BYTES, "copy": grid.COPY, "recited": grid.RECITED,
    "spans": grid.SPANS, "bits": grid.BITS,
}  # fmt: skip
KEPT_LOSSES = 50  # of a run's training losses, means of equal parts


def measure(point, run, folder):
    """One point, as `summary` reads it.

    Args:
        point: one of POINTS.
        run: the runtime's decisions.
        folder: where its training run lives, beside the other points' results; one that was killed goes on there.

    Raises:
        ValueError: a point that this one needs is not there yet.
        loop.TrainingStopped: the loss is no number any more, at a rate that was not only tried.
    """
    if point in ("prediction", "recovery"):
        return {"prediction": predict, "recovery": recovery}[point](folder.parent)
    planned = grid.RUNS[point]
    before = {}
    if point == "largest":
        said = results(folder.parent, ("prediction",))["prediction"]
        before = {"predicted": said, "started": _now()}
    stream = corpus_stream()
    rate = rate_of(point, planned, folder.parent)
    try:
        return before | trained(planned, rate, stream, run, folder)
    except loop.TrainingStopped as stopped:
        if planned.rate is None:
            raise
        # of the rates that are tried one may be too high, and end in no number: that is a result, too
        return {"stopped": str(stopped), "learning_rate": rate, "size": planned.size, "tokens": planned.tokens}


def corpus_stream(share=1.0):
    """The corpus as tokens of the experiment's vocabulary; made once, kept among the runs."""
    return token_stream.prepare(runtime.current().runs / "tokens", grid.VOCABULARY, share=share)


def results(folder, names):
    """{name: result} of other points of this experiment.

    Raises:
        ValueError: some are missing; the message lists them.
    """
    lacking = [name for name in names if not (folder / f"{name}.json").is_file()]
    if lacking:
        some = ", ".join(lacking[:4]) + (f" and {len(lacking) - 4} more" if len(lacking) > 4 else "")
        raise ValueError(f"This point needs {some}. Measure these first: `run scaling` takes all points in order.")
    return {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))[0] for name in names}


def rate_of(point, planned, folder):
    """The learning rate of a run: its own, or what the rule of the tried rates says."""
    if planned.rate is not None:
        return planned.rate
    rule = scaling_summary.rate_rule(results(folder, grid.TRIED))
    if planned.kept:
        return scaling_summary.rate_by(rule, grid.ROWS[0], grid.BUDGETS[1])
    rate = scaling_summary.rate_by(rule, planned.size, planned.tokens)
    if point in grid.RIVAL:  # as much above or below its best at RIVAL_AT as the rule has it
        tried = [name for name, run in grid.TUNE.items() if run.kind == planned.kind]
        best = scaling_summary.best_rate(results(folder, tried))
        rate *= best / scaling_summary.rate_by(rule, grid.RIVAL_AT, grid.RIVAL_TOKENS)
    return rate


def recipe_of(planned, rate):
    """The TrainingRecipe of a Run."""
    steps = planned.steps
    return TrainingRecipe(
        method="full", steps=steps, batch_size=grid.BATCH, learning_rate=rate, micro_batch=grid.BATCH,
        max_length=grid.LENGTH, warmup_steps=steps // 10 if planned.warm is None else planned.warm,
        weight_decay=pretrain.WEIGHT_DECAY, betas=pretrain.BETAS, save_every=400, seed=planned.seed,
        evaluate_at=tuple(tokens // grid.A_STEP for tokens in planned.evaluate),
    )  # fmt: skip


def job(planned, rate, stream):
    """The sft.Job of a Run; its tokenizer is the stream."""
    recipe = recipe_of(planned, rate)
    config = replace(grid.config(planned.size, planned.kind), vocabulary=stream.vocabulary)
    if planned.mixture:
        stream = mixed(stream, grid.MIXTURES[planned.mixture], planned.tokens, planned.seed)
    rows = token_stream.Rows(stream, grid.LENGTH, planned.steps * grid.BATCH // planned.times)
    device, kind = runtime.current().device, grid.model_kind(planned.kind)
    build = lambda: rivals.RivalLoss(rivals.build(kind, config, planned.seed).to(device))  # noqa: E731
    return sft.Job(recipe, build, rows, token_stream.RowCollator(stream.boundary), stream)


def trained(planned, rate, stream, run, folder):
    """What is known of a Run at its end."""
    held, encoded = held_out(folder.parent, stream)
    made = job(planned, rate, stream)
    exam = lambda module: {"loss": loss_of(module.model, encoded)[0]}  # noqa: E731
    module, known = long_run.learned(made, run, folder, exam)
    model, parts = module.model, np.array_split(known["losses"], min(KEPT_LOSSES, planned.steps))
    loss, bits = loss_of(model, encoded)
    every, blocks, used = grid.counted(planned.size, planned.kind)
    on_the_way = {int(step) * grid.A_STEP: found for step, found in known["evaluations"].items()}
    kept = ("seed", "steps", "learning_rate", "unique_tokens", "repeated_tokens", "seconds", "peak_mb")
    return {name: known[name] for name in (*kept, "tokens_per_second")} | {
        "size": planned.size, "tokens": planned.tokens, "kind": planned.kind, "weights": every, "block_weights": blocks,
        "used_weights": used, "loss": loss, "bits_per_byte": sum(bits) / sum(held.bytes),
        "bits": [round(cost, 1) for cost in bits], "int4": in_few_bits(model, encoded),
        "curve": {tokens: found["loss"] for tokens, found in on_the_way.items()},
        "documents": sources_of(held), "losses": [round(float(part.mean()), 3) for part in parts],
        "copied": copies(model, stream, encoded),
        "recited": recited(model, made.rows, stream.boundary) if planned.times > 1 else None,
    }  # fmt: skip


def held_out(folder, stream):
    """(pretraining.HeldOut, their ids) of the documents that judge every run; read from the corpus once, then kept."""
    kept = folder / "held-out.json"
    if not kept.is_file():
        made = pretraining.held_out("test", documents=grid.DOCUMENTS, size=grid.DOCUMENT_BYTES)
        folder.mkdir(parents=True, exist_ok=True)
        files.replace_text(kept, json.dumps({"ids": made.ids, "texts": made.texts}))
    held = pretraining.HeldOut(**json.loads(kept.read_text(encoding="utf-8")))
    return held, [stream.encode(text) for text in held.texts]


def sources_of(held):
    """{source: [documents, their bytes]} of held-out documents, which stand source by source."""
    found = {}
    for name, size in zip(held.ids, held.bytes, strict=True):
        count, total = found.get(name.partition("/")[0], (0, 0))
        found[name.partition("/")[0]] = [count + 1, total + size]
    return found


def loss_of(model, encoded):
    """(nats a token, bits of each document)."""
    bits = pretraining.document_bits(model, encoded, length=grid.LENGTH)
    return sum(bits) * math.log(2) / sum(len(ids) - 1 for ids in encoded), bits


@torch.no_grad()
def in_few_bits(model, encoded):
    """Nats a token with every matrix of the blocks rounded to BITS bits, a scale a row; the model is left as it was."""
    chosen = [w for name, w in model.named_parameters() if w.dim() == 2 and not name.startswith("embed_tokens")]
    exact = [weight.clone() for weight in chosen]
    for weight in chosen:
        weight.copy_(integer.quantize(weight, bits=grid.BITS).dequantize())
    found = loss_of(model, encoded)[0]
    for weight, before in zip(chosen, exact, strict=True):
        weight.copy_(before)
    return found


def copies(model, stream, encoded):
    """{"text": a held-out text said twice, "random": random tokens said twice}, each as `copying.copied` has it."""
    drawn = pretraining.repeated(stream.boundary, copy=grid.COPY, among=range(256, stream.boundary))
    said = {"text": copying.said_twice(encoded, grid.COPY), "random": drawn}
    return {name: copying.copied(model, rows, grid.SPANS) for name, rows in said.items()}


def recited(model, rows, boundary):
    """How well a run knows the first RECITE_ROWS of the rows that it has read, as `copying.known` has it."""
    tokens = np.stack([rows[number]["input_ids"] for number in range(min(len(rows), grid.RECITE_ROWS))])
    return copying.known(model, tokens.astype(np.int64), grid.SPANS, boundary=boundary)


def mixed(stream, shares, tokens, seed):
    """A token_stream.Stream of so many tokens, of which each of GROUPS gives its share, in an order from the seed.

    Raises:
        ValueError: a group has too little text.
    """
    found = []
    for (name, sources), share in zip(grid.GROUPS.items(), shares, strict=True):
        left = math.ceil(tokens * share)
        for text in texts_of(sources, seed) if left else ():
            found.append(stream.encode(text)[:left])
            left -= len(found[-1])
            if not left:
                break
        if left:
            raise ValueError(f"The sources {', '.join(sources)} lack {left:,} tokens for a mixture of {name}.")
    order = np.random.default_rng([seed, 4]).permutation(len(found))
    lengths = np.array([len(found[number]) for number in order])
    ids = np.concatenate([np.array(found[number], np.uint16) for number in order])
    return token_stream.Stream(ids, np.cumsum(lengths) - lengths, stream.vocabulary, stream.tokenizer)


def texts_of(sources, seed):
    """The training documents' texts of some sources, in an order drawn from the seed."""
    found = sorted(corpus.documents("train", sources), key=lambda d: stable_number(d.id, f"mixture {seed}"))
    return [document.text for document in found]


def predict(folder):
    """The law of the fitted runs and what it says of `largest`, written before that is begun.

    Raises:
        ValueError: a fitted run is missing, or `largest` was measured already.
    """
    if (folder / "largest.json").exists():
        raise ValueError("`largest` is measured: what is said of it now is no prediction. Remove its result first.")
    points, tried = results(folder, grid.FIT), results(folder, grid.TRIED)
    weights = grid.counted(grid.LARGEST)[0]
    fitted = scaling.fit(*scaling_summary.runs_of(points))
    loss, low, high = fitted.predict(weights, grid.LARGEST_TOKENS)
    most = max(6 * point["weights"] * point["tokens"] for point in points.values())
    rate = scaling_summary.rate_by(scaling_summary.rate_rule(tried), grid.LARGEST, grid.LARGEST_TOKENS)
    return scaling_summary.described(fitted) | {
        "loss": loss, "low": low, "high": high, "weights": weights, "tokens": grid.LARGEST_TOKENS, "runs": len(points),
        "compute": 6 * weights * grid.LARGEST_TOKENS, "most_fitted_compute": most, "rate": rate, "written": _now(),
    }  # fmt: skip


def recovery(folder):
    """How often the law of the fitted runs is found again on runs drawn from it, with noise of ours.

    The noise is that between seeds, or what the law leaves of its runs, if that is more.
    """
    weights, tokens, losses = scaling_summary.runs_of(results(folder, grid.FIT))
    fitted = scaling.fit(weights, tokens, losses, resamples=1)
    seeds = scaling_summary.noise(results(folder, (*grid.FIT, *grid.AGAIN)))
    noise = max(seeds, float(np.sqrt(np.mean(fitted.residuals**2))))
    found = scaling.recovered(fitted.law, weights, tokens, noise, draws=grid.DRAWS)
    return {"noise": noise, "between_seeds": seeds, "draws": grid.DRAWS, "found": found}


def _now():
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
