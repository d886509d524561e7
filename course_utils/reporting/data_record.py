"""What the experiment `data` recorded, as notebook 02 shows it; where nothing is recorded, it says so.

A summary may hold a part of its tables, since its runs take long: each function prints what there is.
"""

from course_utils.evaluation import comparison, memorised
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


def left(summary):
    """The Estimate over all planted canaries of which MinHash left one copy each; None if not recorded."""
    arm = "deduplicated"
    cells = [summary["canaries"][arm][str(count)] for count in copies(summary, arm) if count]
    values = [bits for cell in cells for bits in cell.get("exposures", ())]
    return comparison.mean_interval(values, over="items") if len(values) > 1 else None


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
    """Print and plot the exposure of canaries by how often they were planted, with and without copies taken out.

    In words: whether the interval lies above what a model has that learned nothing.
    """
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
    if together := left(summary):
        shown = numbers.recorded(together.mean, together.interval)
        print(f"one copy left, all {together.items} together: {shown} bits, {_beside_guessing(*together.interval)}")
    _plot_canaries(summary, together)


def _plot_canaries(summary, together):
    """Exposure by copies where they stay; where one copy is left, however many stood there, one level."""
    with plots.axes(
        title="How far a secret is exposed",
        xlabel="times that it stood there",
        ylabel="exposure (bits)",
        alt="exposure with its interval by how often a secret stood there, one level for those with one copy left, "
        "and what guessing gives; the table above has their numbers",
    ) as ax:
        counts = copies(summary, "copied")
        for place, count in enumerate(counts):
            cell = summary["canaries"]["copied"][str(count)]
            ax.plot([place, place], [cell["low"], cell["high"]], color=plots.OURS, marker="_")
        if counts:
            means = [exposure(summary, "copied", count) for count in counts]
            ax.plot(range(len(counts)), means, color=plots.OURS, label="copies stay")
            ax.set_xticks(range(len(counts)), list(map(str, counts)))
        if together:
            ax.axhspan(*together.interval, color=plots.BASELINE, alpha=0.2)
            ax.axhline(together.mean, color=plots.BASELINE, linestyle="--", label="one copy left")
        ax.axhline(memorised.guessed(), color=plots.MUTED, linestyle=":", label="guessing")


def _shown(cell):
    recited = f"{cell['recited']} of {cell['of']}" if "recited" in cell else "–"
    interval = (cell["low"], cell["high"])
    return {
        "exposure, bits": numbers.recorded(cell["mean"], interval),
        "in words": _beside_guessing(*interval), "recited": recited,
    }  # fmt: skip


def _beside_guessing(low, high):
    guessed = memorised.guessed()
    word = "above" if low > guessed else "below" if high < guessed else "not told from"
    return f"{word} guessing ({guessed:.1f})"


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
    judges = summary.get("held_out", {})
    for source, (mean, low, high) in found.items():
        word = "fewer bits" if high < 0 else "more bits" if low > 0 else "not told apart"
        print(f"{source:15} {numbers.recorded(mean, (low, high), signed=True):24} {word}{_by(judges.get(source))}")


def _by(documents):
    return f", {documents} documents" if documents else ""
