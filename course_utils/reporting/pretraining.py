"""What notebook 03 shows of `python -m course_utils run pretrain`: curves, the crossing, induction.

Each function takes the record, or what there is of it: a point that is not recorded yet is said to be so in one line.
"""

from itertools import pairwise

from course_utils.reporting import numbers, plots, reference, tables

GAIN = 0.5  # nats a token that the second copy must be cheaper before it is asked when it became so
EMPTY = {"setting": {}, "summary": {"curve": [], "ngrams": {}, "short": {}, "gaps": {}}, "points": {}}


def load():
    """The record of the long pre-training, or an empty one after a line that says so."""
    try:
        return reference.load("pretrain")
    except FileNotFoundError:
        print("There is no record of the long run yet; python -m course_utils run pretrain makes it.")
        return EMPTY


def missing(record, *names):
    """Say which of these points the record lacks; whether it lacks one."""
    lacking = [name for name in names if name not in record["points"]]
    if lacking:
        print(f"not recorded yet: {', '.join(lacking)}")
    return bool(lacking)


def show_curve(record, live=()):
    """Held-out bits a byte of the long run against the tokens it has read, and the n-grams' on as many.

    Args:
        live: (tokens, bits a byte, bits a byte of the n-gram on as many) of the reader's own run, drawn as two marks
            and named without a number.
    """
    curve, counted = record["summary"]["curve"], record["summary"]["ngrams"]
    if missing(record, "long") or not counted:
        return
    alt = "one falling line each, from points at which held-out documents were read; the table below compares them"
    with plots.axes(
        title="Learning against counting", xlabel="tokens read", ylabel="bits a byte, held-out", alt=alt
    ) as ax:
        read = [point for point in curve if point[0]]
        ax.plot([p[0] for p in read], [p[1] for p in read], "o-", color=plots.OURS, label="transformer")
        ax.plot([int(n) for n in counted], list(counted.values()), "o-", color=plots.BASELINE, label="n-gram")
        if live:
            ax.plot([live[0]], [live[1]], "k*", markersize=16, label="your run")
            ax.plot([live[0]], [live[2]], "kD", label="its n-gram")
        ax.set_xscale("log")


def show_gaps(record):
    """A table: the same tokens read, the same documents; the transformer, the n-gram, who is ahead and by how much."""
    if missing(record, "long"):
        return
    ours = {str(tokens): bits for tokens, bits, *_ in record["summary"]["curve"]}
    step = record["setting"]["batch_size"] * record["setting"]["length"]
    rows = []
    for tokens, (gap, low, high) in record["summary"]["gaps"].items():
        read = str(int(tokens) // step * step)
        ahead = "transformer" if low > 0 else "n-gram" if high < 0 else "not told apart"
        rows.append(
            {
                "tokens": f"{int(read):,}", "transformer": f"{ours[read]:.3f}",
                "n-gram": f"{record['summary']['ngrams'][tokens]:.3f}",
                "n-gram − transformer": numbers.recorded(gap, (low, high), signed=True), "ahead": ahead,
            }
        )  # fmt: skip
    if rows:
        tables.show(rows, title="bits a byte")


def crossing(record):
    """Where the recorded transformer's mean gets below the n-gram's for good, by straight lines in log tokens.

    Returns:
        (tokens, last): `last` the most tokens at which both are known; `tokens` the first of the transformer's points
        from which on it is below at each up to `last`, None where there is none. None when nothing can be compared.
    """
    import numpy as np

    counted = {int(tokens): bits for tokens, bits in record["summary"]["ngrams"].items()}
    if not counted:
        return None
    low, high = min(counted) * 0.99, max(counted) * 1.01  # a step holds 2,048 tokens: 250,000 are met within one
    curve = [(tokens, bits) for tokens, bits, *_ in record["summary"]["curve"] if low <= tokens <= high]
    if not curve:
        return None
    places, found = np.log(list(counted)), None
    for tokens, bits in curve:
        below = bits < np.interp(np.log(tokens), places, list(counted.values()))
        found = (found or tokens) if below else None
    return found, curve[-1][0]


def show_crossing(record):
    """Whether and where the recorded curves cross, and which of the two gained more by reading on, in sentences."""
    met = None if missing(record, "long") else crossing(record)
    if met is None:
        return
    found, last = met
    if found is None:
        print(f"At {last:,} tokens the n-gram is ahead: up to there the curves do not cross, or not for good.")
    else:
        print(f"From about {found:,} tokens on the transformer is ahead of the n-gram, as far as both are known.")
    ours, theirs = _by_tokens(record)
    both = [tokens for tokens in theirs if tokens in ours]
    if len(both) > 1:
        first, last = both[0], both[-1]
        print(
            f"From {first:,} to {last:,} tokens the transformer saves {ours[first] - ours[last]:.2f} bits a byte, "
            f"the n-gram {theirs[first] - theirs[last]:.2f}."
        )


def _by_tokens(record):
    """({tokens: bits a byte} of the transformer, the same of the n-gram), by what the transformer had read."""
    step = record["setting"]["batch_size"] * record["setting"]["length"]
    ours = {tokens: bits for tokens, bits, *_ in record["summary"]["curve"]}
    theirs = {int(tokens) // step * step: bits for tokens, bits in record["summary"]["ngrams"].items()}
    return ours, theirs


def show_sources(record):
    """n-gram − transformer in bits a byte by source of the documents, where both have read most."""
    gaps = record["summary"]["gaps"]
    if missing(record, "long") or not gaps:
        return
    tokens, step = list(gaps)[-1], record["setting"]["batch_size"] * record["setting"]["length"]
    counted = record["points"][f"ngram-{tokens}"]
    ours = record["points"]["long"]["evaluations"][str(int(tokens) // step)]["bits"]
    by_source = {}
    for id, theirs, bits, size in zip(counted["ids"], counted["bits"], ours, counted["bytes"], strict=True):
        by_source.setdefault(id.split("/")[0], []).append((theirs - bits) / size)
    means = sorted((sum(values) / len(values), name, len(values)) for name, values in by_source.items())
    ahead = sum(value > 0 for values in by_source.values() for value in values)
    print(f"the transformer is ahead on {ahead} of {len(ours)} documents")
    print(f"n-gram − transformer after {int(tokens) // step * step:,} tokens, bits a byte, by source:")
    for mean, name, count in (means[0], means[-1]):
        extreme = "best for the n-gram" if mean == means[0][0] else "best for the transformer"
        documents = f"{count} documents" if count > 1 else "1 document"
        print(f"{extreme}: {name}, {mean:+.2f} ({documents})")


def show_samples(record, place=0):
    """What the long run wrote on from one beginning: before its first step, and at tokens that grow fourfold."""
    if missing(record, "long"):
        return
    step = record["setting"]["batch_size"] * record["setting"]["length"]
    every = {0: record["points"]["long"]["start"]}
    every |= {int(number) * step: found for number, found in record["points"]["long"]["evaluations"].items()}
    last = max(every)
    chosen = {0} | {min(every, key=lambda tokens: abs(tokens - last / 4**fold)) for fold in range(4)}
    for tokens in sorted(chosen):
        print(f"{tokens:>10,} tokens: {' '.join(every[tokens]['samples'][place].split())}")


def show_induction(record):
    """The loss on the first and on the second copy of a repeated random sequence, by tokens read."""
    if missing(record, "long"):
        return
    curve = [point for point in record["summary"]["curve"] if point[0]]
    alt = "two lines: as long as they lie on each other, the model does not copy"
    with plots.axes(title="A sequence said twice", xlabel="tokens read", ylabel="nats a token", alt=alt) as ax:
        for place, name, color in ((2, "first copy", plots.BASELINE), (3, "second copy", plots.OURS)):
            ax.plot([p[0] for p in curve], [p[place] for p in curve], "o-", color=color, label=name)
        ax.set_xscale("log")
    first, second = curve[-1][2:4]
    gain = first - second
    print(f"at the end: first copy {first:.2f} nats a token, second {second:.2f}; the second is {gain:+.2f} cheaper")
    if gain < GAIN:
        print(f"A gain below {GAIN} nats is too little to ask when it came: this model has not learned to copy.")
        return
    strides = [(after[2] - after[3] - before[2] + before[3], before[0], after[0]) for before, after in pairwise(curve)]
    most, start, end = max(strides)
    print(f"the largest stride: {most / gain:.0%} of that gain, between {start:,} and {end:,} tokens")


def show_heads(record):
    """The head with the highest induction score at each recorded checkpoint."""
    if missing(record, "heads"):
        return
    setting = record["setting"]
    rows = []
    for step, table in record["points"]["heads"].items():
        if not step.isdigit():  # date, machine, code
            continue
        scores = {(layer, head): score for layer, row in enumerate(table) for head, score in enumerate(row)}
        (layer, head), best = max(scores.items(), key=lambda item: item[1])
        rest = sorted(scores.values())[len(scores) // 2]
        tokens = int(step) * setting["batch_size"] * setting["length"]
        rows.append(
            {"tokens": f"{tokens:,}", "layer": layer, "head": head, "its score": f"{best:.3f}", "median": f"{rest:.3f}"}
        )
    tables.show(rows, title="attention on the token that followed the earlier copy, best head")
    if best >= 0.5:
        print(f"By then head {head} of layer {layer}, counted from 0, looks there more than anywhere else.")
    else:
        print("By then no head spends half of its attention there.")


def show_watched(record):
    """Gradient norm and learning rate of the long run, beside its loss, at a few steps."""
    if missing(record, "long"):
        return
    point, rows = record["points"]["long"], []
    losses, norms, rates = point["losses"], point["gradient_norms"], point["learning_rates"]
    for step in sorted(
        {1, 10, 30, 100, len(losses) // 4, len(losses) // 2, len(losses)} & set(range(1, len(losses) + 1))
    ):
        around = slice(max(0, step - 5), step + 4)
        norm = [value for value in norms[around] if value is not None]
        shown = f"{sum(norm) / len(norm):.2f}" if norm else "not finite"
        loss = sum(losses[around]) / len(losses[around])
        rows.append(
            {"step": step, "loss": f"{loss:.2f}", "gradient norm": shown, "learning rate": _rate(rates[step - 1])}
        )
    tables.show(rows, title="means of the steps up to four before and behind; the rate is the step's own")


def _rate(rate):
    """The record keeps seven places of a rate."""
    return f"{rate:.1e}" if rate else "below 5e-08"


def show_position(record):
    """The loss by place in a row: what a longer context is worth to the recorded model."""
    if missing(record, "long") or not record["points"]["long"]["by_position"]:
        return
    losses = record["points"]["long"]["by_position"]
    print(f"by place in a row, {record['points']['long']['position_documents']} documents:")
    for first, last in ((0, 1), (1, 4), (4, 16), (16, 64), (64, len(losses))):
        part = losses[first:last]
        if part:
            print(f"tokens {first + 2:>3} to {first + 1 + len(part):>3}: {sum(part) / len(part):.2f} nats a token")
