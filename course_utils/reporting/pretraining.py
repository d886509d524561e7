"""What notebook 03 shows of `python -m course_utils run pretrain`: curves, the crossing, induction, what went wrong.

Each function takes the record, or what there is of it: a point that is not recorded yet is said to be so in one line.
"""

from itertools import pairwise

from course_utils.reporting import numbers, plots, reference, tables

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
        live: (tokens, bits a byte) of the reader's own run, drawn as a mark and named without a number.
    """
    curve, counted = record["summary"]["curve"], record["summary"]["ngrams"]
    if missing(record, "long") or not counted:
        return
    alt = "the transformer's line falls from far above; the n-gram's falls more slowly and is flatter"
    with plots.axes(
        title="Learning against counting", xlabel="tokens read", ylabel="bits a byte, held-out", alt=alt
    ) as ax:
        read = [point for point in curve if point[0]]
        ax.plot([p[0] for p in read], [p[1] for p in read], "o-", color=plots.OURS, label="transformer")
        ax.plot([int(n) for n in counted], list(counted.values()), "o-", color=plots.BASELINE, label="n-gram")
        if live:
            ax.plot([live[0]], [live[1]], "k*", markersize=16, label="your run")
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
    """Tokens from which the recorded transformer is below the n-gram, by straight lines in log tokens; None if never.

    Both lines are compared where both are known; the n-gram's is drawn between its own counts.
    """
    import numpy as np

    counted = {int(tokens): bits for tokens, bits in record["summary"]["ngrams"].items()}
    curve = [(tokens, bits) for tokens, bits, *_ in record["summary"]["curve"] if tokens]
    if not counted or not curve:
        return None
    places = np.log(list(counted))
    for tokens, bits in curve:
        if min(counted) * 0.99 <= tokens and bits < np.interp(np.log(tokens), places, list(counted.values())):
            return tokens
    return None


def show_crossing(record):
    """Whether and where the recorded curves cross, in a sentence."""
    if missing(record, "long") or not record["summary"]["ngrams"]:
        return
    found, last = crossing(record), record["summary"]["curve"][-1][0]
    if found is None:
        print(f"Up to {last:,} tokens the n-gram stays ahead: in this record the curves do not cross.")
    else:
        print(f"From about {found:,} tokens on the transformer is ahead of the n-gram.")


def show_samples(record, place=0):
    """What the long run wrote on from one beginning, at a few of its steps."""
    if missing(record, "long"):
        return
    step = record["setting"]["batch_size"] * record["setting"]["length"]
    every = {"0": record["points"]["long"]["start"], **record["points"]["long"]["evaluations"]}
    chosen = list(every.items())
    for number, found in chosen[:: max(1, len(chosen) // 4)][:4] + chosen[-1:]:
        print(f"{int(number) * step:>9,} tokens: {' '.join(found['samples'][place].split())}")


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
    print(f"at the end: first copy {first:.2f} nats a token, second {second:.2f}, {first - second:+.2f} less")
    falls = [(before[2] - before[3], after[2] - after[3], after[0]) for before, after in pairwise(curve)]
    start, end, tokens = max(falls, key=lambda fall: fall[1] - fall[0])
    share = (end - start) / (first - second) if first - second >= 0.5 else None
    said = (
        "too little to ask when it came" if share is None else f"{share:.0%} of it by {tokens:,} tokens, in one stride"
    )
    print(f"the gain of the second copy: {said}")


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
    tables.show(rows, title="attention on the token that followed the earlier copy")


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
            {"step": step, "loss": f"{loss:.2f}", "gradient norm": shown, "learning rate": f"{rates[step - 1]:.1e}"}
        )
    tables.show(rows, title="means of nine steps")


def show_short(record, names):
    """The short runs side by side: what each did otherwise, its last loss and its held-out bits a byte.

    Args:
        names: {point: what it did, in words}.
    """
    rows, there = [], [name for name in names if name in record["points"]]
    missing(record, *names)
    for name in there:
        point = record["points"][name]
        if "stopped" in point:
            rows.append({"run": names[name], "loss": "not finite", "held-out bits a byte": "stopped"})
            continue
        loss = sum(point["losses"][-10:]) / len(point["losses"][-10:])
        judged = list(point["evaluations"].values())[-1]["bits_per_byte"]
        rows.append({"run": names[name], "loss": f"{loss:.2f}", "held-out bits a byte": f"{judged:.3f}"})
        if "honest" in point:
            honest = point["honest"]["bits_per_byte"]
            rows.append({"run": f"{names[name]}, read honestly", "loss": "", "held-out bits a byte": f"{honest:.3f}"})
    if rows:
        tables.show(rows)


def show_position(record):
    """The loss by place in a row: what a longer context is worth to the recorded model."""
    if missing(record, "long") or not record["points"]["long"]["by_position"]:
        return
    losses = record["points"]["long"]["by_position"]
    for first, last in ((0, 1), (1, 4), (4, 16), (16, 64), (64, len(losses))):
        part = losses[first:last]
        if part:
            print(f"tokens {first + 2:>3} to {first + 1 + len(part):>3}: {sum(part) / len(part):.2f} nats a token")
