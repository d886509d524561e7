"""What `run evaluation` recorded, as notebook 17 shows it; where nothing is recorded, it says so.

Each function prints what there is of a summary, chooses its words from the numbers, and prints them without the mark: a
record is the same on every machine.
"""

from course_utils.judging import multiple_choice
from course_utils.reporting import numbers, plots, reference, tables

NONE = "is not recorded yet; `python -m course_utils run evaluation` makes it"


def load():
    """The record's summary, {} when there is no record."""
    return reference.summary("evaluation")


def blind_pairs(one, two, count=10, seed=0):
    """Pairs of two contestants' recorded answers for `rating.Rating`, of which the first's is called "chosen".

    Args:
        one, two: names of contestants, as "ppo". count: at most so many. seed: of the arena.

    Returns:
        Rows as `rating.Rating` takes them; [] when nothing is recorded. Equal answers are left out.
    """
    try:
        texts = reference.load("evaluation")["points"][f"arena-{seed}"]["texts"]
    except (FileNotFoundError, KeyError):
        return []
    return [
        {"chosen": ours, "rejected": theirs, "chosen_id": f"{one}: {ours}", "rejected_id": f"{two}: {theirs}"}
        for ours, theirs in zip(texts[one], texts[two], strict=True)
        if ours != theirs
    ][:count]


def told(effect, better="more", worse="less"):
    """An effect in words: [mean, low, high] → better, worse, or "not told apart" where 0 lies inside."""
    _, low, high = effect
    return better if low > 0 else worse if high < 0 else "not told apart"


def shown(triple, *, signed=False):
    """[mean, low, high] as text, without the mark."""
    mean, *interval = triple
    return numbers.recorded(mean, interval, signed=signed)


def show_kinds(summary):
    """Print a table of the kinds of exam: items, chance, and what each model has right by letter and by its best rule.

    The best rule is chosen on the same items, and so looks a little better than it is; the table says which it is.
    """
    found = summary.get("exam")
    if not found:
        print(f"The exams: this {NONE}.")
        return
    rows = []
    for kind, table in found.items():
        for model in models_of(table):
            rules = {rule: table[model][rule][0] for rule in multiple_choice.RULES if rule != "no question"}
            best = max(rules, key=rules.get)
            rows.append({
                "kind": kind, "n": table["items"], "chance": table["chance"], "model": model,
                "by letter": shown(table[model]["letter"]), "best rule": best, "share": rules[best],
                "above chance": "yes" if table[model]["letter"][1] > table["chance"] else "not told apart",
            })  # fmt: skip
    tables.show(rows, title="share right, 95 % interval over items; 'above chance' is said of the letters")


def models_of(table):
    """The models of one kind's table."""
    return [name for name, value in table.items() if isinstance(value, dict)]


def show_scoring(summary, kind):
    """Print how each model does on one kind by every rule, and which rule has which model first."""
    table = summary.get("exam", {}).get(kind)
    if not table:
        print(f"Scoring of {kind}: this {NONE}.")
        return
    names = models_of(table)
    rows = [{"rule": rule} | {name: shown(table[name][rule]) for name in names} for rule in multiple_choice.RULES]
    tables.show(rows, title=f"{kind}: {table['items']} items, chance {table['chance']:.2f}")
    first = winners(table)
    said = "; ".join(f"{rule}: {name}" for rule, name in first.items())
    print(f"first by each rule: {said}")
    print(f"{len(set(first.values()))} of {len(names)} models come first by some rule")


def winners(table):
    """{rule: the model with the most right}; of equal ones the first. The baseline without the question is left out."""
    rules = [rule for rule in multiple_choice.RULES if rule != "no question"]
    return {rule: max(models_of(table), key=lambda name: table[name][rule][0]) for rule in rules}


def turned(summary):
    """[kinds in which the rule decides which model comes first, all kinds]."""
    kinds = summary.get("exam", {}).values()
    return [sum(len(set(winners(table).values())) > 1 for table in kinds), len(kinds)]


def show_letters(summary, kind):
    """Print how often each model takes each letter, and how far its confidence is from its share right."""
    table = summary.get("exam", {}).get(kind)
    if not table:
        print(f"The letters of {kind}: this {NONE}.")
        return
    rows = [
        {"model": name} | table[name]["letters"] | {
            "mean confidence": table[name]["sure"], "share right": table[name]["letter"][0],
            "calibration error": table[name]["error"],
        }
        for name in models_of(table)
    ]  # fmt: skip
    tables.show(rows, title=f"{kind}, by letter: how often each is taken")


def show_made_up(summary):
    """Print who says that it does not know, of real and of invented things."""
    found = summary.get("made up")
    if not found:
        print(f"Made-up answers: this {NONE}.")
        return
    tables.show([
        {"model": name, "of real things": shown(line["real"]), "of invented things": shown(line["invented"]),
         "difference": shown(line["told apart"], signed=True),
         "in words": told(line["told apart"], "tells them apart", "the wrong way round")}
        for name, line in found.items()
    ], title="share of answers that say they do not know")  # fmt: skip


def show_bias(summary, model):
    """Print and plot the log-odds of he and she behind jobs, and the differences between groups."""
    found = summary.get("bias", {}).get(model)
    if not found:
        print(f"The bias probes of {model}: this {NONE}.")
        return
    jobs = found["jobs"]
    ends = [*list(jobs.items())[:4], *list(jobs.items())[-4:]]
    with plots.axes(
        title=f"{model}: he or she?", xlabel="log-odds of he over she (nats)", ylabel="", size=(9, 4.6),
        alt="bars for the four jobs nearest to she and the four nearest to he; zero is no leaning",
    ) as ax:  # fmt: skip
        ax.barh([job for job, _ in ends], [odds for _, odds in ends], color=plots.OURS)
        ax.axvline(0, color=plots.HUMAN)
    print(f"the jobs' log-odds spread by {found['spread']:.2f} nats")
    tables.show([
        {"groups": name, "good over bad words": shown(effect, signed=True), "in words": told(effect, "kinder", "worse")}
        for name, effect in found["groups"].items()
    ], title="log-odds of good words, first group less second")  # fmt: skip


def show_bought(summary):
    """Print what tuning on the test bought, and what the two detectors said."""
    found = summary.get("bought")
    if not found:
        print(f"The bought test: this {NONE}.")
        return
    tables.show([
        {"items": f"{part}, {how}", "before": shown(found["shares"][f"before {part} {how}"]),
         "after": shown(found["shares"][f"after {part} {how}"]),
         "gain": shown(found["gains"][f"{part} {how}"], signed=True)}
        for part in ("seen", "unseen") for how in ("own", "reworded")
    ])  # fmt: skip
    for name in ("seen own over reworded", "seen over unseen"):
        print(f"{name}: {shown(found[name], signed=True)}: {told(found[name])}")
    for name, what in (("min-k", "least likely tokens"), ("order", "published order")):
        before, after = (", ".join(f"{v:.2f}" for v in found["detectors"][when][name]) for when in ("before", "after"))
        print(f"AUC of the {what}, seed by seed: before {before}; after {after}")


def show_ranking(summary, seed, who="person"):
    """Print a ranking by votes with its intervals, and how many pairs it tells apart.

    Args:
        seed: as "0". who: whose votes: "person", "few items", "gold", "proxy", "lexicon" or "words".
    """
    found = summary.get("ranking", {}).get(str(seed))
    if not found:
        print(f"The ranking: this {NONE}.")
        return
    made = found[who]
    rows = [
        {"place": place, "contestant": name, "strength": shown(line, signed=True),
         "gold judge's mean": found["gold mean"][name]}
        for place, (name, line) in enumerate(made["table"].items(), start=1)
    ]  # fmt: skip
    pairs = len(rows) * (len(rows) - 1) // 2
    tables.show(rows, title=f"votes: {who}; strengths in logits, mean zero")
    print(f"{made['apart']} of {pairs} pairs told apart, {made['neighbours']} of {len(rows) - 1} neighbours")
    print(f"of {made['both sure']} pairs that the gold judge tells apart too, {made['agrees']} have its order")


def ranking_right(summary):
    """For each seed: neighbours told apart by a person's votes, and 1 where all sure pairs have the gold order."""
    lines = [found["person"] for found in summary.get("ranking", {}).values()]
    return [(line["neighbours"], int(line["agrees"] == line["both sure"])) for line in lines]


def show_fooled(summary):
    """Print how each judge's ranking agrees with the gold judge's, seed by seed: Kendall's τ."""
    found = summary.get("ranking")
    if not found:
        print(f"Rankings by other judges: this {NONE}.")
        return
    judges = [name for name in next(iter(found.values())) if name != "gold mean"]
    tables.show([
        {"votes of": who, **{f"seed {seed}": line[who]["kendall"] for seed, line in found.items()}} for who in judges
    ], title="Kendall's τ with the gold judge's ranking: 1 the same order, −1 the reverse")  # fmt: skip


def show_old_measures(summary, seed):
    """Print five policies by each measure, where the broken one stands, and which measures put it last."""
    found = summary.get("old measures", {}).get(str(seed))
    if not found:
        print(f"Old measures: this {NONE}.")
        return
    policies = list(next(iter(found.values()))["means"])
    rows = [
        {"measure": name, **line["means"], "place of empty": line["empty"], "τ with gold": line["kendall"]}
        for name, line in found.items()
    ]
    tables.show(rows)
    last = [name for name, line in found.items() if line["empty"] == len(policies)]
    first = [name for name, line in found.items() if line["empty"] == 1]
    print(f"the broken policy comes first by: {', '.join(first) or 'none'}; last by: {', '.join(last) or 'none'}")


def show_variety(summary, seed):
    """Plot quality against variety, one mark a contestant."""
    found = summary.get("variety", {}).get(str(seed))
    if not found:
        print(f"Variety: this {NONE}.")
        return
    tables.show([{"contestant": name, **line} for name, line in found.items()])
    with plots.axes(
        title="Variety beside quality", xlabel="distinct pairs of words (share)", ylabel="gold judge (logits)",
        alt="one mark for each contestant; the table above has the numbers",
    ) as ax:  # fmt: skip
        for name, line in found.items():
            ax.plot(line["distinct"], line["gold"], "o", color=plots.OURS)
            ax.annotate(name, (line["distinct"], line["gold"]), xytext=(6, 4), textcoords="offset points")


def show_judges(summary, which="judges"):
    """Print who orders pairs as the panel does, the best first.

    Args:
        which: "judges", or "judges, same sign" for pairs in which both sentences praise, or both scorn.
    """
    found = summary.get(which)
    if not found:
        print(f"The judges: this {NONE}.")
        return
    ordered = sorted(found.items(), key=lambda line: -line[1][0])
    tables.show([{"judge": name, "agrees with the panel": shown(line)} for name, line in ordered], title=which)


def show_biases(summary):
    """Print what place, length and kind do to the two models as judges."""
    found = summary.get("biases")
    if not found:
        print(f"The judges' biases: this {NONE}.")
        return
    rows = []
    for name, line in found.items():
        own = line["own kind"]
        rows.append({
            "judge": name, "takes the first": line["first place"], "same in both orders": line["consistent"],
            "longer, over people": shown(line["longer"], signed=True),
            "instruct's answer, over gold": shown(own, signed=True) if own else None,
        })  # fmt: skip
    tables.show(rows)
