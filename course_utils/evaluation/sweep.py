"""The comparison of the adapter methods: a grid written down beforehand, worked off point by point, resumable.

    rate    every arm × 3 learning rates, one seed, judged on validation: all methods get the same number of trials
    test    every arm but the random starts at its best rate × 3 seeds: test items, other domains, what was forgotten
    few     the same arms and rates × 3 seeds on few rows

Every point of a part learns from equally many reviews in the same order. A point's result is one line of
`points.jsonl`; a point that has its line is not run again, and the run of one that was killed goes on from its last
checkpoint. Nothing in a line depends on the other lines, except the best learning rate.
"""

import json
import shutil
import statistics
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from course_utils import runtime
from course_utils.adapters import library, weights
from course_utils.data import graded as data
from course_utils.data import instructions, reviews, small_tasks
from course_utils.evaluation import comparison, forgetting, graded
from course_utils.models.base import load_base
from course_utils.training import graded as training
from course_utils.training import sft, stages

# arm → (method, sizes of its adapter; None takes the method's own start)
ARMS = {
    "full": ("full", None),
    "lora": ("lora", None),
    "lora r1": ("lora", {"rank": 1, "alpha": 2}),
    "ia3": ("ia3", None),
    "prompt": ("prompt", None),
    "prompt, random words": ("prompt", {"tokens": 20}),
    "p-tuning": ("p-tuning", None),
    "prefix": ("prefix", None),
    "prefix, random numbers": ("prefix", {"tokens": 20}),
}
SPREAD = (1 / 3, 1.0, 3.0)  # times the method's middle learning rate
DOMAINS = ("products", "tweets", "news")


@dataclass(frozen=True)
class Grid:
    """The sizes of the whole comparison."""

    rows: int = 1536  # training reviews
    steps: int = 96
    validation: int = 300  # reviews that learning rates are chosen on
    test: int = 2000  # paired items
    shifted: int = 400  # of each other domain
    few_test: int = 600  # test items behind few rows
    few: tuple[tuple[int, int], ...] = ((32, 24), (128, 48), (512, 72))  # (training reviews, steps)
    seeds: tuple[int, ...] = (0, 1, 2)
    texts: int = 4  # plain texts of 64 tokens, for the distance to the base
    questions: int = 24  # of the other task
    arms: tuple[str, ...] = tuple(ARMS)


@dataclass(frozen=True)
class Point:
    """One training run of the grid."""

    part: str
    arm: str
    learning_rate: float
    seed: int
    rows: int
    steps: int


def rate_points(grid):
    """The learning-rate trials, which also show what the start is worth."""
    return [
        Point("rate", arm, float(f"{training.RATES[ARMS[arm][0]] * factor:.1g}"), 0, grid.rows, grid.steps)
        for arm in grid.arms
        for factor in SPREAD
    ]


def later_points(grid, rates):
    """What follows when each arm's rate is known: rates is {arm: learning rate}."""
    parts = [("test", grid.rows, grid.steps), *(("few", rows, steps) for rows, steps in grid.few)]
    return [
        Point(part, arm, rates[arm], seed, rows, steps)
        for part, rows, steps in parts
        for arm in grid.arms
        if "random" not in arm
        for seed in grid.seeds
    ]


def best_rates(lines):
    """{arm: the learning rate with the highest correlation on validation}."""
    tried = [line for line in lines if line["point"]["part"] == "rate"]
    best = {}
    for line in sorted(tried, key=lambda line: line["correlation"]):
        best[line["point"]["arm"]] = line["point"]["learning_rate"]
    return best


def read(path):
    """The lines of a points file; a last line that a kill cut off does not count."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def work_off(grid, folder, *, run=None, say=print):
    """Run every point that has no line yet; returns all lines.

    Args:
        grid: a Grid.
        folder: holds points.jsonl and the baselines; another grid needs another folder.
    """
    run, path = run or runtime.current(), Path(folder) / "points.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    bench = Bench(grid, run)
    if not any("baselines" in line for line in read(path)):
        _append(path, {"point": {"part": "baselines"}, "baselines": bench.baselines()})
    for stage in (rate_points, later_points):
        done = read(path)
        points = stage(grid) if stage is rate_points else stage(grid, best_rates(done))
        known = [line["point"] for line in done]
        for number, point in enumerate(points, 1):
            if asdict(point) not in known:
                line = bench.measure(point)
                _append(path, line)
                say(f"{point.part} {number}/{len(points)}  {point.arm}: correlation {line['correlation']:.3f}")
    return read(path)


def _append(path, line):
    cut = path.exists() and not path.read_bytes().endswith(b"\n")  # by a kill; what comes next needs its own line
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * cut + json.dumps(line) + "\n")


class Bench:
    """What all points share: the reviews, the base model, the tasks that might be forgotten."""

    def __init__(self, grid, run):
        self.grid, self.run = grid, run
        self.base, self.tokenizer = load_base()
        self.train = list(reviews.load("movies", "train"))
        self.validation = list(reviews.load("movies", "validation"))[: grid.validation]
        self.test = list(reviews.load("movies", "test"))[: grid.test]
        self.elsewhere = {name: list(reviews.load(name, "test"))[: grid.shifted] for name in DOMAINS}
        answers = " ".join(row["answer"] for row in instructions.load("test"))
        ids = self.tokenizer(answers[: 1000 * grid.texts], add_special_tokens=False).input_ids
        self.texts = [[self.tokenizer.bos_token_id, *ids[n * 63 : n * 63 + 63]] for n in range(grid.texts)]
        self.dates = small_tasks.dates(8 + grid.questions)

    def measure(self, point):
        """Train one point and judge it; returns its line."""
        method, sizes = ARMS[point.arm]
        recipe = training.recipe(method, learning_rate=point.learning_rate, steps=point.steps, seed=point.seed)
        evaluate = None
        if point.part == "test":
            recipe = replace(recipe, evaluate_every=max(1, point.steps // 4))
            evaluate = self._gain_and_loss
        job = training.job(self.train[: point.rows], recipe, sizes=sizes)
        _memory("5")
        stage = stages.run_stage(
            "comparison", job.build, job.rows, job.collate, recipe, evaluate=evaluate, progress=False,
            run=sft.precision(recipe, self.run),
        )  # fmt: skip
        line = {"point": asdict(point), "trained": weights.count(stage.module), "bytes": self._bytes(stage.module)}
        timings = (stage.folder / "timings.jsonl").read_text(encoding="utf-8").splitlines()
        line["seconds_a_step"] = statistics.median(json.loads(timing)["seconds"] for timing in timings)
        line["peak_mb"] = _memory()
        line["losses"] = [round(loss, 4) for loss in stage.result.losses]
        line |= self._judge(point, stage)
        shutil.rmtree(stage.folder)  # full tuning would leave gigabytes for each point
        return line

    def _judge(self, point, stage):
        rows = {"rate": self.validation, "test": self.test, "few": self.test[: self.grid.few_test]}[point.part]
        predicted = self._predict(stage.module, rows)
        scores = _scores(predicted, rows)
        if point.part == "rate":
            return scores
        scores["predicted"] = [round(value, 3) for value in predicted.tolist()]
        if point.part == "test":
            for name, other in self.elsewhere.items():
                scores[name] = _scores(self._predict(stage.module, other), other)
            right = forgetting.answers_in_context(stage.module.model, self.tokenizer, self.dates)
            scores["other_task"] = sum(right) / len(right)
            scores["on_the_way"] = [
                {"step": m["step"]} | m["evaluate"] for m in stage.result.metrics if "evaluate" in m
            ]
        return scores

    def _gain_and_loss(self, module):
        rows = self.validation
        return {
            "correlation": graded.correlation(self._predict(module, rows), _means(rows)),
            "divergence": forgetting.divergence(self.base, module.model, self.texts),
        }

    def _predict(self, module, rows):
        collate = data.GradedCollator(self.tokenizer.pad_token_id)
        return graded.expected_rating(graded.predict(module, data.encode(rows, self.tokenizer), collate))

    def _bytes(self, module):
        if not hasattr(module.model, "peft_config"):
            return sum(weight.numel() for weight in module.parameters()) * self.run.dtype.itemsize
        with tempfile.TemporaryDirectory() as folder:
            return library.save(module.model, folder)

    def baselines(self):
        """{name: scores and predictions} of what costs no training of the model, and of one person."""
        texts, unlabelled = ([row["text"] for row in rows] for rows in (self.test, self.validation))
        rows = self.train[: self.grid.rows]
        zero = graded.few_shot(self.base, self.tokenizer, [], texts)
        usual = graded.few_shot(self.base, self.tokenizer, [], unlabelled)
        found = {
            "zero-shot": graded.expected_rating(zero),
            "calibrated zero-shot": graded.expected_rating(graded.calibrated(zero, usual)),
            "bag of words": graded.ridge(rows, self.validation, texts),
        }
        for seed in self.grid.seeds:
            examples = rows[16 * seed : 16 * seed + 16]
            shown = graded.few_shot(self.base, self.tokenizer, examples, texts)
            found[f"16 examples, draw {seed}"] = graded.expected_rating(shown)
        scores = {
            name: _scores(values, self.test) | {"predicted": [round(value, 3) for value in values.tolist()]}
            for name, values in found.items()
        }
        one, rest = graded.one_person(self.test)
        right = forgetting.answers_in_context(self.base, self.tokenizer, self.dates)
        person = {"correlation": graded.correlation(one, rest), "error": graded.mean_absolute_error(one, rest)}
        return scores | {"one person": person, "base": {"other_task": sum(right) / len(right)}}


def _memory(reset=None):
    """This process's peak memory in MB since the last reset; None where the system does not tell (all but Linux)."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text(reset)
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) // 1024
    except (OSError, IndexError):
        return None


def _means(rows):
    return torch.tensor([row["mean"] for row in rows])


def _scores(predicted, rows):
    return {
        "correlation": graded.correlation(predicted, _means(rows)),
        "error": graded.mean_absolute_error(predicted, _means(rows)),
    }


def summary(lines, truth):
    """{arm: figures of its test points, with intervals over items and over seeds apart, against zero-shot and full}."""
    baseline = next(line["baselines"] for line in lines if "baselines" in line)["calibrated zero-shot"]["predicted"]
    tests = [line for line in lines if line["point"]["part"] == "test"]
    predicted = {
        arm: [line["predicted"] for line in tests if line["point"]["arm"] == arm]
        for arm in dict.fromkeys(line["point"]["arm"] for line in tests)
    }
    found = {}
    for arm, ours in predicted.items():
        scores = [line["correlation"] for line in tests if line["point"]["arm"] == arm]
        found[arm] = {"median": statistics.median(scores), "best": max(scores), "seeds": sorted(scores)}
        for name, other in (("alone", None), ("over zero-shot", baseline), ("over full", predicted.get("full"))):
            if name != "over full" or ("full" in predicted and arm != "full"):
                gain = comparison.correlation_difference(ours, other, truth, over="items")
                found[arm][name] = [gain.mean, gain.low, gain.high]
    return found
