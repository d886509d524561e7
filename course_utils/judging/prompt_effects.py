"""What a change of prompt is worth: effects paired by item, the best of many, and the tables of `run prompting`.

Shapes: N items, S seeds; `right` holds 1 where an item came out right, and a line "0110…" is such a row as it is kept.
"""

import math
import random

import torch

from course_utils.data.prompt_parts import PARTS
from course_utils.evaluation import comparison


def line(bits):
    """(N,) float of "0110…"."""
    return torch.tensor([float(bit) for bit in bits], dtype=torch.float64)


def main_effect(right, part):
    """What a part adds: the mean over all sets with it less the mean over those without, in share right.

    Args:
        right: {set of parts as its code, "i-x-": (N,) of right answers}, all sixteen.
        part: its place in the code.

    Returns:
        A `comparison.Estimate`, paired by item.
    """
    with_it = [torch.as_tensor(rows).double() for name, rows in right.items() if name[part] != "-"]
    without = [torch.as_tensor(rows).double() for name, rows in right.items() if name[part] == "-"]
    return comparison.paired_difference(torch.stack(with_it).mean(0), torch.stack(without).mean(0))


def detectable(items, share, level=1.96, power=0.84):
    """The smallest paired difference that n items find 80 times in 100, where a share of them changes its verdict.

    (1.96 + 0.84) · √(share / n), the normal approximation of McNemar's test.

    Args:
        items: n. share: of the items that turn, from 0 to 1.
    """
    return (level + power) * math.sqrt(share / items)


def lead_lost(right, *, tried, validation, splits=400, seed=0):
    """How much of its lead the best of several prompts keeps on items that did not choose it.

    Items are cut in two at random, many times: so many prompts are drawn, the best on the validation part is taken (of
    equals one at random), and its lead over the mean of all prompts is read on both parts.

    Args:
        right: (prompts, N) of right answers.
        tried: prompts that are drawn each time. validation: items of the validation part.
        splits: how often. seed: of the cuts.

    Returns:
        (lead on validation, lead on the others), means over the splits, in share right.

    Raises:
        ValueError: more prompts than there are, or no item left for the test.
    """
    prompts, items = right.shape
    if not 1 <= tried <= prompts or not 1 <= validation < items:
        raise ValueError(f"Expected up to {prompts} prompts and fewer than {items} items, got {tried}, {validation}.")
    rng, leads = random.Random(f"splits-{seed}"), []
    right = right.double()
    for _ in range(splits):
        order = torch.tensor(rng.sample(range(items), items))
        seen, unseen = right[:, order[:validation]].mean(1), right[:, order[validation:]].mean(1)
        drawn = rng.sample(range(prompts), tried)  # in random order, so that max takes one of equals at random
        best = max(drawn, key=lambda prompt: seen[prompt].item())
        leads.append((seen[best] - seen.mean(), unseen[best] - unseen.mean()))
    return tuple(torch.tensor(leads).mean(0).tolist())


def triple(estimate):
    """[mean, low, high] of an Estimate, as records keep it."""
    return [estimate.mean, estimate.low, estimate.high]


def over_seeds(points, kind, name, key="conditions", samples=1):
    """(S, N) of right answers under one condition, a row for each seed that was measured.

    Args:
        points: {name of a point: what was measured}. kind: what the points' names begin with, as "words-base".
        samples: how often a line asks all its items, one time after the other; an item then counts by its mean.
    """
    rows = [point[key][name] for label, point in points.items() if label.rpartition("-")[0] == kind]
    return torch.stack([line(row).view(samples, -1).mean(0) for row in rows])


def shares(points, kind, pairs=(), key="conditions", samples=1, only_items=()):
    """{condition: its share right with interval; "ours over rival": the paired gain}, {} when nothing is measured.

    Args:
        pairs: (ours, rival) conditions. key: "conditions", or another table of such lines, as "valid".
        samples: as for `over_seeds`.
        only_items: conditions whose seeds differ in their items and in nothing else (no examples, weights or samples of
            their own): their items stand in one row, since resampling seeds as well would count chance twice.
    """
    first = next((point for label, point in points.items() if label.rpartition("-")[0] == kind), None)
    if first is None:
        return {}
    rows = {name: over_seeds(points, kind, name, key, samples) for name in first[key]}
    rows = {name: right.reshape(1, -1) if name in only_items else right for name, right in rows.items()}
    found = {name: triple(comparison.mean_interval(right)) for name, right in rows.items()}
    for ours, rival in pairs:
        found[f"{ours} over {rival}"] = triple(comparison.paired_difference(rows[ours], rows[rival]))
    return found


def apart(points, seeds, arms, how):
    """{"arm, how": its share right}, and what the second arm gains over the first, over the seeds that both have.

    Args:
        points: of kind taught. seeds: to look for. arms: two. how: the conditions, whose items may be of other numbers.
    """
    both = [seed for seed in seeds if all(f"taught-{arm}-{seed}" in points for arm in arms)]
    found = {}
    for way in how if both else ():
        joined = {
            f"taught-{seed}": {
                way: {f"{arm}, {way}": points[f"taught-{arm}-{seed}"]["conditions"][way] for arm in arms}
            }
            for seed in both
        }
        found |= shares(joined, "taught", [(f"{arms[1]}, {way}", f"{arms[0]}, {way}")], key=way)
    return found


def parts(points, model):
    """{"raw", "calibrated": {part: [effect, low, high] over all tasks}, "TASK": {code: [raw, calibrated share]}}.

    Also "…, with input": effects of the other three among the sets that show the input, without which nobody can know.
    """
    tasks = {label.split("-")[2]: point for label, point in points.items() if label.startswith(f"parts-{model}-")}
    if not tasks:
        return {}
    found = {}
    for how in ("raw", "calibrated"):
        first = next(iter(tasks.values()))["conditions"]
        every = {code: torch.cat([line(point["conditions"][code][how]) for point in tasks.values()]) for code in first}
        shown = {code: right for code, right in every.items() if code[2] != "-"}
        found[how] = {part: triple(main_effect(every, place)) for place, part in enumerate(PARTS)}
        found[f"{how}, with input"] = {
            part: triple(main_effect(shown, place)) for place, part in enumerate(PARTS) if part != "input"
        }
    for task, point in tasks.items():
        found[task] = {
            code: [line(both[how]).mean().item() for how in ("raw", "calibrated")]
            for code, both in point["conditions"].items()
        }
    return found


def wordings(points, model, how):
    """What each wording does against the plain prompt, over all tasks, beside what harmless rewordings do.

    Args:
        points: {name: what was measured}. model: "base" or "chat". how: "raw" or "calibrated".

    Returns:
        {"items": N, "plain": share, "spread": [lowest, highest effect of a rewording], "detectable": share, "effects":
        {wording: [mean, low, high]}, "beyond": wordings whose interval leaves out 0 and whose effect lies outside the
        spread}; {} when nothing is measured.
    """
    tasks = [point["conditions"] for name, point in points.items() if name.startswith(f"wording-{model}-")]
    if not tasks:
        return {}
    rows = {name: torch.cat([line(conditions[name][how]) for conditions in tasks]) for name in tasks[0]}
    plain = rows.pop("plain")
    effects = {name: triple(comparison.paired_difference(right, plain)) for name, right in rows.items()}
    turned = sum((right != plain).double().mean().item() for right in rows.values()) / len(rows)
    reworded = [effect[0] for name, effect in effects.items() if name.startswith("reworded")]
    low, high = min([0.0, *reworded]), max([0.0, *reworded])
    beyond = [
        name
        for name, (mean, least, most) in effects.items()
        if not name.startswith("reworded") and (least > 0 or most < 0) and not low <= mean <= high
    ]
    return {
        "items": len(plain), "plain": plain.mean().item(), "spread": [low, high],
        "detectable": detectable(len(plain), turned), "effects": effects, "beyond": beyond,
    }  # fmt: skip


def searched(points, tried, validation):
    """{validation items: {prompts tried: {"validation", "test": [lead of each seed]}}}."""
    rows = [
        torch.stack(list(map(line, point["right"]))) for name, point in points.items() if name.startswith("search-")
    ]
    if not rows:
        return {}
    found = {}
    for size in validation:
        found[str(size)] = {}
        for count in tried:
            leads = [lead_lost(right, tried=count, validation=size, seed=seed) for seed, right in enumerate(rows)]
            found[str(size)][str(count)] = {"validation": [a for a, _ in leads], "test": [b for _, b in leads]}
    return found


def manners(point):
    """{persona: {"letters", "words": [change against nobody, low, high]}}, paired by instruction."""
    nobody = point["manner"]["nobody"]
    return {
        name: {
            what: triple(comparison.paired_difference(torch.tensor(values), torch.tensor(nobody[what])))
            for what, values in both.items()
        }
        for name, both in point["manner"].items()
        if name != "nobody"
    }
