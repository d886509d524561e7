"""What the experiment `data` recorded, as notebook 02 shows it; where nothing is recorded, it says so.

A summary may hold a part of its tables, since its runs take long: each function prints what there is.
"""

from course_utils.reporting import numbers, plots, reference, tables

NONE = "is not recorded yet; `python -m course_utils run data` makes it"
ARMS = ("raw", "filtered", "copied", "deduplicated")


def load():
    """The record's summary, {} when there is no record."""
    return reference.summary("data")


def copies(summary, arm="copied"):
    """How often canaries were planted in an arm, ascending; empty when nothing is recorded."""
    return sorted(map(int, summary.get("canaries", {}).get(arm, {})))


def exposure(summary, arm, count=None):
    """Mean exposure in bits of the canaries planted `count` times, by default most often; None if not recorded."""
    count = max(copies(summary, arm), default=0) if count is None else count
    return summary.get("canaries", {}).get(arm, {}).get(str(count), {}).get("mean")


def difference(summary, name, source="all"):
    """[mean, low, high] in bits a byte of "quality" or "dedup" on a source, None when it is not recorded."""
    return summary.get(name, {}).get(source)


def show_documents(summary):
    """Print what each arm took and kept, and why documents went."""
    counted = summary.get("documents", {})
    if not counted:
        print(f"What the arms read {NONE}.")
        return
    tables.show([{"arm": arm, **counted[arm]} for arm in ARMS if arm in counted])
    for arm, reasons in summary.get("reasons", {}).items():
        most = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:6]
        print(f"{arm}: " + ", ".join(f"{count:,} {reason}" for reason, count in most))


def show_canaries(summary):
    """Print and plot the exposure of canaries by how often they were planted, with and without copies taken out."""
    arms = [arm for arm in ("copied", "deduplicated") if copies(summary, arm)]
    if not arms:
        print(f"The exposure of canaries {NONE}.")
        return
    rows = [
        {"arm": arm, "planted": count, **_shown(summary["canaries"][arm][str(count)])}
        for arm in arms
        for count in copies(summary, arm)
    ]
    tables.show(rows)
    with plots.axes(
        title="How far a secret is exposed",
        xlabel="times that it was planted",
        ylabel="exposure (bits)",
        alt="a line for each arm over how often a secret was planted; the table above has its numbers",
    ) as ax:
        for arm, color in zip(arms, (plots.OURS, plots.BASELINE), strict=False):
            counts = copies(summary, arm)
            ax.plot(range(len(counts)), [exposure(summary, arm, count) for count in counts], color=color, label=arm)
            ax.set_xticks(range(len(counts)), list(map(str, counts)))


def _shown(cell):
    recited = f"{cell['recited']} of {cell['of']}" if "recited" in cell else "–"
    return {"exposure, bits": numbers.recorded(cell["mean"], (cell["low"], cell["high"])), "recited": recited}


def show_differences(summary, name, between):
    """Print the differences in bits a byte by source, and in words which side they are on.

    Args:
        name: "quality" or "dedup"; between: what is subtracted from what, as "filtered − raw".
    """
    found = summary.get(name, {})
    if not found:
        print(f"Bits a byte, {between}: this {NONE}.")
        return
    print(f"held-out bits a byte, {between}")
    for source, (mean, low, high) in found.items():
        word = "fewer bits" if high < 0 else "more bits" if low > 0 else "not told apart"
        print(f"{source:15} {numbers.recorded(mean, (low, high), signed=True):24} {word}")
