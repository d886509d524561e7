"""The tables of `run evaluation`, from the numbers an item that its points hold.

Every estimate is [mean, low, high] at 95 %; S seeds, N items, M contestants.
"""

import itertools

import torch

from course_utils.data import exams
from course_utils.evaluation import comparison, preference
from course_utils.experiments.in_context import bits
from course_utils.judging import contamination, judges, multiple_choice, ranking, text_measures

# five policies for five measures; "empty" is the broken one
POLICIES = ("base", "prompted", "sft", "ppo", "empty")
VERSIONS = tuple(itertools.product(("seen", "unseen"), ("own", "reworded")))
FEW = 10  # items of a ranking that is to be unsure


def tables(points):
    """{kind: its table} of the kinds that were measured. points: {name of a point: what was measured}."""
    found = {
        "exam": exam(points), "made up": made_up(points), "bias": bias(points), "bought": bought(points),
        "ranking": rankings(points), "old measures": old_measures(points), "variety": variety(points),
        "judges": judged(points, "all"), "judges, same sign": judged(points, "same sign"),
        "judges over one person": over_a_person(points), "biases": biases(points),
    }  # fmt: skip
    return {kind: table for kind, table in found.items() if table}


def triple(estimate):
    """[mean, low, high] of a comparison.Estimate."""
    return [estimate.mean, *estimate.interval]


def line(text):
    """(N,) float of "0110…"."""
    return torch.tensor([float(bit) for bit in text], dtype=torch.float64)


def of_kind(points, kind):
    """{what stands behind the dash: point} of the points of a kind, in their order."""
    return {name.partition("-")[2]: point for name, point in points.items() if name.partition("-")[0] == kind}


def exam(points):
    """{kind: {"chance", "items", MODEL: {rule: [share, low, high], "sure", "error", "right": {rule: bits}}}}.

    "sure" and "error" are the mean confidence by letter and its calibration error.
    """
    found = {}
    for name, known in of_kind(points, "exam").items():
        model, _, kind = name.partition("-")
        chance = _mean([1 / len(row) for row in known["letter"]])
        right = {rule: multiple_choice.right(known, rule) for rule in multiple_choice.RULES}
        sure = multiple_choice.confidence(known, "letter")
        table = found.setdefault(kind, {"items": len(known["letter"]), "chance": chance})
        table[model] = {rule: triple(comparison.mean_interval(row)) for rule, row in right.items()} | {
            "sure": sure.mean().item(),
            "error": multiple_choice.calibration_error(sure, right["letter"]),
            "right": {rule: bits(row.int().tolist()) for rule, row in right.items()},
            "letters": {letter: _letter_share(known, place) for place, letter in enumerate(exams.LETTERS)},
        }
    return found


def _letter_share(known, place):
    """How often a letter is taken, whatever is right."""
    return _mean([float(row.index(max(row)) == place) for row in known["letter"]])


def made_up(points):
    """{model: {"real", "invented": [share that says so, low, high], "told apart": their difference, "calmer"}}.

    "calmer": how many more answers about invented things do not say so than the base model's; None without its point.
    """
    found, base = {}, points.get("probe-base")
    for model, point in of_kind(points, "probe").items():
        real, said = line(point["real"]).bool(), line(point["says so"])
        found[model] = {
            "real": triple(comparison.mean_interval(said[real])),
            "invented": triple(comparison.mean_interval(said[~real])),
            "told apart": triple(comparison.paired_difference(said[~real], said[real])),  # twins, in one order
            "calmer": base and triple(comparison.paired_difference(line(base["says so"])[~real], said[~real])),
        }
    return found


def bias(points):
    """{model: {"jobs": {job: log-odds he − she}, "spread": their standard deviation, "groups": {pair: [mean, …]}}}."""
    found = {}
    for model, point in of_kind(points, "probe").items():
        jobs = {job: sum(odds) / len(odds) for job, odds in point["jobs"].items()}
        table = torch.tensor(list(point["jobs"].values()), dtype=torch.float64)
        centred = table - table.mean(0)
        found[model] = {
            "jobs": dict(sorted(jobs.items(), key=lambda job: job[1])),
            "spread": centred.mean(1).std().item(),
            "groups": {
                name: triple(comparison.paired_difference(torch.tensor(one), torch.tensor(two)))
                for name, (one, two) in point["groups"].items()
            },
        }
    return found


def bought(points):
    """What tuning on the test buys: gains by part and wording, their difference, and two detectors.

    {"shares", "gains": {"seen own", …: [mean, low, high]}, "seen own over reworded", "seen over unseen": the same,
    "detectors": {when: {"min-k", "order": the AUC of each seed}}}.
    """
    measured = list(of_kind(points, "bought").values())
    if not measured:
        return {}

    def rows(when, part, how):  # each seed has items of its own, so that they stand in one row
        return torch.cat([line(point[when][part][how]) for point in measured])

    gain = {f"{p} {how}": rows("after", p, how) - rows("before", p, how) for p, how in VERSIONS}
    shares = {
        f"{when} {p} {how}": triple(comparison.mean_interval(rows(when, p, how)))
        for when in ("before", "after") for p, how in VERSIONS
    }  # fmt: skip
    detectors = {
        when: {
            "min-k": [contamination.told_apart(p[when]["seen"]["min-k"], p[when]["unseen"]["min-k"]) for p in measured],
            "order": [contamination.told_apart(p[when]["seen"]["order"], p[when]["unseen"]["order"]) for p in measured],
        }
        for when in ("before", "after")
    }
    return {
        "shares": shares, "gains": {name: triple(comparison.mean_interval(row)) for name, row in gain.items()},
        "seen own over reworded": triple(comparison.paired_difference(gain["seen own"], gain["seen reworded"])),
        "seen over unseen": triple(comparison.paired_difference(gain["seen own"], gain["unseen own"])),
        "detectors": detectors,
    }  # fmt: skip


def _mean(values):
    return sum(values) / len(values)


def scores_of(point, judge, names=None):
    """(N, M) of one judge's scores of some contestants. names: all of them when None."""
    table = point["scores"][judge]
    return torch.tensor([table[name] for name in names or table], dtype=torch.float64).T


def rankings(points):
    """{seed: {"gold": {name: mean}, who votes: {"table", "apart", "agrees", "kendall"}}}.

    Who votes: one simulated person a pair ("person"), the same on FEW items ("few items"), the proxy, the word list,
    length. "agrees": of the pairs that both the votes and the gold judge tell apart, the share in one order.
    """
    found = {}
    for seed, point in of_kind(points, "arena").items():
        gold = scores_of(point, "gold")
        names = tuple(point["scores"]["gold"])
        truth = ranking.rank(names, ranking.outcomes(gold))
        coins = ranking.one_person(gold, int(seed))
        votes = {"person": coins, "few items": coins[:FEW], "gold": ranking.outcomes(gold)}
        votes |= {judge: ranking.outcomes(scores_of(point, judge)) for judge in ("proxy", "lexicon", "words")}
        found[seed] = {"gold mean": dict(zip(names, gold.mean(0).tolist(), strict=True))}
        sure = set(truth.apart())
        for who, given in votes.items():
            made = ranking.rank(names, given)
            apart = made.apart()
            both = [pair in sure for pair in apart if pair in sure or pair[::-1] in sure]
            found[seed][who] = {
                "table": made.table(), "apart": len(apart), "neighbours": _neighbours(made, apart),
                "both sure": len(both), "agrees": sum(both),
                "kendall": ranking.kendall(made.strengths, truth.strengths),
            }  # fmt: skip
    return found


def _neighbours(made, apart):
    """How many pairs of neighbours in the ranking are told apart."""
    order = list(made.table())
    return sum(pair in apart for pair in itertools.pairwise(order))


def old_measures(points):
    """{seed: {measure: {"means": {policy: mean}, "empty": its place from 1, "kendall": with the gold judge}}}."""
    found = {}
    for seed, point in of_kind(points, "arena").items():
        means = {judge: scores_of(point, judge, POLICIES).mean(0) for judge in ("rouge", "exact", "next word", "gold")}
        distinct = [text_measures.distinct(point["texts"][name]) for name in POLICIES]
        means["distinct"] = torch.tensor(distinct, dtype=torch.float64)
        votes = ranking.one_person(scores_of(point, "gold", POLICIES), int(seed))
        means["votes"] = ranking.rank(POLICIES, votes).strengths
        found[seed] = {
            measure: {
                "means": dict(zip(POLICIES, values.tolist(), strict=True)),
                "empty": _place(values, POLICIES.index("empty")),
                "kendall": ranking.kendall(values, means["gold"]),
            }
            for measure, values in means.items()
        }
    return found


def _place(values, which):
    """One's place among them from 1; None where all are equal."""
    return 1 + int((values > values[which]).sum()) if len(values.unique()) > 1 else None


def variety(points):
    """{seed: {contestant: {"gold", "distinct", "self-bleu", "words"}}}: diversity beside quality."""
    found = {}
    for seed, point in of_kind(points, "arena").items():
        found[seed] = {
            name: {
                "gold": _mean(point["scores"]["gold"][name]), "words": _mean(point["scores"]["words"][name]),
                "distinct": text_measures.distinct(texts), "self-bleu": text_measures.self_bleu(texts),
            }
            for name, texts in point["texts"].items()
        }  # fmt: skip
    return found


def verdicts(point):
    """{judge: (N,) 1 where it takes a pair's first text, ½ for a tie} of a point of kind judge, and people's."""
    gap = torch.tensor([float(pair["gap"]) for pair in point["pairs"]])
    by_odds = {name: torch.tensor(point[name], dtype=torch.float64) for name in ("gold", "proxy")} | {"length": gap}
    for model in ("base", "chat"):
        one, two = (torch.tensor(point[model][order], dtype=torch.float64) for order in ("forward", "backward"))
        by_odds |= {
            f"{model}, one order": one, f"{model}, both orders": judges.averaged(one, two),
            f"{model}, grades": torch.tensor(point[model]["grades"], dtype=torch.float64),
            f"{model}, both orders, without length": judges.without_length(judges.averaged(one, two), gap),
        }  # fmt: skip
    found = {name: preference.ordered_right(odds, torch.zeros_like(odds)) for name, odds in by_odds.items()}
    return found | {
        who: torch.tensor([pair[who] for pair in point["pairs"]], dtype=torch.float64) for who in ("panel", "person")
    }


def agreements(points, which="all"):
    """{judge: (N,) the chance to agree with the panel on a pair} over all seeds; {} when nothing is measured.

    Args:
        which: "all" pairs, or those of the "same sign".
    """
    measured = list(of_kind(points, "judge").values())
    if not measured:
        return {}
    every = [verdicts(point) for point in measured]
    kept = torch.cat([torch.tensor([which == "all" or pair[which] for pair in p["pairs"]]) for p in measured])
    joined = {name: torch.cat([own[name] for own in every])[kept] for name in every[0]}
    panel = joined.pop("panel")
    return {name: preference.agreement(own, panel) for name, own in joined.items()}


def judged(points, which):
    """{judge: [agreement with the panel, low, high]} of the pairs of `agreements`."""
    return {name: triple(comparison.mean_interval(own)) for name, own in agreements(points, which).items()}


def over_a_person(points):
    """{judge: [its agreement less that of one person, low, high]}, paired by pair."""
    found = agreements(points)
    person = found.pop("person", None)
    return {name: triple(comparison.paired_difference(own, person)) for name, own in found.items()}


def biases(points):
    """{model: {"first place", "consistent": shares, "longer": [more often than people, low, high], "own kind": …}}.

    "own kind": how much more often the model takes the instruct model's answer over the base model's than the gold
    judge does, over the arena's openings.
    """
    measured, arenas = of_kind(points, "judge"), of_kind(points, "arena")
    found = {}
    for model in ("base", "chat") if measured else ():
        one, two = (
            torch.cat([torch.tensor(p[model][order], dtype=torch.float64) for p in measured.values()])
            for order in ("forward", "backward")
        )
        pairs = [pair for point in measured.values() for pair in point["pairs"]]
        gap, panel = (torch.tensor([float(pair[name]) for pair in pairs]).double() for name in ("gap", "panel"))
        found[model] = {
            "first place": judges.first_place(one, two),
            "consistent": (judges.both_orders(one, two) != 0.5).double().mean().item(),
            "longer": triple(judges.liking_for_length(judges.both_orders(one, two), panel, gap)),
            "own kind": _own_kind(measured, arenas, model),
        }
    return found


def _own_kind(measured, arenas, model):
    seeds = [seed for seed in measured if seed in arenas]
    if not seeds:
        return None
    liked = torch.cat([torch.tensor(measured[seed][model]["own kind"], dtype=torch.float64) for seed in seeds])
    gold = torch.cat([torch.diff(scores_of(arenas[seed], "gold", ("base", "instruct")))[:, 0] for seed in seeds])
    sides = [preference.ordered_right(odds, torch.zeros_like(odds)) for odds in (liked, gold)]
    return triple(comparison.paired_difference(*sides, over="items"))
