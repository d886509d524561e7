"""What notebook 04 shows of `python -m course_utils run scaling`: the law, its prediction, what moves it.

Each function takes the record, or what there is of it: a part that is not recorded yet is said to be so in one line.
"""

import numpy as np

from course_utils.evaluation import scaling
from course_utils.experiments import scaling_grid as grid
from course_utils.reporting import numbers, plots, reference, tables

PARTS = (
    "rates", "fit", "largest", "lines", "kaplan", "noise", "recovery", "recited", "repeats", "mixtures", "rivals",
)  # fmt: skip
EMPTY = {"setting": {}, "summary": dict.fromkeys(PARTS), "points": {}}
AIMED = 0.03  # half the width of the interval of a prediction, as a share of the loss
PUBLISHED = {"Chinchilla's": 0.5, "Kaplan's": 0.73}
SHADES = (plots.OURS, plots.BASELINE, plots.HUMAN, plots.MUTED, "#8c6d1f", "#7a3e9d")


def load():
    """The record of the scaling runs, or an empty one after a line that says so."""
    try:
        return reference.load("scaling")
    except FileNotFoundError:
        print("There is no record of the scaling runs yet; python -m course_utils run scaling makes it.")
        return EMPTY


def part(record, name):
    """A part of the summary; None after a line that says that it is missing."""
    found = record["summary"][name]
    if found is None:
        print(f"not recorded yet: {name}")
    return found


def law(record):
    """The scaling.Law of the recorded runs, or None after a line."""
    fitted = part(record, "fit")
    return fitted and scaling.Law(**fitted["law"])


def short(count):
    """A count of weights or tokens as people say it: 35k, 1.2M, 40G."""
    for name, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size * 0.9995:
            return f"{count / size:.3g}{name}"
    return f"{count:.3g}"


def show_grid(record):
    """A table of the grid: a row a size, a column a budget of tokens, nats a token; runs in brackets are not fitted."""
    rows = []
    for size in grid.ROWS:
        row = {"size": size, "weights": short(grid.counted(size)[0])}
        for tokens in (*grid.BUDGETS, grid.MORE, 2 * grid.MORE):
            name = f"grid-{size}-{tokens}"
            loss = record["points"].get(name, {}).get("loss")
            row[short(tokens)] = None if loss is None else f"{loss:.3f}" if name in grid.FIT else f"({loss:.3f})"
        rows.append(row)
    tables.show(rows, title="nats a token, by tokens read; in brackets: too short a run, not fitted")


def show_rates(record):
    """The best learning rate by size and tokens, and the rule that every other run follows."""
    if not (found := part(record, "rates")):
        return
    tables.show([{"size-tokens": name, "best rate": f"{rate:.1e}"} for name, rate in found["best"].items()])
    rule = found["rule"]
    rates = ", ".join(f"{rate:.3f} at {short(int(tokens))}" for tokens, rate in rule["at"].items())
    print(f"100k weights: {rates} tokens; by size: weights^{rule['power']:.2f}".replace("^-", "^−"))


def show_law(record):
    """The fitted numbers with their intervals, beside the published ones."""
    if not (fitted := part(record, "fit")):
        return
    rows = []
    for name, label in (("E", "E"), ("alpha", "α"), ("beta", "β"), ("exponent", "β / (α + β)")):
        ours = fitted["law"].get(name, fitted["exponent"])
        published = [getattr(law, name) for law in (scaling.CHINCHILLA, scaling.CORRECTED)]
        rows.append(
            {
                "": label, "ours": numbers.recorded(ours, fitted["intervals"][name]),
                "Hoffmann 2022": f"{published[0]:.3f}", "Besiroglu 2024": f"{published[1]:.3f}",
            }
        )  # fmt: skip
    tables.show(rows, title=f"{fitted['runs']} runs; the law misses them by {fitted['left']:.2%} (root mean square)")
    print(
        "off the law by more than seeds differ:", ", ".join(misses(record)) or "no size and budget with several seeds"
    )


def misses(record):
    """The sizes and budgets whose mean over seeds lies off the law by two standard errors: its form, and not noise."""
    fitted, noise, groups, found = law(record), record["summary"]["noise"], {}, []
    for point in (record["points"][name] for name in grid.FIT):
        left = np.log(point["loss"] / fitted.loss(point["weights"], point["tokens"]))
        groups.setdefault((point["size"], point["tokens"]), []).append(left)
    for (size, tokens), left in groups.items():
        mean = np.mean(left)
        if len(left) > 1 and abs(mean) > 2 * noise / np.sqrt(len(left)):
            side = "above" if mean > 0 else "below"
            found.append(f"{size} at {short(tokens)} ({len(left)} seeds, {abs(mean):.1%} {side})")
    return found


def allowed(low, high):
    """A sentence: which of the published exponents of the best size an interval holds."""
    says = [f"{'allows' if low <= value <= high else 'excludes'} {who} {value:.2f}" for who, value in PUBLISHED.items()]
    return f"our interval, {low:.2f} to {high:.2f}, {' and '.join(says)}"


def show_prediction(record, live=()):
    """The law over compute, the runs under it, and the held-out largest run with what was said before it was begun.

    Args:
        live: (weights, tokens, loss) of the reader's own run, drawn as a star and named without a number.
    """
    fitted, found = law(record), part(record, "largest")
    if not (fitted and found):
        return
    point = record["points"]["largest"]
    alt = "points fall along a bent line; the largest run lies far to the right of all others"
    title, label = "The law and the run that it had not seen", "compute, FLOPs"
    with plots.axes(title=title, xlabel=label, ylabel="nats a token, held-out", alt=alt) as ax:
        runs = [record["points"][name] for name in grid.FIT]
        at = [6 * run["weights"] * run["tokens"] for run in runs]
        ax.plot(at, [run["loss"] for run in runs], "o", color=plots.OURS, label="fitted runs")
        reach = np.geomspace(min(at), 6 * point["weights"] * point["tokens"], 40)
        ax.plot(reach, [fitted.loss(*fitted.optimum(flops)) for flops in reach], "--", color=plots.MUTED, label="best")
        said, low, high = found["predicted"]
        place = 6 * point["weights"] * point["tokens"]
        ax.errorbar(
            [place], [said], [[said - low], [high - said]], color=plots.BASELINE, capsize=6, label="said before"
        )
        ax.plot([place], [found["found"]], "D", color=plots.HUMAN, label="found")
        if live:
            ax.plot([6 * live[0] * live[1]], [live[2]], "k*", markersize=16, label="your run")
        ax.set_xscale("log")
    wide = (high - low) / 2 / said
    print(f"said on {point['predicted']['written']}: {numbers.recorded(said, (low, high))} nats a token, ± {wide:.1%}")
    print("its half-width is", "within" if wide <= AIMED else "wider than", f"the {AIMED:.0%} that were aimed at")
    inside = "inside" if low <= found["found"] <= high else "outside of"
    times = place / point["predicted"]["most_fitted_compute"]
    print(
        f"begun on {point['started']}, found {found['found']:.3f}: {inside} the interval, at {times:.1f} × the compute"
    )


def show_lines(record):
    """Loss over size on three lines of equal compute, with the minima of their parabolas and the law's."""
    if not (found := part(record, "lines")):
        return
    alt = "a curve for each budget; where one bends upwards at both ends, its best size lies between"
    with plots.axes(title="Equal compute", xlabel="weights", ylabel="nats a token, held-out", alt=alt) as ax:
        for color, (name, of) in zip(SHADES, found.items(), strict=False):
            runs = sorted(of["runs"])
            ax.plot([run[0] for run in runs], [run[2] for run in runs], "o-", color=color, label=name)
        ax.set_xscale("log")
    rows = []
    for name, of in found.items():
        best = of["minimum"]
        size = "none" if best is None else short(best["weights"]) + ("" if best["inside"] else ", beyond the sizes")
        row = {"line": name, "FLOPs": f"{grid.LINES[name][0]:.1e}", "best size, parabola": size}
        weights, tokens = of["law"]
        rows.append(
            row | {"by the law": short(weights), "its tokens": short(tokens), "a weight": f"{tokens / weights:.0f}"}
        )
    tables.show(rows)
    inside = {name: of["minimum"]["weights"] for name, of in found.items() if (of["minimum"] or {}).get("inside")}
    said = f"{len(inside)} of {len(found)} parabolas have their best size among those tried"
    if len(inside) > 1:
        said += (
            f"; by these a = {scaling.power([grid.LINES[name][0] for name in inside], list(inside.values()))[0]:.2f}"
        )
    print(said)


def show_kaplan(record):
    """The exponent of the best size, by how weights are counted and which runs are fitted."""
    if not (found := part(record, "kaplan")):
        return
    names = {
        ("count", "all"): "all weights, the head once", ("count", "blocks"): "weights without the embedding and head",
        ("points", "earlier"): f"all weights, every run of {grid.EARLIER_LEAST:,} steps or more fitted",
        ("points", "short too"): "all weights, every run fitted, however short",
    }  # fmt: skip
    rows = [
        {"counted or trained so": label, "exponent": numbers.recorded(found[a][b][0], found[a][b][1:])}
        for (a, b), label in names.items()
    ]
    tables.show(rows, title="a in: best size ∝ compute^a (Kaplan 2020: 0.73, Hoffmann 2022: 0.50)")
    own = found["count"]["all"][0]
    for (a, b), label in list(names.items())[1:]:
        moved, nearer = found[a][b][0] - own, abs(found[a][b][0] - 0.73) < abs(own - 0.73)
        said = f"{moved:+.2f}".replace("-", "−")
        print(f"{label}: a moves by {said},", "towards" if nearer else "away from", "Kaplan's")


def show_shares(record):
    """Of the loss above E, the share that more tokens would take away, by fitted size and budget; the rest is size."""
    if not (fitted := law(record)):
        return
    rows = []
    for size in grid.FITTED:
        row = {"size": size}
        for tokens in (grid.MORE, 2 * grid.MORE, 4 * grid.MORE):
            of_size, of_data = fitted.reducible(grid.counted(size)[0], tokens)
            row[short(tokens)] = f"{of_data / (of_size + of_data):.0%}"
        rows.append(row)
    tables.show(rows, title="share of the reducible loss that is due to finite data, by the law")


def share_of_text(fitted, size, tokens):
    """A sentence: the share of the reducible loss that is due to finite text, with its interval, by a scaling.Fit."""

    def share(law):
        of_size, of_data = law.reducible(grid.counted(size)[0], tokens)
        return float(of_data / (of_size + of_data))

    low, high = fitted.interval(share)
    side = "more than half of it is" if low > 0.5 else "less than half of it is" if high < 0.5 else "perhaps half is"
    found = numbers.estimate(share(fitted.law), (low, high), percent=True)
    return f"{size} at {short(tokens)}: {found} – {side} due to finite text"


def show_recovery(record):
    """How often the fit's intervals held the truth on made runs, and how wide they were."""
    if not (of := part(record, "recovery")):
        return
    rows = [
        {
            "": name, "made with": f"{one['true']:.2f}", "inside the 95 % interval": f"{one['inside']:.0%}",
            "median width": f"{one['width']:.2f}",
        }
        for name, one in of["found"].items()
    ]  # fmt: skip
    tables.show(
        rows,
        title=f"{of['draws']} sets of made runs, noise {of['noise']:.2%} (between seeds {of['between_seeds']:.2%})",
    )


def show_joint(fitted):
    """α and β of the resamples of a scaling.Fit: one mark a resample."""
    alphas, betas = ([getattr(law, name) for law in fitted.resampled] for name in ("alpha", "beta"))
    alt = "a cloud of marks; where it is long and narrow, one number may grow if the other changes with it"
    with plots.axes(title="The same runs, drawn again", xlabel="α", ylabel="β", alt=alt, size=(9, 4)) as ax:
        ax.plot(alphas, betas, ".", color=plots.OURS, label="a resample")
        ax.plot([fitted.law.alpha], [fitted.law.beta], "D", color=plots.HUMAN, label="all runs")
    found = np.corrcoef([alphas, betas, [law.E for law in fitted.resampled]])
    pairs = {"α and β": found[0, 1], "E and α": found[0, 2], "E and β": found[1, 2]}
    said = ", ".join(f"{names} {numbers.about(value, digits=1)}" for names, value in pairs.items())
    print(f"correlation over {len(alphas)} resamples: {said}")


def show_left(record, law):
    """What a scaling.Law leaves of each run, by its steps: the fitted ones, and shorter ones that it has not seen."""
    alt = "a mark a run over its steps; at zero the law is right; the short runs were not fitted"
    title, label = "What the law leaves", "loss − law, % of the loss"
    with plots.axes(title=title, xlabel="steps of the run", ylabel=label, alt=alt, size=(9, 4)) as ax:
        short_ones = [name for name in (*grid.GRID, *grid.LINE) if name not in grid.FIT]
        for names, color, label in (
            (grid.FIT, plots.OURS, "fitted"),
            (short_ones, plots.HUMAN, "too short, not fitted"),
        ):
            points = [record["points"][name] for name in names if name in record["points"]]
            left = [100 * (1 - law.loss(point["weights"], point["tokens"]) / point["loss"]) for point in points]
            ax.plot([point["steps"] for point in points], left, "o", color=color, label=label)
        ax.axhline(0, color=plots.MUTED)
        ax.set_xscale("log")
