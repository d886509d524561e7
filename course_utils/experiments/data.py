"""What cleaning does to a model: quality rules and the taking out of copies, at equal tokens, three seeds.

Written down before the run:

    raw-SEED            documents of SOURCES as they lie there, in an order drawn from the seed
    filtered-SEED       the next of the same documents that the rules "web" keep, as many tokens
    copied-SEED         the documents of `raw`, a part of them standing there several times, and canaries in near-copies
    deduplicated-SEED   the same less its near-copies, and further documents of `raw` up to as many tokens

Judge: bits a byte on the first BYTES of held-out test documents, DOCUMENTS of each source at most; differences are
paired by document, their interval is over documents and seeds. For each canary its exposure among OTHERS, and whether
greedy decoding recites it.

`summary` gives, of the points that there are,
    documents   {arm: {"taken", "kept", "tokens"}} of the first seed
    held_out    {source or "all": documents that judge}
    reasons     {"filtered": {rule: times}, "deduplicated": {"exact copy" or "near-copy": times}} of the first seed
    bits        {arm: {source or "all": bits a byte}}
    quality     {source or "all": [filtered − raw, low, high]} in bits a byte; below 0 the filter helped
    dedup       {source or "all": [deduplicated − copied, low, high]}
    canaries    {"copied" or "deduplicated": {"COPIES": {"exposures", "mean", "low", "high", "recited", "of"}}}
"""

import json

import numpy as np

from course_utils import runtime
from course_utils.data.splits import stable_number
from course_utils.engine import loop, stages
from course_utils.engine.recipe import TrainingRecipe
from course_utils.evaluation import comparison, memorised, pretraining
from course_utils.experiments.sft import peak_mb
from course_utils.models.transformer import TransformerConfig
from course_utils.text import canaries, corpus, near_duplicates, token_stream, tokenization, training_sets
from course_utils.training import pretrain, sft

SEEDS, ARMS = (0, 1, 2), ("raw", "filtered", "copied", "deduplicated")
SOURCES = ("news", "web-pages", "wiki-summaries", "reviews", "manual", "code", "speeches")
STEPS, BATCH, LENGTH, RATE, WARMUP, VOCABULARY = 320, 8, 256, 3e-3, 40, 512
WIDTH, LAYERS, HEADS, KEY_VALUE_HEADS, HEAD_WIDTH, MLP_WIDTH = 128, 4, 4, 2, 32, 256
TOKENS = STEPS * BATCH * LENGTH
LEARNED_FROM = 400  # documents that the merges are learned from
EACH, COPIES = 3, canaries.COPIES
DOCUMENTS, BYTES = 20, 1500
OTHERS = memorised.OTHERS
SETTING = {
    "seeds": SEEDS, "arms": ARMS, "sources": SOURCES, "characters": training_sets.CHARACTERS, "tokens": TOKENS,
    "steps": STEPS, "batch_size": BATCH, "length": LENGTH, "learning_rate": RATE, "warmup_steps": WARMUP,
    "vocabulary": VOCABULARY, "width": WIDTH, "layers": LAYERS, "heads": HEADS, "key_value_heads": KEY_VALUE_HEADS,
    "head_width": HEAD_WIDTH, "mlp_width": MLP_WIDTH, "repeated": training_sets.REPEATED,
    "times": training_sets.TIMES, "copies": COPIES, "canaries_each": EACH, "documents": DOCUMENTS,
    "document_bytes": BYTES, "others": OTHERS, "threshold": near_duplicates.THRESHOLD,
}  # fmt: skip
POINTS = tuple(f"{arm}-{seed}" for seed in SEEDS for arm in ARMS)


def measure(point, run, folder):
    """One point, as `summary` reads it.

    Args:
        point: one of POINTS.
        run: the runtime's decisions.
        folder: where its training run lives; one that was killed goes on there.

    Raises:
        ValueError: the corpus has too little text for as many tokens.
    """
    arm, _, seed = point.partition("-")
    seed = int(seed)
    pool = documents()
    tokenizer = tokenizer_of(pool)
    training = training_set(arm, pool, seed, lambda text: len(tokenizer.encode(text)) + 1)
    stream = stream_of(training.texts, tokenizer)
    model, known = learned(stream, seed, run, folder)
    known |= {"taken": training.taken, "kept": training.kept, "reasons": dict(training.reasons.most_common())}
    known |= judged(model, stream)
    if arm in ("copied", "deduplicated"):
        known["canaries"] = [found(model, stream, canary) for canary in canaries.make(seed, EACH, COPIES)]
    return known


def documents():
    """The corpus.Document of the training split as they lie in their packages."""
    return [document for document in corpus.raw(SOURCES, "train") if document.text.strip()]


def in_order(pool, seed):
    """Documents in an order drawn from a seed."""
    return sorted(pool, key=lambda document: stable_number(document.id, f"data {seed}"))


def tokenizer_of(pool):
    """The tokenization.BytePairs of all points, learned from LEARNED_FROM documents, the same for every seed."""
    some = [training_sets.cut(document.text) for document in in_order(pool, "merges")[:LEARNED_FROM]]
    return tokenization.BytePairs(tokenization.library_train(some, VOCABULARY - 1))


def training_set(arm, pool, seed, count):
    """The training_sets.TrainingSet of an arm.

    Args:
        arm: one of ARMS.
        pool: as `documents` gives it.
        count: text → how many tokens it costs.
    """
    pool, wanted = in_order(pool, seed), training_sets.Measure(TOKENS, count)
    texts = [document.text for document in pool]
    if arm in ("raw", "filtered"):
        return getattr(training_sets, arm)(texts, wanted)
    carriers = [document.text for document in pool if document.source == "news"]
    planted = canaries.make(seed, EACH, COPIES)
    copied, further = training_sets.with_copies(texts, carriers, planted, wanted, seed)
    return copied if arm == "copied" else training_sets.deduplicated(copied, further, wanted)


def stream_of(texts, tokenizer):
    """The token_stream.Stream of texts in memory."""
    encoded = [[VOCABULARY - 1, *tokenizer.encode(text)] for text in texts]
    lengths = np.array([len(ids) for ids in encoded], np.int64)
    tokens = np.concatenate([np.array(ids, np.uint16) for ids in encoded])
    return token_stream.Stream(tokens, np.cumsum(lengths) - lengths, VOCABULARY, tokenizer)


def config():
    """The TransformerConfig of all points."""
    return TransformerConfig(
        vocabulary=VOCABULARY, width=WIDTH, layers=LAYERS, heads=HEADS, key_value_heads=KEY_VALUE_HEADS,
        head_width=HEAD_WIDTH, mlp_width=MLP_WIDTH, window=LENGTH, context=2 * LENGTH,
    )  # fmt: skip


def job_of(stream, seed):
    """The sft.Job that reads TOKENS tokens of a stream, each once."""
    recipe = TrainingRecipe(
        method="full", steps=STEPS, batch_size=BATCH, learning_rate=RATE, micro_batch=BATCH, max_length=LENGTH,
        warmup_steps=WARMUP, weight_decay=pretrain.WEIGHT_DECAY, betas=pretrain.BETAS, save_every=60, seed=seed,
    )  # fmt: skip
    device = runtime.current().device
    rows = token_stream.Rows(stream, LENGTH, STEPS * BATCH)
    collate = token_stream.RowCollator(stream.boundary)
    return sft.Job(recipe, lambda: pretrain.build(config(), seed=seed, device=device), rows, collate, stream)


def learned(stream, seed, run, folder):
    """(Transformer, what is known of its training)."""
    job = job_of(stream, seed)
    module = stages.seeded(job.build, seed)
    precision = pretrain.precision(job.recipe, run)
    losses = loop.train(module, job.rows, job.collate, job.recipe, folder, run=precision).losses
    seconds = sum(json.loads(line)["seconds"] for line in (folder / "timings.jsonl").read_bytes().splitlines())
    return module.eval().model, {
        "seed": seed, "tokens": TOKENS, "weights": sum(weight.numel() for weight in module.parameters()),
        "losses": [round(loss, 4) for loss in losses], "seconds": round(seconds, 1), "peak_mb": peak_mb(),
    }  # fmt: skip


def held_out():
    """The pretraining.HeldOut documents that judge every point."""
    source = lambda: corpus.documents("test", SOURCES)  # noqa: E731
    return pretraining.held_out("test", documents=DOCUMENTS, size=BYTES, source=source)


def judged(model, stream):
    """The bits of each held-out document, its bytes and its id."""
    held = held_out()
    bits = pretraining.document_bits(model, [stream.encode(text) for text in held.texts], length=LENGTH)
    return {"ids": held.ids, "bytes": held.bytes, "bits": [round(cost, 1) for cost in bits]}


def found(model, stream, canary):
    """How often a canary was planted, its rank and exposure, and whether it is recited."""
    rank, bits = memorised.exposure(model, stream, canary, OTHERS)
    recited = memorised.recites(model, stream, canary)
    return {"copies": canary.copies, "rank": rank, "exposure": round(bits, 3), "recited": recited}


def summary(points):
    """What the notebook shows of the points that there are; see the module's docstring."""
    arms = {arm: [points[f"{arm}-{seed}"] for seed in SEEDS if f"{arm}-{seed}" in points] for arm in ARMS}
    arms = {arm: of_seeds for arm, of_seeds in arms.items() if of_seeds}
    firsts = {arm: of_seeds[0] for arm, of_seeds in arms.items()}
    judges = next(iter(points.values()), None)
    return {
        "held_out": {source: len(of) for source, of in rates(judges).items()} if judges else {},
        "documents": {arm: {key: first[key] for key in ("taken", "kept", "tokens")} for arm, first in firsts.items()},
        "reasons": {arm: firsts[arm]["reasons"] for arm in ("filtered", "deduplicated") if arm in firsts},
        "bits": {arm: bits_of(of_seeds) for arm, of_seeds in arms.items()},
        "quality": differences(points, "filtered", "raw"), "dedup": differences(points, "deduplicated", "copied"),
        "canaries": {arm: exposures(arms[arm]) for arm in ("copied", "deduplicated") if arm in arms},
    }  # fmt: skip


def rates(point):
    """{source or "all": bits a byte of each of its held-out documents}."""
    every = {"all": [bits / size for bits, size in zip(point["bits"], point["bytes"], strict=True)]}
    for name, rate in zip(point["ids"], every["all"], strict=True):
        every.setdefault(name.partition("/")[0], []).append(rate)
    return every


def bits_of(of_seeds):
    """{source or "all": mean bits a byte} over seeds and documents."""
    every = [rates(point) for point in of_seeds]
    return {source: round(float(np.mean([one[source] for one in every])), 4) for source in every[0]}


def differences(points, ours, baseline):
    """{source or "all": [ours − baseline, low, high]} over the seeds that both have."""
    pairs = [(points.get(f"{ours}-{seed}"), points.get(f"{baseline}-{seed}")) for seed in SEEDS]
    pairs = [(rates(one), rates(other)) for one, other in pairs if one and other]
    result = {}
    for source in pairs[0][0] if pairs else ():
        one, other = ([side[source] for side in sides] for sides in zip(*pairs, strict=True))
        if len(one[0]) > 1:
            estimate = comparison.paired_difference(one, other)
            result[source] = [round(number, 4) for number in (estimate.mean, *estimate.interval)]
    return result


def exposures(of_seeds):
    """{"COPIES": what is known of all canaries that were planted so often}."""
    result = {}
    for copies in COPIES:
        some = [one for point in of_seeds for one in point["canaries"] if one["copies"] == copies]
        values = [one["exposure"] for one in some]
        estimate = comparison.mean_interval(values, over="items")
        result[str(copies)] = {
            "exposures": values, "mean": round(estimate.mean, 3), "low": round(estimate.interval[0], 3),
            "high": round(estimate.interval[1], 3), "recited": sum(one["recited"] for one in some), "of": len(some),
        }  # fmt: skip
    return result
