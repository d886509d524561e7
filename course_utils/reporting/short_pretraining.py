"""What notebook 03 shows of the short runs of `python -m course_utils run pretrain`: other rates, no warm-up, a leak.

Each function takes the record, or what there is of it: a point that is not recorded yet is left out, or said to be.
"""

from course_utils.experiments import rates
from course_utils.reporting import reference, tables
from course_utils.reporting.pretraining import missing


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


def show_leak(record, nothing):
    """What the run that sees ahead says of itself, and what it knows: in words, by the numbers.

    Args:
        nothing: bits a byte of a model before its first step.
    """
    point, usual = record["points"].get("leak", {}), record["summary"]["short"].get("short-0")
    if "honest" not in point or usual is None:
        return
    said, known = list(point["evaluations"].values())[-1]["bits_per_byte"], point["honest"]["bits_per_byte"]
    better = "fewer" if said < usual else "not fewer"
    share = (nothing - known) / (nothing - usual)
    print(f"it reports {said:.2f} bits a byte, {better} than the {usual:.2f} under the right mask;")
    print(f"when it may not look ahead it needs {known:.2f}, and {nothing:.2f} before its first step:")
    if share < 0:
        print("what it learned is worse than nothing")
    else:
        print(f"it has learned {share:.0%} of what the right mask teaches in as many steps")


def show_verdicts(record):
    """Each way to train otherwise against its rival, and against how far three seeds lie apart."""
    short, points = record["summary"]["short"], record["points"]
    seeds = [short[name] for name in ("short-0", "short-1", "short-2") if name in short]
    if len(seeds) < 3:
        return
    spread = max(seeds) - min(seeds)
    print(f"three seeds of the same run lie {spread:.3f} bits a byte apart")
    for name, rival, words in (
        ("usual", "short-0", "the high rate"), ("hot", "usual", "the high rate without warm-up"),
        ("across", "short-0", "attention across borders"),
    ):  # fmt: skip
        if "stopped" in points.get(name, {}):
            print(f"{words}: the run ended in no number")
        elif {name, rival} <= short.keys():
            change = short[name] - short[rival]
            told = "within the seeds' spread" if abs(change) <= spread else "worse" if change > 0 else "better"
            print(f"{words}: {change:+.3f} bits a byte, {told}")


def show_rates():
    """The learning rates that were tried beforehand, on validation documents, by `python -m course_utils run rates`."""
    try:
        summary = reference.load("rates")["summary"]
    except FileNotFoundError:
        summary = {}
    bits, best = summary.get("bits", {}), summary.get("best", {})
    for kind, words in (("trial", "400 steps on the long run's rows"), ("live", "a run as short as yours")):
        tried = {float(name.partition("-")[2]): found for name, found in bits.items() if name.startswith(kind)}
        if not tried:
            print(f"rates for {words}: not recorded yet; python -m course_utils run rates makes it")
            continue
        rows = [{"learning rate": f"{rate:g}", "bits a byte": f"{tried[rate]:.3f}"} for rate in sorted(tried)]
        tables.show(rows, title=f"{words}, to the end of its own schedule; validation documents")
        if kind in best:
            print(f"the lowest rate that comes within {rates.TOLERANCE:g} of the best: {best[kind]:g}")
