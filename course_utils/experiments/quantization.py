"""What each format costs, on 20,400 tokens, and how fast each engine is: the long form of notebook 15.

Written down before the run: the first 256 tokens of 80 web documents, <bos> first; blocks of 64 with one float32 scale
for NF4, FP4 and symmetric int4, so that all three have 4.5 bits a weight; GPTQ and round-to-nearest with groups of 128
and one float16 scale, 4.125 bits; GPTQ is calibrated on 48 documents that are read for no loss.

    blocks   the linear layers of the blocks, the head at 16 bits: what libraries round
    groups   the same layers in whole numbers that spend their bits on smaller groups, float16 scales and zero points
    model    the head too, which is also the embedding
    gptq     the blocks, rounded to nearest and by GPTQ
    scratch  the blocks of a small model that our own loop trains on bytes, so that no format has rounded it before
    sources  the layers that once had one format in the model's file, and no others; a quarter of the documents
    engines, llama.cpp  bytes, loss and speed of every library; GGUF files of the same weights in one engine
"""

import functools
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

from course_utils.engine import stages
from course_utils.evaluation import comparison, engines, quantized
from course_utils.models.base import load_base
from course_utils.quantization import backends, gguf_writer, gptq, integer, nf4
from course_utils.training import sft, small_model

POINTS = ("blocks", "groups", "model", "gptq", "scratch", "sources", "engines", "llama.cpp")
SCRATCH_PAGES = 60  # of the web documents, kept from the small model's training to judge it by
SETTING = {
    "documents": 80, "length": 256, "some_documents": 20, "calibration": 48, "block": 64, "group": 128, "decoded": 48,
    "read": 512,
}  # fmt: skip


def tables(block):
    """{name: weight → QuantizedWeight} of three formats with the same bits a weight."""
    return {name: functools.partial(nf4.quantize, table=name, block=block) for name in nf4.TABLES}


def nearest(group, *, zero_point=False):
    """weight → QuantizedWeight, rounded to nearest in the format that GPTQ writes."""
    return functools.partial(
        integer.quantize, bits=4, granularity="group", group=group, scale_dtype=torch.float16, zero_point=zero_point
    )  # fmt: skip


def grouped(block):
    """{name: weight → QuantizedWeight} of rivals: half a block a scale has NF4's bits, zero points about as many."""
    return {
        "int4, half": nearest(block // 2),
        "int4, zero": nearest(block, zero_point=True),
        "int4, zero, half": nearest(block // 2, zero_point=True),
    }


def measure(point, run, folder):
    """One point: {"formats": {name: {"bits", "losses": a mean for each document}}}; of "sources" {"sources": {format:
    the same}}; of the engines {"engines": {name: line of the table}}.
    """
    if point == "scratch":
        return {"formats": _scratch(run)}
    model, tokenizer = load_base()
    rows = quantized.web_text(tokenizer, documents=SETTING["documents"], length=SETTING["length"])
    some = rows[: SETTING["some_documents"]]
    if point == "sources":
        source = quantized.source_file()
        exact = quantized.token_losses(model, some)
        groups = quantized.layers_by_source(source, model)
        read = functools.partial(_read, model, tables(SETTING["block"]), some, exact, head=True)
        return {"sources": {form: read(names=names) for form, names in groups.items()}}
    if point == "engines":
        speeds = {"decoded": SETTING["decoded"], "read": SETTING["read"]}
        lines = {name: asdict(engines.in_transformers(name, model, some, **speeds)) for name in backends.BACKENDS}
        return {"engines": lines}
    if point == "llama.cpp":
        return {"engines": _files(model, some, run)}
    formats = grouped(SETTING["block"]) if point == "groups" else tables(SETTING["block"])
    if point == "gptq":
        calibration = quantized.web_text(
            tokenizer, documents=SETTING["calibration"], length=SETTING["length"], skip=SETTING["documents"]
        )
        formats = {
            "nearest": nearest(SETTING["group"]),
            "gptq": gptq.quantize_blocks(model, calibration, group=SETTING["group"]),
        }
    return {"formats": _read(model, formats, rows, quantized.token_losses(model, rows), head=point == "model")}


def _read(model, formats, rows, exact, **choice):
    found = {"none": (16.0, exact)} | quantized.compare(model, formats, rows, **choice)
    return {name: {"bits": bits, "losses": losses.mean(1).tolist()} for name, (bits, losses) in found.items()}


def _scratch(run):
    pages = quantized.web_pages()
    job = small_model.job(pages[:-SCRATCH_PAGES])
    how = sft.precision(job.recipe, run)
    stage = stages.run_stage("small-model", job.build, job.rows, job.collate, job.recipe, run=how, progress=False)
    rows = torch.tensor([row for page in pages[-SCRATCH_PAGES:] for row in small_model.encode([page])[:1]])
    model = stage.module.model
    return _read(model, tables(SETTING["block"]), rows, quantized.token_losses(model, rows))


def _files(model, rows, run):
    source, lines = quantized.source_file(), {}
    speeds = {"threads": run.threads, "decoded": SETTING["decoded"], "read": SETTING["read"]}
    with tempfile.TemporaryDirectory() as folder:
        for form in gguf_writer.FORMATS:
            path = gguf_writer.write(source, Path(folder) / f"{form}.gguf", form)
            lines[form] = asdict(engines.in_llama_cpp(path, model, rows, **speeds))
            path.unlink()
    return lines


def summary(points):
    """{point: {name: (mean, low, high) of the loss that a format adds}}, and what NF4 and GPTQ save.

    Args:
        points: {name: what `measure` returned}, those that there are.
    """
    lines = {point: _added(values["formats"]) for point, values in points.items() if "formats" in values}
    if "sources" in points:
        lines["sources"] = {form: _added(values) for form, values in points["sources"]["sources"].items()}
    for point in {"blocks", "groups", "model", "scratch"} & set(lines):
        losses = {name: torch.tensor(values["losses"]) for name, values in points[point]["formats"].items()}
        if point == "groups" and "blocks" in points:
            losses["nf4"] = torch.tensor(points["blocks"]["formats"]["nf4"]["losses"])
        for rival in sorted(set(losses) - {"none", "nf4"}) if "nf4" in losses else ():
            gain = comparison.paired_difference(losses["nf4"], losses[rival], over="items")
            lines[point][f"nf4 − {rival}"] = (gain.mean, *gain.interval)
    if "gptq" in points:
        formats = points["gptq"]["formats"]
        losses = [torch.tensor(formats[name]["losses"])[:, None] for name in ("gptq", "nearest", "none")]
        won = quantized.share_won_back(*losses)
        lines["gptq"]["share won back"] = (won.mean, *won.interval)
    return lines


def _added(values):
    exact, added = torch.tensor(values["none"]["losses"]), {}
    for name, value in values.items():
        if name != "none":
            found = comparison.paired_difference(torch.tensor(value["losses"]), exact, over="items")
            added[name] = (found.mean, *found.interval)
    return added
