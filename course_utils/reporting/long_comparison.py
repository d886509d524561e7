"""The long comparison of adapter methods, as `python -m course_utils run comparison` recorded it: bars, lines, tables.

Bars have intervals over reviews. Methods graded the same reviews, so the paired lines decide more than bars that
overlap. Spread over seeds is apart from both.
"""

from course_utils import runtime
from course_utils.evaluation import comparison
from course_utils.reporting import claims, plots, tables

TITLES = {"zero-shot": "zero-shot, calibrated", "examples": "16 examples", "words": "ridge on words"}
TITLES |= {"lora": "LoRA r8", "lora-r1": "LoRA r1", "ia3": "IA3", "prefix": "prefix tuning", "prompt": "prompt tuning"}
TITLES |= {"p-tuning": "P-tuning", "full": "full tuning", "alone": "movies"}
WORDS = {"holds": "above", "fails": "below", "undecided": "not told apart from"}


def show_bars(known, arm):
    """Correlation of every method with people's mean, with the baselines, one person as the dashed line.

    Args:
        known: the record, as `reference.load("comparison")` gives it.
        arm: the method of this notebook, drawn in our colour.
    """
    summary, setting = known["summary"], known["setting"]
    estimates = {
        TITLES[name]: comparison.Estimate(*found["alone"], len(found.get("seeds", "1")), setting["test"])
        for name, found in summary.items()
        if "alone" in found
    }
    person = known["points"]["baselines"]["person"]
    plots.bars(
        estimates, ours=[TITLES[arm]], human=person, title="The long comparison", xlabel="correlation, 95 % interval"
    )
    seeds = {TITLES[name]: len(found["seeds"]) for name, found in summary.items() if "seeds" in found}
    print(f"{setting['test']:,} reviews, {setting['steps']} steps; seeds:", seeds)


def show_verdicts(known, arm, live, *, items):
    """Where a method stands by paired intervals, and whether a live run of the trial's size lies where it predicts.

    Args:
        known, arm: as above.
        live: correlation of this notebook's run.
        items: reviews that it was judged on.
    """
    found, setting = known["summary"][arm], known["setting"]
    for rival in ("zero-shot", "examples", "full"):
        if f"over {rival}" in found:
            mean, *interval = found[f"over {rival}"]
            verdict = WORDS[claims.verdict(mean, interval, "at_least", 0)]
            print(f"{TITLES[arm]} is {verdict} {TITLES[rival]}: {mean:+.3f} [{interval[0]:+.3f}, {interval[1]:+.3f}]")
    if runtime.current().tier != "cpu":
        print("the trials had the sizes of the cpu tier, so your run is not held against one")
        return
    trial = known["points"][f"rate-{arm}-middle"]["correlation"]
    within = comparison.within_prediction(live, trial, items=items, recorded_items=setting["validation"])
    print(f"a trial with your recipe reached {trial:.2f}; your run lies where it predicts:", within)


def show_costs(known):
    """A table of what each method costs: trained weights, bytes, seconds, memory, and how far the model went."""
    tables.show(
        [
            {
                "method": TITLES[arm],
                "trained": f"{found['trained']:,.0f}",
                "on disk": f"{found['bytes'] / 1e6:.2f} MB",
                "step": f"{found['seconds_a_step']:.1f} s",
                "peak": f"{found['peak_mb'] / 1e3:.1f} GB",
                "median": f"{found['median']:.3f}",
                "best": f"{found['best']:.3f}",
                "KL": f"{found['divergence']:.3f}",
            }
            for arm, found in _trained(known).items()
        ]
    )


def show_shift(known):
    """A table of correlations: movies, other domains, few reviews; then the widest half of an interval."""
    setting, arms = known["setting"], _trained(known)
    columns = ["alone", *setting["shifted"], *(f"from {count}" for count in reversed(setting["few"]))]
    found = {TITLES.get(name, name): {arm: of[name] for arm, of in arms.items() if name in of} for name in columns}
    rows = [
        {"method": TITLES[arm]} | {name: column.get(arm, [None])[0] for name, column in found.items()} for arm in arms
    ]
    tables.show(rows)
    widest, first = {}, {}
    for name, column in ((name, column) for name, column in found.items() if column):
        widest[name] = round(max(high - low for _, low, high in column.values()) / 2, 2)
        first[name] = TITLES[max(column, key=lambda arm, column=column: column[arm][0])]
    print("widest half of an interval:", widest)
    print("first in each column:", first)


def _trained(known):
    return {arm: found for arm, found in known["summary"].items() if "median" in found}
