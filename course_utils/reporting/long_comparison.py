"""The long comparison of adapter methods, as `python -m course_utils run comparison` recorded it: bars, lines, tables.

Intervals are over reviews and seeds together. Methods graded the same reviews, so the paired lines decide more than
marks whose intervals overlap. What is recorded is the same on every machine and stands without the mark ≈.
"""

import torch

from course_utils import runtime
from course_utils.evaluation import comparison, graded
from course_utils.reporting import claims, numbers, plots, tables

TITLES = {"zero-shot": "zero-shot, calibrated", "examples": "16 examples", "words": "ridge on words"}
TITLES |= {"lora": "LoRA r8", "lora-r1": "LoRA r1", "ia3": "IA3", "prefix": "prefix tuning", "prompt": "prompt tuning"}
TITLES |= {"p-tuning": "P-tuning", "full": "full tuning", "alone": "movies"}
TITLES |= {"start": "its own untrained start"}
BASELINES = ("zero-shot", "examples", "words")
WORDS = {"holds": "above", "fails": "below", "undecided": "not told apart from"}


def show_bars(known, arm):
    """From where to where: every method's correlation before its first step and after its last, and the baselines.

    The values stand in one column at the right, where no line crosses them.

    Args:
        known: the record, as `reference.load("comparison")` gives it.
        arm: the method of this notebook, drawn in our colour, with a mark of its own shape and twice the size.
    """
    summary, setting = known["summary"], known["setting"]
    names = [name for name, found in summary.items() if "alone" in found]
    alt = "each trained method is a line from its untrained start to a mark with a short interval, near one another; "
    alt += f"the largest mark is {TITLES[arm]}"
    size = (9, 1.4 + 0.5 * len(names))
    with plots.axes(
        title="The long comparison", xlabel="correlation, 95 % interval", ylabel="", size=size, alt=alt
    ) as ax:
        for place, name in enumerate(names):
            found, color = summary[name], plots.OURS if name == arm else plots.BASELINE
            mean, low, high = found["alone"]
            if start := found.get("start"):
                ax.plot([max(start.values()), mean], [place, place], "-", color=plots.MUTED, marker="|", zorder=1)
            color = color if "seeds" in found else plots.HUMAN
            look = {"fmt": plots.MARKERS[color], "markersize": 16 if name == arm else 8, "color": color, "capsize": 4}
            ax.errorbar(mean, place, xerr=[[mean - low], [high - mean]], **look)
            edge = ax.get_yaxis_transform()  # x from 0 to 1, y in data
            ax.text(1.02, place, f"{mean:.3f}", va="center", fontsize=12, transform=edge)
        ax.axvline(known["points"]["baselines"]["person"], color=plots.HUMAN, linestyle="--")
        ax.set_yticks(range(len(names)), [TITLES[name] for name in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
    seeds = {len(found["seeds"]) for found in summary.values() if "seeds" in found}
    print(f"{setting['test']:,} reviews, {setting['steps']} steps, {min(seeds)} seeds of each trained method")
    print(f"dashed: one person, {known['points']['baselines']['person']:.3f}; grey lines begin at the untrained start")


def show_verdicts(known, arm, live, *, items, rivals=()):
    """Where a method stands by paired intervals, and whether a live run of the trial's size lies where it predicts.

    Args:
        known, arm: as above.
        live: correlation of this notebook's run.
        items: reviews that it was judged on.
        rivals: other methods to be compared with besides the baselines and full tuning.
    """
    found, setting = known["summary"][arm], known["setting"]
    print("seed by seed:", ", ".join(f"{score:.3f}" for score in found["seeds"]))
    gaps = {rival: found[f"over {rival}"] for rival in ("start", *BASELINES, "full") if f"over {rival}" in found}
    for rival, gap in (gaps | {rival: paired(known, arm, rival) for rival in rivals}).items():
        print(f"{TITLES[arm]} is {told_apart(gap)} {TITLES[rival]}: {_shown(gap)}")
    if runtime.current().tier != "cpu":
        print("the trials had the sizes of the cpu tier, so your run is not held against one")
        return
    trial = known["points"][f"rate-{arm}-middle"]["correlation"]
    low, high = comparison.prediction_interval(trial, items=items, recorded_items=setting["validation"])
    place = "inside" if low <= live <= high else "outside"
    print(f"a trial with your recipe reached {trial:.2f}, so yours should lie between {low:.2f} and {high:.2f};")
    print(f"it is {numbers.about(live, digits=2)}: {place}")


def show_start(known, arm):
    """What the record has of a method over its own untrained start: each seed, and the gain with its interval."""
    found, setting = known["summary"][arm], known["setting"]
    print("trained, seed by seed:", ", ".join(f"{score:.3f}" for score in found["seeds"]))
    if "start" not in found:
        print("its untrained start is not in the record yet; measure it with: python -m course_utils run comparison")
        return
    start = max(found["start"], key=found["start"].get)
    how = {"predicted": "as it comes", "calibrated": "calibrated"}[start]
    print(f"untrained start on {setting['test']:,} reviews, {how}: {found['start'][start]:.3f}")
    print(f"gain: {_shown(found['over start'])}: {told_apart(found['over start'])} the start")


def paired(known, arm, rival):
    """[mean, low, high] of a method's correlation minus a rival's, over the reviews and the seeds that both have."""
    points, truth = known["points"], graded.from_line(known["points"]["baselines"]["truth"])
    seeds = [
        seed for seed in known["setting"]["seeds"] if all(f"test-{name}-{seed}" in points for name in (arm, rival))
    ]
    ours, theirs = (
        torch.stack([graded.from_line(points[f"test-{name}-{seed}"]["predicted"]) for seed in seeds])
        for name in (arm, rival)
    )
    gap = comparison.correlation_difference(ours, theirs, truth, over="both")
    return [gap.mean, gap.low, gap.high]


def rated(known, baseline, exam):
    """(N,) ratings that a baseline of the record gave to just these reviews; nothing has to run for them.

    Args:
        known: as above.
        baseline: one of BASELINES; "examples" is the base model behind sixteen of them, calibrated.
        exam: a `graded.Exam` of test reviews.

    Raises:
        ValueError: a review that the record has not, or has with another mean.
    """
    said, truth = (graded.from_line(known["points"]["baselines"][name]) for name in (baseline, "truth"))
    places = {row["id"]: place for place, row in enumerate(graded.Exam.of(len(said), exam.tokenizer).rows)}
    chosen = [places[row["id"]] for row in exam.rows if row["id"] in places]
    if len(chosen) < len(exam.rows) or (truth[chosen] - exam.truth).abs().max() > 0.006:  # lines hold hundredths
        raise ValueError(
            f"The record graded the first {len(said):,} test reviews of movies, and these {len(exam.rows):,} are not "
            "all among them. Take an Exam of that domain and split, or leave this rival out."
        )
    return said[chosen]


def told_apart(gap):
    """Where ours lies by [mean, low, high] of a difference: above, below, or not told apart from."""
    return WORDS[claims.verdict(gap[0], gap[1:], "at_least", 0)]


def _shown(gap):
    return f"{gap[0]:+.3f} [{gap[1]:+.3f}, {gap[2]:+.3f}]".replace("-", "−")


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


def show_anchors(known):
    """What a fixed word among P-tuning's vectors is worth: each arm's start and seeds, then the gaps between arms.

    Args:
        known: the record, as `reference.load("anchors")` gives it.
    """
    found, setting = known["summary"], known["setting"]
    words = {"none": "no anchor", "task": f"anchor {setting['task'].strip()!r}", "other": "anchor of no task"}
    for arm, name in words.items():
        seeds = ", ".join(f"{score:.3f}" for score in found[arm]["seeds"])
        print(f"{name:18} start {found[arm]['start']:.3f}, trained, seed by seed: {seeds}")
    for ours, rival in (gap.split(" over ") for gap in found if " over " in gap):
        gap = found[f"{ours} over {rival}"]
        print(f"{words[ours]} is {told_apart(gap)} {words[rival]}: {_shown(gap)}")


def show_forgetting(known):
    """What was lost of untrained tasks: a table of the shares right, then the gain on the trained task and log p.

    Args:
        known: the record, as `reference.load("forgetting")` gives it.
    """
    found = known["summary"]
    columns = {"lora": TITLES["lora"], "full": TITLES["full"], "lora over full": "LoRA − full"}
    rows = {name: {"share right": name, "base": f"{found['base'][name]:.2f}"} for name in found["questions"]}
    for column, title in columns.items():
        for name, gap in found[column]["right"].items():
            rows[name][title] = numbers.recorded(gap[0], gap[1:], signed=True)
    tables.show(list(rows.values()))
    print("columns two and three: change from the base; all intervals over questions and seeds")
    for column, title in columns.items():
        mean, *interval = found[column]["correlation"]
        print(
            f"{title}: correlation with people {numbers.recorded(mean, interval, signed=' over ' in column)};", end=" "
        )
        gaps = [found[column]["logps"][name] for name in ("written", "text")]
        answer, token = (numbers.recorded(gap[0], gap[1:], signed=True) for gap in gaps)
        print(f"log p of a written answer {answer}, of a token of plain text {token}")


def _trained(known):
    return {arm: found for arm, found in known["summary"].items() if "median" in found}
