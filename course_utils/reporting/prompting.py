"""What `run prompting` recorded, as notebook 06 shows it; where nothing is recorded, it says so.

Each function prints what there is of a summary, chooses its words from the numbers, and prints them without the mark: a
record is the same on every machine.
"""

from course_utils.reporting import numbers, plots, reference, tables

NONE = "is not recorded yet; `python -m course_utils run prompting` makes it"


def load():
    """The record's summary, {} when there is no record."""
    return reference.summary("prompting")


def told(effect, better="helps", worse="hurts"):
    """An effect in words: [mean, low, high] → better, worse, or "not told apart" where 0 lies inside."""
    _, low, high = effect
    return better if low > 0 else worse if high < 0 else "not told apart"


def _row(name, effect):
    mean, low, high = effect
    return {"": name, "change": numbers.recorded(mean, (low, high), signed=True), "in words": told(effect)}


def show_parts(summary, model, how="calibrated"):
    """Print the main effect of each part of a prompt, among all sets and among those that show the input.

    Args:
        model: "base" or "chat". how: "raw" or "calibrated".
    """
    found = summary.get("parts", {}).get(model)
    if not found:
        print(f"The sixteen prompts of the {model} model {NONE}.")
        return
    rows = [_row(part, effect) for part, effect in found[how].items()]
    rows += [_row(f"{part}, input shown", effect) for part, effect in found[f"{how}, with input"].items()]
    tables.show(rows, title=f"{model} model, {how}: share right with the part less without it")


def show_wordings(summary, model, how="calibrated"):
    """Print what appeals, roles and layouts do, and how many go beyond what harmless rewordings do.

    Args:
        model: "base" or "chat". how: "raw" or "calibrated".
    """
    found = summary.get("wording", {}).get(model)
    if not found:
        print(f"The wordings on the {model} model {NONE}.")
        return
    found = found[how]
    others = {said: effect for said, effect in found["effects"].items() if not said.startswith("reworded")}
    low, high = found["spread"]
    print(
        f"plain prompt {found['plain']:.3f} right of {found['items']}; rewordings move it by {low:+.3f} to {high:+.3f}"
    )
    print(f"a change of {found['detectable']:.3f} would be found 80 times in 100")
    tables.show([_row(said, effect) for said, effect in others.items()])
    print(f"{len(found['beyond'])} of {len(others)} go beyond the rewordings: {'; '.join(found['beyond']) or 'none'}")


def show_shares(summary, *path, title=None):
    """Print a table of shares right, gains below them.

    Args:
        path: keys of the summary, as "words", "base" or "taught".
    """
    found = summary
    for key in path:
        found = found.get(key, {})
    if not found:
        print(f"{' '.join(path)}: this {NONE}.")
        return
    rows = []
    for name, (mean, low, high) in found.items():
        gain = " over " in name
        rows.append({
            "": name, "share": numbers.recorded(mean, (low, high), signed=gain),
            "in words": told([mean, low, high], "more", "fewer") if gain else "",
        })  # fmt: skip
    tables.show(rows, title=title)


def show_search(summary, validation):
    """Print and plot the lead of the best of many prompts, where it was chosen and on other items.

    Args:
        validation: items that chose it, as 16.
    """
    found = summary.get("search", {}).get(str(validation))
    if not found:
        print(f"The search with {validation} items {NONE}.")
        return
    tried = list(map(int, found))
    means = {part: [_mean(found[str(count)][part]) for count in tried] for part in ("validation", "test")}
    tables.show([
        {"prompts tried": count, "lead where chosen": chosen, "lead elsewhere": kept, "lost": chosen - kept}
        for count, chosen, kept in zip(tried, means["validation"], means["test"], strict=True)
    ])  # fmt: skip
    with plots.axes(
        title=f"The best of many prompts, chosen on {validation} items",
        xlabel="prompts tried",
        ylabel="lead over the mean prompt (share right)",
        alt="two lines over the number of prompts tried, on the items that chose and on others; the table has both",
    ) as ax:
        ax.plot(tried, means["validation"], color=plots.BASELINE, label="where it was chosen")
        ax.plot(tried, means["test"], color=plots.OURS, label="on other items")


def lost(summary, validation, tried):
    """The lead that the best of so many prompts loses on other items, one number a seed; [] when not recorded."""
    leads = summary.get("search", {}).get(str(validation), {}).get(str(tried))
    return [chosen - kept for chosen, kept in zip(leads["validation"], leads["test"], strict=True)] if leads else []


def _mean(values):
    return sum(values) / len(values)


def show_manner(summary):
    """Print how answers change with who asks and who shall answer: letters a word, words a sentence."""
    found = summary.get("manner")
    if not found:
        print(f"How answers change with who asks {NONE}.")
        return
    for what, unit in (("letters", "letters a word"), ("words", "words a sentence")):
        rows = [
            {"": name, "change": numbers.recorded(mean, (low, high), signed=True),
             "in words": told([mean, low, high], "longer", "shorter")}
            for name, (mean, low, high) in ((name, both[what]) for name, both in found.items())
        ]  # fmt: skip
        tables.show(rows, title=f"{unit}, against the same instruction from nobody")
