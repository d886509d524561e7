"""What notebook 04 shows of the arms of `run scaling`: spoiled points, repeats, mixtures, rivals, by heart, int4.

Each function takes the record as `reporting.scaling` does.
"""

import numpy as np

from course_utils.evaluation import comparison, scaling
from course_utils.experiments import scaling_grid as grid
from course_utils.experiments import scaling_summary
from course_utils.reporting import numbers, plots, tables
from course_utils.reporting.scaling import SHADES, law, part, short


def show_repeats(record):
    """Runs whose tokens repeat, beside as many new ones and what Muennighoff's formula says of them."""
    if not (found := part(record, "repeats")):
        return
    fitted, rows = law(record), []
    for size, runs in found.items():
        new = float(fitted.loss(grid.counted(size)[0], grid.BUDGETS[3]))  # so that what the law misses drops out
        for times, of in sorted(runs.items(), key=lambda run: int(run[0])):
            row = {"size": size, "each token read": times, "unique": short(grid.BUDGETS[3] / int(times))}
            more = {"loss": f"{of['found']:.3f}", "over all new": _signed(of["found"] - of["if_new"])}
            rows.append(row | more | {"by the formula": _signed(of["by_2023"] - new)})
    tables.show(rows, title=f"nats a token after {short(grid.BUDGETS[3])} tokens, repeats counted")


def show_mixtures(record):
    """Bits a byte by kind of held-out text, a row a mixture, and the best mixture for each kind."""
    if not (found := part(record, "mixtures")):
        return
    tables.show(
        [{"read": mix} | of for mix, of in found["bits"].items()], title="bits a byte, by what is asked (fewer: better)"
    )
    for group, (mix, by, low, high) in found["best"].items():
        print(f"{group}: best after {mix}, {numbers.recorded(by, (low, high), signed=True)} against the even mixture")


def show_rivals(record):
    """Each rival at each size: by how many bits a byte it is worse than Gemma's parts."""
    if not (found := part(record, "rivals")):
        return
    rows = []
    for kind in grid.RIVALS:
        row = {"model": kind}
        for size, of in sorted(found[kind].items(), key=lambda item: grid.counted(item[0])[0]):
            row[size] = "stopped" if of is None else numbers.recorded(of["worse"][0], of["worse"][1:], signed=True)
        rows.append(row)
    tables.show(rows, title="bits a byte more than Gemma's parts, with the interval over documents")
    for kind in grid.RIVALS:
        there = sorted((grid.counted(size)[0], size, *of["worse"]) for size, of in found[kind].items() if of)
        print(f"{kind}: {_trend(there[0], there[-1])}")


def _trend(first, last):
    """A sentence on two (weights, size, bits a byte more, low, high): the intervals are of documents, of one seed."""
    (_, at, by, low, high), (_, there, then, least, most) = first, last
    if least <= high and low <= most:
        return f"no trend from {at} to {there} that its intervals would show"
    moves = "gains on" if then < by else "falls back behind"
    return f"{moves} Gemma's parts from {at} to {there}, {_signed(by)} to {_signed(then)}"


def least_gain(record):
    """(group, gain, low, high): of the kinds of text, that whose best mixture gains least over the even one.

    In bits a byte, with the interval over documents and seeds; None without a record.
    """
    if not (found := record["summary"]["mixtures"]):
        return None
    gains = {group: (-by, -high, -low) for group, (_, by, low, high) in found["best"].items()}
    group = min(gains, key=lambda name: gains[name][0])
    return group, *gains[group]


def nearest_rival(record):
    """(kind, size, bits a byte more than vanilla, low, high): the rival of as many weights that is least behind it.

    Paired over documents; below 0 it is ahead. None without a record.
    """
    if not record["summary"]["rivals"]:
        return None
    found = []
    for size in (grid.RIVAL_AT, *grid.RIVAL_SIZES):
        plain = _documents(record, "vanilla", size)
        for kind in ("gemma", "experts-weights", "lstm"):
            of = comparison.paired_difference(_documents(record, kind, size), plain)
            found.append((kind, size, of.mean, *of.interval))
    return min(found, key=lambda one: one[2])


def _documents(record, kind, size):
    point = record["points"][scaling_summary.rival_point(record["points"], kind, size)]
    return [rate for rates in scaling_summary.per_byte(point).values() for rate in rates]


def largest_step(values):
    """The share of the whole change that falls into the largest step between neighbours; 1 / steps when it is even.

    Raises:
        ValueError: fewer than three values, or no change from first to last.
    """
    values = np.asarray(values, float)
    if len(values) < 3 or values[0] == values[-1]:
        raise ValueError(f"Expected three values or more that change from first to last, got {values.tolist()}.")
    return float(np.max(np.diff(values) / (values[-1] - values[0])))


def suddenness(record, span):
    """[(largest step by exact spans, by nats)] of each seed, over sizes from small to large; none without a record."""
    sizes = list((record["summary"]["recited"] or {}).values())
    seeds = len(sizes[0]["nats"]) if sizes else 0
    ways = lambda seed: ([of["exact"][str(span)][seed] for of in sizes], [of["nats"][seed] for of in sizes])  # noqa: E731
    return [tuple(map(largest_step, ways(seed))) for seed in range(seeds)]


def show_recited(record, span):
    """What runs know by heart, by size, judged twice: spans that are right as a whole, and nats a token."""
    if not (found := part(record, "recited")):
        return
    weights = [grid.counted(size)[0] for size in found]
    ways = {f"{span} tokens in a row right": lambda of: of["exact"][str(span)], "nats a token": lambda of: of["nats"]}
    for label, values in ways.items():
        alt = "a line over size with a mark for each size and seed"
        title = f"The same runs, judged by {label}"
        with plots.axes(title=title, xlabel="weights", ylabel=label, alt=alt, size=(9, 3)) as ax:
            seeds = np.array([values(of) for of in found.values()])
            ax.plot(weights, seeds, "o", color=plots.MUTED, label=["a seed", *["_"] * (seeds.shape[1] - 1)])
            ax.plot(weights, seeds.mean(1), "-", color=plots.OURS, label="mean of seeds")
            ax.set_xscale("log")
    rows = [
        {"size": size, "weights": short(grid.counted(size)[0]), "nats a token": f"{np.mean(of['nats']):.2f}"}
        | {f"{k} right": f"{np.mean(of['exact'][k]):.1%}" for k in ("1", "4", str(span))}
        | {f"(1 right)^{span}": f"{np.mean(of['exact']['1']) ** span:.1%}"}
        for size, of in found.items()
    ]
    tables.show(rows, title="means of the seeds")


def show_ability(record, span):
    """Spans of unseen text that are right as a whole, against the loss: all sizes and budgets (Du et al. 2024)."""
    runs = [point for name, point in record["points"].items() if name in grid.FIT and "loss" in point]
    if not runs:
        print("not recorded yet: the grid")
        return
    right = np.array([point["copied"]["text"]["exact"][str(span)] for point in runs])
    at, sizes = np.array([point["loss"] for point in runs]), np.array([point["size"] for point in runs])
    alt = "marks of all sizes; where they lie on one curve, the loss tells the ability and size adds nothing"
    label = f"{span} tokens in a row right"
    with plots.axes(title="Ability against loss", xlabel="nats a token, held-out", ylabel=label, alt=alt) as ax:
        for number, size in enumerate(grid.FITTED):
            of = sizes == size
            ax.plot(at[of], right[of], "osD^vP"[number], color=SHADES[number], label=size)
        ax.invert_xaxis()
    left = right - np.polyval(np.polyfit(at, right, 2), at)
    off = {size: float(left[sizes == size].mean()) for size in grid.FITTED}
    furthest = max(off, key=lambda size: abs(off[size]))
    explained = 1 - left.var() / right.var() if right.var() else 0.0
    print(f"one curve over the loss explains {explained:.0%} of the differences between runs; of the sizes {furthest}")
    print(f"lies furthest off it on average, by {abs(off[furthest]):.1%} of all spans")


def show_int4(record):
    """What rounding the blocks to four bits adds to the loss, by tokens a weight (Kumar et al. 2024)."""
    runs = [point for name, point in record["points"].items() if name in grid.FIT and "int4" in point]
    if not runs:
        print("not recorded yet: the grid in four bits")
        return
    alt = "a mark a run; tokens a weight to the right, the added loss upwards"
    with plots.axes(title="Four bits", xlabel="tokens a weight", ylabel="nats a token added", alt=alt) as ax:
        at = [run["tokens"] / run["weights"] for run in runs]
        cost = [run["int4"] - run["loss"] for run in runs]
        ax.plot(at, cost, "o", color=plots.OURS, label="a run")
        ax.set_xscale("log")
    at, cost = np.array(at), np.array(cost)
    for low, high in ((0, 10), (10, 30), (30, 100), (100, np.inf)):
        if (of := (at >= low) & (at < high)).any():
            said = f"{low} to {high}" if high < np.inf else f"{low} or more"
            print(f"{said} tokens a weight: {_signed(cost[of].mean())} nats a token over {of.sum()} runs")
    if (cost > 0).all():
        power, factor = scaling.power(at, cost)
        spread = np.exp(np.std(np.log(cost / (factor * at**power))))
        print(f"as a power: tokens a weight^{power:.2f}, a run a factor of {spread:.2f} off it".replace("^-", "^−"))


def show_early(record):
    """What a run looks like that is read off on its way, its schedule made for more, beside one of its own."""
    if not part(record, "kaplan"):
        return
    points, rows, tokens = record["points"], [], grid.BUDGETS[3]
    for name, run in grid.GRID.items():
        early = points[name].get("curve", {}).get(str(tokens))
        if early is not None:
            own = points[f"grid-{run.size}-{tokens}"]["loss"]
            rows.append(
                {"size": run.size, "a run of its own": f"{own:.3f}", "read off a longer one": _signed(early - own)}
            )
    tables.show(rows, title=f"nats a token after {short(tokens)} tokens")


def show_faults(record):
    """What a warm-up too long and one rate for all sizes cost at equal compute, and where they move the best size."""
    line = (record["summary"]["kaplan"] or {}).get("line")
    if not line:
        print("not recorded yet: warm-up and rate")
        return
    points, rows = record["points"], []
    for size in grid.LINES["low"][1]:
        own, *spoiled = (points[f"{arm}low-{size}"].get("loss") for arm in ("", "warm-", "kept-"))
        costs = ["no number" if loss is None else _signed(loss - own) for loss in spoiled]
        steps = f"{grid.LINE[f'low-{size}'].steps:,}"
        row = {"size": size, "steps": steps, "its own": f"{own:.3f}", "long warm-up": costs[0]}
        rows.append(row | {"one rate for all": costs[1]})
    tables.show(rows, title=f"nats a token, {grid.LINES['low'][0]:.1e} FLOPs each")
    best = {"own": "its own", "warm": "long warm-up", "kept": "one rate"}
    beyond = {True: "", False: " (beyond the sizes)"}
    sizes = [
        f"{label} {short(of['weights'])}{beyond[of['inside']]}" for arm, label in best.items() if (of := line[arm])
    ]
    print("best size by a parabola:", ", ".join(sizes))


def _signed(difference):
    return f"{difference:+.3f}".replace("-", "−")
