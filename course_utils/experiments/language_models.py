"""How many bits does each kind of language model need, and how many tasks does one of them do?

Written down before the run:

    context        the same beginnings of held-out documents by xz, by counting (modified Kneser-Ney of order 1 to 5, on
                   the very tokens that the transformer of notebook 03 reads in its long run) and by Gemma; that
                   transformer's own bits stand in the record `pretrain`, document by document, in the same order
    tasks-TASK     one of six tasks: Gemma with no and with eight examples, and a specialist on the same eight rows and
                   on more of them, up to all
    random         the same six tasks asked of a Gemma whose weights are drawn at random, and never trained

Judge: bits a byte, paired by document; the share of 200 right answers, three draws of examples, calibrated on the same
unlabelled texts for everybody. A task where the model loses stays in.
"""

import math
import time
from itertools import pairwise

import torch

from course_utils.data import many_tasks as tasks
from course_utils.evaluation import comparison, many_tasks, next_token, pretraining
from course_utils.experiments import pretrain
from course_utils.experiments.in_context import bits
from course_utils.models import ngram
from course_utils.models.base import load_base
from course_utils.text import token_stream
from course_utils.training import pretrain as stream_of

SHOTS, DRAWS, ROWS, ORDERS = 8, 3, (8, 16, 32, 64, 128, 256, 512, 1024, 2048), (1, 2, 3, 4, 5)
KNOWN = 8_000_000  # characters of training text that xz may look back on: its reach is 64 MiB, its speed 1 MB/s
SETTING = {
    "tasks": tasks.NAMES, "shots": SHOTS, "draws": DRAWS, "rows": ROWS, "test": tasks.TEST,
    "unlabelled": tasks.UNLABELLED, "orders": ORDERS, "known": KNOWN,
    "documents": pretrain.DOCUMENTS, "document_bytes": pretrain.DOCUMENT_BYTES,
}  # fmt: skip
POINTS = ("context", *(f"tasks-{name}" for name in tasks.NAMES), "random")


def measure(point, run, folder):
    """One point, as `summary` reads it.

    Args:
        point: one of POINTS.
        run: the runtime's decisions.
        folder: as for every experiment; only its runs folder is used, for the stream of tokens.
    """
    start = time.perf_counter()
    if point == "context":
        found = context()
    elif point == "random":
        found = of_random_weights(*load_base(), seed=run.seed)
    else:
        found = of_task(tasks.load(point.partition("-")[2]), *load_base())
    return found | {"seconds": round(time.perf_counter() - start, 1)}


def documents():
    """The pretraining.HeldOut documents of `context`: those by which notebook 03 judges."""
    return pretrain.held_out("test")


def context():
    """{"ids", "bytes", "bits": {model: [a document, …]}, "xz": {…}}."""
    held, stream = documents(), stream_of.corpus_stream("cpu", share=1.0)
    recipe = pretrain.long_recipe()
    rows = token_stream.Rows(stream, recipe.max_length, recipe.steps * recipe.batch_size)
    counted = token_stream.tokens_of(rows, range(len(rows)))
    validation = [token for text in pretrain.held_out("validation").texts for token in stream.encode(text)]
    encoded = [stream.encode(text) for text in held.texts]
    found = {
        f"order {model.order}": pretraining.counted_bits(model, encoded)
        for model in by_counting(counted, validation, stream)
    }
    model, tokenizer = load_base()
    found["gemma"] = gemma_bits(model, tokenizer, held.texts)
    known, together = stream.decode(counted[: KNOWN // 2])[:KNOWN], "\n\n".join(held.texts)
    xz = {"alone": next_token.compressed_bits(together), "known": next_token.compressed_bits(together, known=known)}
    return {
        "ids": held.ids, "bytes": held.bytes, "tokens": len(counted), "vocabulary": stream.vocabulary, "xz": xz,
        "xz_bytes": len(together.encode()), "known": len(known),
        "bits": {name: [round(value, 1) for value in of] for name, of in found.items()},
    }  # fmt: skip


def by_counting(tokens, validation, stream):
    """The KneserNey of each of ORDERS on the same counts, its discounts chosen on validation tokens."""
    counts = ngram.count(tokens, order=max(ORDERS), vocabulary=stream.vocabulary, boundary=stream.boundary)
    for order in ORDERS:
        model = ngram.KneserNey(counts, order=order)
        model.discounts, _ = ngram.tune(model.evidence(validation), model.discounts, stream.vocabulary)
        yield model


def gemma_bits(model, tokenizer, texts):
    """The bits that each text costs a model of transformers; <bos> stands before it and costs nothing."""
    encoded = [[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False).input_ids] for text in texts]
    return [next_token.guesses(model, ids)[1].double().sum().item() / math.log(2) for ids in encoded]


def of_task(task, model, tokenizer):
    """What Gemma and the specialist have right in one task; bits are "0110…", one for each item of the test part."""
    ours, rival = many_tasks.prompted(model, tokenizer), many_tasks.specialist
    few = {
        name: {str(shots): lines(many_tasks.over_draws(answerer, task, shots, DRAWS)) for shots in shown}
        for name, answerer, shown in (("gemma", ours, (0, SHOTS)), ("specialist", rival, (SHOTS,)))
    }
    curve = {}
    fewest = min(sum(e.label == label for e in task.train) for label in range(len(task.words)))
    for rows in (*(rows for rows in ROWS if rows <= fewest * len(task.words)), None):
        drawn = [task.train] if rows is None else [task.draw(rows, seed=draw) for draw in range(DRAWS)]
        right = [many_tasks.ask(rival, task, examples)["calibrated"].mean().item() for examples in drawn]
        curve[str(rows or len(task.train))] = round(sum(right) / len(right), 4)
    return few | {"chance": 1 / len(task.words), "words": task.words, "train": len(task.train), "curve": curve}


def lines(found):
    """{"raw", "calibrated": [bits of a draw, …]} of what `over_draws` gave."""
    return {how: [bits(row) for row in rows] for how, rows in found.items()}


def of_random_weights(model, tokenizer, *, seed=0):
    """{task: bits of the right answers} of the same architecture with weights that nobody trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            drawn = torch.randn(weight.shape, generator=generator) * 0.02 if weight.dim() > 1 else torch.zeros(())
            weight.copy_(drawn.expand(weight.shape).to(weight.dtype))
    answerer = many_tasks.prompted(model, tokenizer)
    return {"tasks": {name: lines(many_tasks.over_draws(answerer, tasks.load(name), SHOTS, 1)) for name in tasks.NAMES}}


def matrix(drawn):
    """(S, N) float of lines of bits."""
    return torch.tensor([[float(bit) for bit in row] for row in drawn], dtype=torch.float64)


def summary(points):
    """What the notebook shows of the points that there are.

    Returns:
        {"bits_per_byte": {model: bits a byte}, "steps": {"a over b": (gain in bits a byte, low, high)} over documents,
        "tasks": {task: {"zero", "eight", "specialist": share right, "above_chance", "above_specialist":
        (gain, low, high), "level_at": rows or None}}, "won": tasks with both gains above zero, "random": {task:
        share}}.
    """
    found = {}
    if "context" in points:
        found |= of_context(points["context"])
    named = {name: points[f"tasks-{name}"] for name in tasks.NAMES if f"tasks-{name}" in points}
    if named:
        found["tasks"] = {name: of_answers(point) for name, point in named.items()}
        both = [min(line["above_chance"][1], line["above_specialist"][1]) for line in found["tasks"].values()]
        found["won"] = sum(low > 0 for low in both)
    if "random" in points:
        drawn = points["random"]["tasks"]
        found["random"] = {name: round(matrix(line["calibrated"]).mean().item(), 4) for name, line in drawn.items()}
    return found


def of_context(point, transformer=None):
    """Bits a byte of each model, and by how many each needs fewer than the one before it.

    Args:
        point: what `measure` gave for "context".
        transformer: the bits of each document of one more model, which stands between counting and Gemma.
    """
    size = torch.tensor(point["bytes"], dtype=torch.float64)
    given = point["bits"] if transformer is None else point["bits"] | {"transformer": transformer}
    spent = {name: torch.tensor(of, dtype=torch.float64) for name, of in given.items()}
    ladder = [name for name in ("order 1", "order 2", "order 5", "transformer", "gemma") if name in spent]
    steps = {f"{new} over {old}": gain(spent[old], spent[new], size) for old, new in pairwise(ladder)}
    return {"bits_per_byte": {name: (of.sum() / size.sum()).item() for name, of in spent.items()}, "steps": steps}


def of_long_run(point, pretrained):
    """The bits of each document that the long run of `pretrain` needs at its end; None if not recorded for these.

    Args:
        point: of "context". pretrained: {name: point} of that record.
    """
    known = [of for name, of in pretrained.items() if name.startswith("ngram-") and of.get("ids") == point["ids"]]
    if "long" not in pretrained or not known or not pretrained["long"]["evaluations"]:
        return None
    evaluations = pretrained["long"]["evaluations"]
    return evaluations[max(evaluations, key=int)]["bits"]


def gain(old, new, size):
    """[mean, low, high] of the bits a byte that the new model saves, over documents.

    Args:
        old, new: (documents,) bits of each. size: (documents,) bytes.
    """
    old, new, size = (torch.as_tensor(of, dtype=torch.float64) for of in (old, new, size))
    found = comparison.mean_interval((old - new) / size, over="items")
    return [found.mean, *found.interval]


def of_answers(point):
    """One task's line of the summary."""
    eight, rival = (matrix(point[name][str(SHOTS)]["calibrated"]) for name in ("gemma", "specialist"))
    above = {
        "above_chance": many_tasks.above(eight, point["chance"]),
        "above_specialist": many_tasks.above(eight, rival),
    }
    curve = {int(rows): share for rows, share in point["curve"].items()}
    return {
        "zero": matrix(point["gemma"]["0"]["calibrated"]).mean().item(), "eight": eight.mean().item(),
        "specialist": rival.mean().item(), "all_rows": curve[max(curve)], "chance": point["chance"],
        "level_at": many_tasks.level_at(curve, eight.mean().item()),
        **{name: [of.mean, *of.interval] for name, of in above.items()},
    }  # fmt: skip
