"""What follows from the runs of `scaling`: rates, the law, lines of equal compute, and each arm beside them.

`summary` gives, of the points that there are (a part that lacks points is None),
    rates      {"best": {"SIZE-TOKENS": rate}, "rule"} as `rate_rule` has it
    fit        the law of the fitted runs, its intervals, and what it says of the live run
    largest    {"predicted": [loss, low, high], "found": loss} from the prediction that was written before
    lines      {"low" …: {"runs": [[weights, tokens, loss]], "minimum", "law": [weights, tokens]}}
    kaplan     what moves the best size: how the head is counted, short runs, warm-up, one rate for all
    noise      standard deviation of log loss over seeds
    recovery   the point of this name
    recited    {size: {"exact": {k: [by seed]}, "nats": [by seed]}} of rows that were read RECITED times
    repeats    {size: {times: {"found", "if_new", "by_2023"}}} in nats a token
    mixtures   {"bits": {mixture: {group: bits a byte}}, "best": {group: [mixture, over the even one, low, high]}}
    rivals     {kind: {size: {"weights", "used", "bits_per_byte", "speed", "worse": [by, low, high]}}}
"""

import math

import numpy as np

from course_utils.evaluation import comparison, scaling
from course_utils.experiments import scaling_grid as grid

REFERENCE = 1e5  # weights at which a rule's rates are given


def best_rate(points):
    """The rate at the bottom of a parabola through the best of the tried rates and its neighbours, over log rate.

    Args:
        points: {name: result} of runs that differ in their rate alone; one that was stopped counts as the worst.
    """
    tried = sorted((point["learning_rate"], point.get("loss", math.inf)) for point in points.values())
    place = min(range(len(tried)), key=lambda n: tried[n][1])
    around = tried[place - 1 : place + 2] if place else []
    if len(around) < 3 or not all(math.isfinite(loss) for _, loss in around):
        return tried[place][0]
    bend, slope, _ = np.polyfit(np.log([rate for rate, _ in around]), [loss for _, loss in around], 2)
    return float(np.exp(-slope / (2 * bend))) if bend > 0 else tried[place][0]


def rate_rule(points):
    """{"power": p, "at": {tokens: rate}} of the best of TRIED: rate = at(tokens) · (weights / REFERENCE)^p.

    By least squares on logarithms: a level for each length that was tried, and one power of the size for all.
    """
    best = best_rates(points)
    lengths = sorted({tokens for _, tokens in best})
    plane = [
        [math.log(grid.counted(size)[0] / REFERENCE), *(tokens == one for one in lengths)] for size, tokens in best
    ]
    power, *levels = np.linalg.lstsq(np.array(plane, float), np.log(list(best.values())), rcond=None)[0].tolist()
    return {"power": power, "at": {str(one): math.exp(level) for one, level in zip(lengths, levels, strict=True)}}


def best_rates(points):
    """{(size, tokens): best rate} of TRIED_AT."""
    names = {at: [n for n, run in grid.TRIED.items() if (run.size, run.tokens) == at] for at in grid.TRIED_AT}
    return {at: best_rate({name: points[name] for name in tried}) for at, tried in names.items()}


def rate_by(rule, size, tokens):
    """The rule's rate for a size and tokens, within the rates that were tried.

    Between two lengths that were tried it lies on a straight line of logarithms; beyond them the nearest one's holds.
    """
    lengths, rates = (np.log(np.array(list(values), float)) for values in (rule["at"].keys(), rule["at"].values()))
    rate = math.exp(np.interp(math.log(tokens), lengths, rates)) * (grid.counted(size)[0] / REFERENCE) ** rule["power"]
    return min(max(rate, min(grid.RATES)), max(grid.RATES))


def runs_of(points, weights="weights"):
    """(weights, tokens, losses) of results, those of runs that were stopped left out."""
    done = [point for point in points.values() if "loss" in point]
    return tuple([point[name] for point in done] for name in (weights, "tokens", "loss"))


def described(fitted):
    """{"law", "intervals", "exponent", "left"} of a scaling.Fit, ready for JSON."""
    names = ("E", "alpha", "beta", "exponent")
    return {
        "law": vars(fitted.law), "exponent": fitted.law.exponent,
        "intervals": {name: fitted.interval(lambda law, name=name: getattr(law, name)) for name in names},
        "left": float(np.sqrt(np.mean(fitted.residuals**2))),
    }  # fmt: skip


def summary(points):
    """See the module's docstring."""
    return {
        "rates": rates(points), "fit": fit(points), "largest": largest(points), "lines": lines(points),
        "kaplan": kaplan(points), "noise": noise(points), "recovery": points.get("recovery"),
        "recited": recited(points), "repeats": repeats(points), "mixtures": mixtures(points),
        "rivals": rivals(points),
    }  # fmt: skip


def chosen(points, names):
    """{name: result} of these names, or None if one is missing."""
    return {name: points[name] for name in names} if all(name in points for name in names) else None


def rates(points):
    if not (tried := chosen(points, grid.TRIED)):
        return None
    best = {f"{size}-{tokens}": rate for (size, tokens), rate in best_rates(tried).items()}
    return {"best": best, "rule": rate_rule(tried)}


def fit(points):
    if not (fitted := chosen(points, grid.FIT)):
        return None
    found, weights = scaling.fit(*runs_of(fitted)), grid.counted(grid.LIVE)[0]
    live = {"weights": weights, "tokens": grid.LIVE_TOKENS, "loss": found.predict(weights, grid.LIVE_TOKENS)}
    return described(found) | {"runs": len(fitted), "live": live}


def largest(points):
    if not (point := points.get("largest")) or "loss" not in point:
        return None
    said = point["predicted"]
    return {"predicted": [said["loss"], said["low"], said["high"]], "found": point["loss"]}


def lines(points):
    if not (fitted := chosen(points, grid.FIT)):
        return None
    law = scaling.fit(*runs_of(fitted), resamples=1).law
    return {
        name: {
            "runs": [list(run) for run in zip(*runs_of(_line(points, f"{name}-")), strict=True)],
            "minimum": minimum(_line(points, f"{name}-")), "law": law.optimum(flops),
        }
        for name, (flops, _) in grid.LINES.items()
    }  # fmt: skip


def _line(points, start):
    return {name: point for name, point in points.items() if name.startswith(start)}


def minimum(points):
    """{"weights", "loss", "inside"} of the runs of one line, or None where they do not bend upwards."""
    weights, _, losses = runs_of(points)
    try:
        return vars(scaling.iso_flop_minimum(weights, losses))
    except ValueError:
        return None


def kaplan(points):
    """{"count": {"all", "blocks"}, "points": {"long", "earlier", "short too"}} by laws, each [exponent, low, high].

    "earlier" are the runs of EARLIER_LEAST steps or more.

    Beside them "line": {"own", "warm", "kept": `minimum`} of the low line, without and with a fault; None before these
    are run.
    """
    fitted, every = chosen(points, grid.FIT), chosen(points, (*grid.FIT, *grid.GRID, *grid.LINE))
    if not every:
        return None
    there = chosen(points, (*grid.WARM, *grid.KEPT))
    long, arms = _exponent(runs_of(fitted)), {"own": "", "warm": "warm-", "kept": "kept-"}
    earlier = {name: point for name, point in every.items() if point["tokens"] >= grid.EARLIER_LEAST * grid.A_STEP}
    return {
        "count": {"all": long, "blocks": _exponent(runs_of(fitted, "block_weights"))},
        "points": {
            "long": long, "earlier": _exponent(runs_of(earlier)), "short too": _exponent(runs_of(every)),
        },
        "line": there and {arm: minimum(_line(points, f"{start}low-")) for arm, start in arms.items()},
    }  # fmt: skip


def _exponent(runs):
    fitted = scaling.fit(*runs)
    return [fitted.law.exponent, *fitted.interval(lambda law: law.exponent)]


def noise(points):
    if not chosen(points, grid.AGAIN):
        return None
    alike = [seeds_of(points, *at) for at in grid.AGAIN_AT]
    spread = [np.var(np.log([point["loss"] for point in seeds]), ddof=1) for seeds in alike]
    return float(np.sqrt(np.mean(spread)))


def recited(points):
    if not chosen(points, grid.RECITE):
        return None
    found = {}
    for size in grid.SEEDED:
        seeds = [points[f"recite-{size}-{seed}"]["recited"] for seed in (0, *grid.SEEDS)]
        exact = {str(k): [one["exact"][str(k)] for one in seeds] for k in grid.SPANS}
        found[size] = {"exact": exact, "nats": [one["nats"] for one in seeds]}
    return found


def seeds_of(points, size, tokens):
    """The results of the runs of a size over so many tokens, seed 0 first."""
    again = [f"again-{size}-{tokens}-{seed}" for seed in grid.AGAIN_AT[size, tokens]]
    names = [f"grid-{size}-{tokens}", *again]
    return [points[name] for name in names if name in points]


def repeats(points):
    planned = grid.REPEATS | {f"recite-{size}-0": grid.RECITE[f"recite-{size}-0"] for size in grid.REPEATED}
    fitted, there = chosen(points, grid.FIT), chosen(points, planned)
    if not (fitted and there):
        return None
    law, found = scaling.fit(*runs_of(fitted), resamples=1).law, {}
    for name, run in planned.items():
        unique = there[name]["unique_tokens"]
        by_2023 = law.loss(there[name]["weights"], scaling.effective_tokens(unique, run.tokens))
        if_new = points[f"grid-{run.size}-{run.tokens}"]["loss"]
        of = {"found": there[name]["loss"], "if_new": if_new, "by_2023": float(by_2023)}
        found.setdefault(run.size, {})[str(run.times)] = of
    return found


def per_byte(point):
    """{source: bits a byte of each of its held-out documents}."""
    found, first = {}, 0
    for source, (count, size) in point["documents"].items():
        found[source] = [bits * count / size for bits in point["bits"][first : first + count]]
        first += count
    return found


def mixtures(points):
    if not (there := chosen(points, grid.MIX)):
        return None
    seeds = sorted({run.seed for run in grid.MIX.values()})
    groups = {mix: [_of_groups(per_byte(there[f"mix-{mix}-{seed}"])) for seed in seeds] for mix in grid.MIXTURES}
    bits = {
        mix: {group: float(np.mean([of[group] for of in of_seeds])) for group in grid.GROUPS}
        for mix, of_seeds in groups.items()
    }
    best = {}
    for group in grid.GROUPS:
        first = min(bits, key=lambda mix: bits[mix][group])
        ours, even = ([of[group] for of in groups[mix]] for mix in (first, "all"))
        best[group] = [first, *_difference(ours, even)]
    return {"bits": bits, "best": best}


def _of_groups(sources):
    return {
        group: [rate for source in names for rate in sources.get(source, ())] for group, names in grid.GROUPS.items()
    }


def _difference(ours, baseline):
    found = comparison.paired_difference(ours, baseline)
    return [found.mean, *found.interval]


def rivals(points):
    if not chosen(points, (*grid.TUNE, *grid.RIVAL)):
        return None
    return {kind: {size: _rival(points, kind, size) for size in (grid.RIVAL_AT, *grid.RIVAL_SIZES)} for kind in KINDS}


KINDS = ("gemma", *grid.RIVALS)


def rival_point(points, kind, size):
    """The name of the point of a kind and size; where rates were tried, of the best of them."""
    if kind == "gemma":
        return f"grid-{size}-{grid.RIVAL_TOKENS}"
    if size != grid.RIVAL_AT:
        return f"rival-{kind}-{size}"
    tried = [name for name, run in grid.TUNE.items() if run.kind == kind]
    return min(tried, key=lambda name: points[name].get("loss", math.inf))


def _rival(points, kind, size):
    point, ours = (points[rival_point(points, of, size)] for of in (kind, "gemma"))
    if "loss" not in point:
        return None  # stopped: no number came of it
    flat = [[rate for rates in per_byte(of).values() for rate in rates] for of in (point, ours)]
    return {
        "weights": point["weights"], "used": point["used_weights"], "bits_per_byte": point["bits_per_byte"],
        "speed": point["tokens_per_second"], "worse": _difference(*flat),
    }  # fmt: skip
