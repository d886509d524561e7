"""A transformer of three million weights from nothing, against counting on the very same tokens.

Written down before the run:

    long            LONG_TOKENS tokens of the corpus' training split, each row read once, one thread; held-out bits a
                    byte, the loss on a repeated random sequence and samples at STEPS; weights at four of them
    ngram-TOKENS    modified Kneser-Ney on exactly the rows that `long` has read by then, order and discounts chosen on
                    validation documents: what a transformer has to beat
    short-SEED      the live run of notebook 03, three seeds
    across          seed 0 again, attention across the borders of documents
    hot, usual      HOT_RATE without warm-up, and with
    leak            a mask that sees the token to be predicted: by what it says itself, and read honestly
    heads           the induction score of each head, at the four checkpoints of `long`
    tasks-N         the six tasks of `language_models`, asked of the N-th checkpoint of `long`

The recipe's rate is what `run rates` found best on validation documents. RATE is not: what is best for 400 steps is too
high for 2,929. Three long runs were begun, and no test document was asked. On rows not yet read the training loss was,
at 2e-3, 8e-3 and 3.2e-2, 6.02, 5.95 and 5.72 in steps 101 to 200; 4.91, 4.91 and 4.88 in steps 501 to 530; and, without
the second, 4.39 and 4.62 in steps 901 to 1,100. The first one was gone on with.
Judge: bits a byte on the first DOCUMENT_BYTES of held-out test documents, DOCUMENTS of a source at most; differences
are paired by document, their interval is over documents.
"""

import json
import math
import time
from dataclasses import replace

import torch
from safetensors.torch import load_file, save_file

from course_utils import recipes
from course_utils.engine import loop, stages
from course_utils.evaluation import comparison, pretraining
from course_utils.experiments.sft import peak_mb
from course_utils.models import ngram, transformer, transformer_weights
from course_utils.text import token_stream
from course_utils.training import pretrain

SIZE = recipes.of("03", "cpu")
SEEDS, LONG_TOKENS, BATCH, RATE, WARMUP = (0, 1, 2), 6_000_000, 8, 2e-3, 100
COUNTED = (250_000, 1_000_000, 3_000_000, 6_000_000)  # tokens of the n-gram models, and of the four checkpoints
A_STEP = BATCH * SIZE.length
LONG_STEPS = LONG_TOKENS // A_STEP
CHECKPOINTS = tuple(tokens // A_STEP for tokens in COUNTED)
EVALUATIONS = 20
HOT_RATE = 0.96
DOCUMENTS, DOCUMENT_BYTES, ORDERS = SIZE.documents, SIZE.document_bytes, (1, 2, 3, 4, 5)
BEGINNINGS = ("The president of the United States", "The population of the country", "def main(")
SETTING = {
    "seeds": SEEDS, "tokens": LONG_TOKENS, "batch_size": BATCH, "learning_rate": RATE, "warmup_steps": WARMUP,
    "length": SIZE.length, "vocabulary": SIZE.vocabulary, "width": SIZE.width, "layers": SIZE.layers,
    "heads": SIZE.heads, "key_value_heads": SIZE.key_value_heads, "head_width": SIZE.head_width,
    "mlp_width": SIZE.mlp_width, "counted": COUNTED, "documents": DOCUMENTS, "document_bytes": DOCUMENT_BYTES,
    "orders": ORDERS, "share": SIZE.share, "short_steps": SIZE.steps, "short_batch": SIZE.batch_size,
    "short_rate": SIZE.learning_rate, "hot_rate": HOT_RATE, "beginnings": BEGINNINGS,
}  # fmt: skip
SHORT = {
    **{f"short-{seed}": {"seed": seed} for seed in SEEDS}, "across": {"across": True}, "leak": {"leak": True},
    "hot": {"learning_rate": HOT_RATE, "warmup_steps": 0}, "usual": {"learning_rate": HOT_RATE},
}  # fmt: skip
TASKS = tuple(f"tasks-{number}" for number in range(len(CHECKPOINTS)))
POINTS = ("short-0", *[f"ngram-{tokens}" for tokens in COUNTED], "long", "heads", *TASKS, *[*SHORT][1:])


def measure(point, run, folder):
    """One point, as `summary` reads it.

    Args:
        point: one of POINTS.
        run: the runtime's decisions.
        folder: where its training run and the weights of `long` live; one that was killed goes on there.

    Raises:
        ValueError: `heads` and `tasks` need weights of `long` that are not there.
    """
    if point in SHORT:
        return short(run, folder, **SHORT[point])
    stream = pretrain.corpus_stream("cpu", share=1.0)
    name, _, tokens = point.partition("-")
    if name == "ngram":
        return counting(stream, int(tokens))
    if name == "heads":
        return {str(step): _rounded(_heads(long_model(folder.parent / "long", step), stream)) for step in CHECKPOINTS}
    if name == "tasks":
        step = CHECKPOINTS[int(tokens)]
        found = pretraining.of_tasks(long_model(folder.parent / "long", step), stream, context=SIZE.length)
        return {"tokens": step * A_STEP, "tasks": found}
    return long(run, folder, stream)


def long_recipe(seed=0):
    """The TrainingRecipe of `long`."""
    return replace(
        pretrain.recipe_of("cpu", seed=seed, steps=LONG_STEPS), batch_size=BATCH, learning_rate=RATE,
        warmup_steps=WARMUP, save_every=30, evaluate_at=log_steps(LONG_STEPS, EVALUATIONS, CHECKPOINTS),
    )  # fmt: skip


def log_steps(last, count, also=()):
    """Steps from the second to the last, evenly spread on a logarithmic scale, and some besides; sorted."""
    spread = {round(math.exp(place / (count - 1) * math.log(last / 2)) * 2) for place in range(count)}
    return tuple(sorted({min(last, step) for step in spread} | {step for step in also if 0 < step <= last}))


def long(run, folder, stream):
    """The long run: its curve, what it writes, and the weights at four steps as files in the folder."""
    recipe = long_recipe()
    job = pretrain.job("cpu", stream=stream, recipe=recipe, rows=recipe.steps * recipe.batch_size)
    exam = Exam(stream)
    start = exam(stages.seeded(job.build, recipe.seed).eval())

    def watch(module):
        step = len((folder / "metrics.jsonl").read_bytes().splitlines()) + 1  # its own line is written afterwards
        if step in CHECKPOINTS:
            weights = {name: weight.detach().cpu() for name, weight in module.model.named_parameters()}
            save_file(weights, folder / f"weights-{step}.safetensors")
        return exam(module)

    module, known = learned(job, run, folder, watch)
    rows = [ids[: SIZE.length] for ids in exam.encoded if len(ids) >= SIZE.length]
    position = pretraining.loss_by_position(module.model, torch.tensor(rows)) if rows else torch.zeros(0)
    return known | {"start": start, "by_position": _rounded(position), "position_documents": len(rows)}


def short(run, folder, *, seed=0, across=False, leak=False, **changed):
    """A short run, or one that goes wrong on purpose; the live run's documents, a share of the corpus."""
    stream = pretrain.corpus_stream("cpu")
    recipe = pretrain.recipe_of("cpu", seed=seed)
    recipe = replace(recipe, **changed, evaluate_at=(recipe.steps,))
    kind = pretrain.SeesAhead if leak else transformer.Transformer
    job = pretrain.job(
        "cpu", stream=stream, recipe=recipe, rows=recipe.steps * recipe.batch_size, across=across, kind=kind
    )
    exam = Exam(stream)
    try:
        module, known = learned(job, run, folder, exam)
    except loop.TrainingStopped as stopped:  # a rate too high may end in no number: that is a result, too
        return {"stopped": str(stopped), "learning_rate": recipe.learning_rate, "seed": seed}
    if leak:
        honest = transformer.Transformer(module.model.config)
        transformer_weights.place(honest, dict(module.model.named_parameters()))
        known["honest"] = exam(pretrain.PretrainLoss(honest))
    return known


class Exam:
    """Loss module → what is known of its model: bits of each held-out document, induction, samples."""

    def __init__(self, stream, split="test"):
        self.stream, self.documents = stream, held_out(split)
        self.encoded = [stream.encode(text) for text in self.documents.texts]

    @torch.no_grad()
    def __call__(self, module):
        model, stream = module.model, self.stream
        bits = pretraining.document_bits(model, self.encoded, length=SIZE.length)
        first, second = pretraining.induction(model, repeated(stream))
        return {
            "bits": _rounded(bits, 1), "bits_per_byte": sum(bits) / sum(self.documents.bytes), "first_copy": first,
            "second_copy": second, "samples": [pretraining.write(model, stream, text) for text in BEGINNINGS],
        }  # fmt: skip


def held_out(split):
    """The pretraining.HeldOut documents that judge every point."""
    return pretraining.held_out(split, documents=DOCUMENTS, size=DOCUMENT_BYTES)


def repeated(stream):
    """The repeated random sequences of this stream's vocabulary."""
    among = range(min(256, stream.boundary - 2), min(pretraining.FREQUENT.stop, stream.boundary))
    return pretraining.repeated(stream.boundary, among=among)


def learned(job, run, folder, watch):
    """(loss module, what is known of its training) of a job."""
    recipe = job.recipe
    module = stages.seeded(job.build, recipe.seed)
    result = loop.train(
        module, job.rows, job.collate, recipe, folder, run=pretrain.precision(recipe, run), evaluate=watch
    )
    timings = [json.loads(line)["seconds"] for line in (folder / "timings.jsonl").read_bytes().splitlines()]
    unique, again = token_stream.counted(recipe.steps, recipe, len(job.rows))
    evaluated = {line["step"]: line["evaluate"] for line in result.metrics if "evaluate" in line}
    plain = sorted(timings)[: max(1, len(timings) * 9 // 10)]  # the slowest are those that also evaluated or saved
    return module.eval(), {
        "seed": recipe.seed, "steps": recipe.steps, "learning_rate": recipe.learning_rate, "unique_tokens": unique,
        "repeated_tokens": again, "seconds": round(sum(timings), 1), "peak_mb": peak_mb(),
        "tokens_per_second": round(recipe.batch_size * recipe.max_length * len(plain) / sum(plain)),
        "losses": _rounded(result.losses, 4),
        "gradient_norms": _rounded([line["gradient_norm"] or math.inf for line in result.metrics], 4, None),
        "learning_rates": [round(line["learning_rate"], 7) for line in result.metrics],
        "evaluations": {str(step): found for step, found in evaluated.items()},
    }  # fmt: skip


def long_model(folder, step):
    """The Transformer of `long` after a step, from its file.

    Raises:
        ValueError: no such file; the point `long` makes it.
    """
    path = folder / f"weights-{step}.safetensors"
    if not path.is_file():
        raise ValueError(f"{path} is missing: the point `long` writes it. Measure that one first, on this machine.")
    model = transformer.Transformer(pretrain.config_of(SIZE))
    transformer_weights.place(model, load_file(path))
    return model.eval()


def counting(stream, tokens):
    """Modified Kneser-Ney on the rows that `long` has read after so many tokens; bits of each held-out document."""
    started, recipe = time.perf_counter(), long_recipe()
    rows = token_stream.Rows(stream, recipe.max_length, recipe.steps * recipe.batch_size)
    read = token_stream.read_by(min(tokens // A_STEP, recipe.steps), recipe, len(rows))
    chosen_on = [token for text in held_out("validation").texts for token in stream.encode(text)]
    model, losses = ngram.fit(
        token_stream.tokens_of(rows, read), chosen_on, vocabulary=stream.vocabulary, orders=ORDERS,
        boundary=stream.boundary,
    )  # fmt: skip
    documents = held_out("test")
    bits = pretraining.counted_bits(model, [stream.encode(text) for text in documents.texts])
    return {
        "tokens": len(read) * recipe.max_length, "order": model.order, "discounts": _rounded(model.discounts),
        "validation": {str(order): round(loss, 4) for order, loss in losses.items()}, "bits": _rounded(bits, 1),
        "bits_per_byte": sum(bits) / sum(documents.bytes), "bytes": documents.bytes, "ids": documents.ids,
        "seconds": round(time.perf_counter() - started, 1), "peak_mb": peak_mb(),
    }  # fmt: skip


def summary(points):
    """What the notebook shows of the points that there are.

    Returns:
        {"curve": [(tokens, bits a byte, first copy, second copy)] of `long`, "ngrams": {tokens: bits a byte},
        "short": {name: bits a byte}, "gaps": {tokens: (n-gram − transformer in bits a byte, low, high)}}.
    """
    curve = []
    if "long" in points:
        every = {"0": points["long"]["start"], **points["long"]["evaluations"]}
        curve = [
            [int(step) * A_STEP, *(round(found[key], 4) for key in ("bits_per_byte", "first_copy", "second_copy"))]
            for step, found in every.items()
        ]
    counted = {tokens: points[f"ngram-{tokens}"] for tokens in COUNTED if f"ngram-{tokens}" in points}
    return {
        "curve": curve, "ngrams": {str(tokens): point["bits_per_byte"] for tokens, point in counted.items()},
        "short": ends_of(points, SHORT), "gaps": gaps(points, counted),
    }  # fmt: skip


def ends_of(points, names):
    """{name: bits a byte at the end} of the points that came to one."""
    done = {name: points[name] for name in names if "evaluations" in points.get(name, {})}
    return {name: list(point["evaluations"].values())[-1]["bits_per_byte"] for name, point in done.items()}


def gaps(points, counted):
    """{tokens: (by how many bits a byte the n-gram is worse, low, high)} where `long` was judged at as many tokens."""
    found = {}
    for tokens, point in counted.items():
        ours = points.get("long", {}).get("evaluations", {}).get(str(tokens // A_STEP))
        if ours:
            pairs = zip(point["bits"], ours["bits"], point["bytes"], strict=True)
            difference = [(theirs - bits) / size for theirs, bits, size in pairs]
            measured = comparison.mean_interval([difference], over="items")
            found[str(tokens)] = [measured.mean, *measured.interval]
    return found


def _heads(model, stream):
    return pretraining.induction_heads(model, repeated(stream))


def _rounded(values, digits=4, infinite=math.inf):
    """A tensor or list as nested lists of rounded floats; what is not finite becomes `infinite`."""
    if isinstance(values, torch.Tensor):
        values = values.tolist()
    if isinstance(values, list):
        return [_rounded(value, digits, infinite) for value in values]
    return round(values, digits) if math.isfinite(values) else infinite
