"""Runs of the scaling experiment on a tiny stream: each kind of run, what must be there before, what is refused."""

import json
from dataclasses import replace

import pytest
from helpers import tiny_stream

from course_utils import runtime
from course_utils.engine import loop
from course_utils.evaluation import pretraining
from course_utils.experiments import pretrain as long_run
from course_utils.experiments import scaling as experiment
from course_utils.experiments import scaling_grid as grid
from course_utils.text import corpus

TINY = {name: replace(run, tokens=96 * run.times, evaluate=()) for name, run in grid.RUNS.items()}
TINY["grid-32x2-131072"] = replace(TINY["grid-32x2-131072"], evaluate=(32, 64))


@pytest.fixture
def small(tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    stream = tiny_stream.make(tmp_path / "tokens")
    held = lambda split, documents, size: pretraining.held_out(  # noqa: E731
        split, documents=3, size=90, source=tiny_stream.documents
    )
    monkeypatch.setattr(experiment, "corpus_stream", lambda share=1.0: stream)
    monkeypatch.setattr(experiment, "pretraining", _with(pretraining, held_out=held))
    monkeypatch.setattr(grid, "RUNS", TINY)
    for name, value in {"LENGTH": 16, "BATCH": 2, "A_STEP": 32, "COPY": 6, "SPANS": (1, 2)}.items():
        monkeypatch.setattr(grid, name, value)
    return runtime.start(quiet=True)


def _with(module, **changed):
    return type("Changed", (), {**vars(module), **{name: staticmethod(value) for name, value in changed.items()}})


def tried(folder):
    """Results of the tried rates, best at 1.5e-2."""
    folder.mkdir(parents=True, exist_ok=True)
    for group in (grid.TRIED, grid.TUNE):
        for name, run in group.items():
            point = {"learning_rate": run.rate, "loss": 4 + abs(run.rate - 1.5e-2), "size": run.size}
            (folder / f"{name}.json").write_text(json.dumps([point]), encoding="utf-8")


def test_a_run_of_the_grid_and_one_of_a_rival(small, tmp_path):
    tried(tmp_path)
    point = experiment.measure("grid-32x2-131072", small, tmp_path / "grid-32x2-131072")
    assert point["steps"] == 3 and set(point["curve"]) == {32, 64} and len(point["losses"]) == 3
    assert point["unique_tokens"] == 96 and 1e-2 < point["learning_rate"] < 4e-2
    assert sum(count for count, _ in point["documents"].values()) == len(point["bits"])
    assert point["int4"] != point["loss"] and point["recited"] is None
    assert point["copied"]["text"]["exact"].keys() == {"1", "2"}
    rival = experiment.measure("rival-lstm-48x2", small, tmp_path / "rival-lstm-48x2")
    assert rival["kind"] == "lstm" and rival["weights"] < point["weights"] * 2


def test_repeated_tokens_are_counted_apart(small, tmp_path):
    tried(tmp_path)
    point = experiment.measure("repeat-48x2-4", small, tmp_path / "repeat-48x2-4")
    assert (point["unique_tokens"], point["repeated_tokens"]) == (96, 288)
    assert point["recited"]["nats"] > 0 and point["recited"]["exact"].keys() == {"1", "2"}


def test_nothing_is_trained_before_its_rate_is_known(small, tmp_path):
    with pytest.raises(
        ValueError, match=r"This point needs rate-32x2-262144-0.004, .* and 34 more. Measure these first"
    ):
        experiment.measure("grid-32x2-131072", small, tmp_path / "grid-32x2-131072")


def test_the_largest_run_waits_for_its_prediction_which_comes_before(small, tmp_path):
    tried(tmp_path)
    with pytest.raises(ValueError, match=r"This point needs prediction\. Measure these first"):
        experiment.measure("largest", small, tmp_path / "largest")
    with pytest.raises(ValueError, match=f"This point needs {next(iter(grid.FIT))}, "):
        experiment.measure("prediction", small, tmp_path / "prediction")
    for number, (name, run) in enumerate(grid.FIT.items()):
        weights = grid.counted(run.size)[0]
        loss = 1.6 + 60 * weights**-0.3 + 400 * run.tokens**-0.42 + 0.001 * (number % 3)
        point = {"weights": weights, "tokens": run.tokens, "loss": loss}
        (tmp_path / f"{name}.json").write_text(json.dumps([point]), encoding="utf-8")
    said = experiment.measure("prediction", small, tmp_path / "prediction")
    assert said["low"] < said["loss"] < said["high"] and said["compute"] >= 4 * said["most_fitted_compute"]
    (tmp_path / "prediction.json").write_text(json.dumps([said]), encoding="utf-8")
    point = experiment.measure("largest", small, tmp_path / "largest")
    assert point["predicted"] == json.loads(json.dumps(said)) and point["started"] >= said["written"]
    assert point["learning_rate"] == pytest.approx(said["rate"], rel=0.5)
    (tmp_path / "largest.json").write_text("[{}]", encoding="utf-8")
    with pytest.raises(ValueError, match="is no prediction"):
        experiment.measure("prediction", small, tmp_path / "prediction")


def test_the_law_is_found_again_on_made_runs(small, tmp_path, monkeypatch):
    monkeypatch.setattr(grid, "DRAWS", 3)
    for name, run in (grid.FIT | grid.AGAIN).items():
        weights = grid.counted(run.size)[0]
        loss = 1.6 + 60 * weights**-0.3 + 400 * run.tokens**-0.42 + 0.005 * (run.seed - 1)
        point = {"weights": weights, "tokens": run.tokens, "loss": loss}
        (tmp_path / f"{name}.json").write_text(json.dumps([point]), encoding="utf-8")
    found = experiment.measure("recovery", small, tmp_path / "recovery")
    assert found["noise"] == found["between_seeds"] == pytest.approx(0.005 / 4, rel=0.3) and found["draws"] == 3
    assert found["found"]["alpha"]["true"] == pytest.approx(0.30, abs=0.02)


def test_a_rate_too_high_is_a_result(small, tmp_path, monkeypatch):
    def stop(*_):
        raise loop.TrainingStopped("nan at step 3")

    monkeypatch.setattr(long_run, "learned", stop)
    point = experiment.measure("rate-32x2-262144-0.15", small, tmp_path / "rate-32x2-262144-0.15")
    assert point["stopped"] == "nan at step 3" and point["learning_rate"] == 0.15 and "loss" not in point
    tried(tmp_path)
    with pytest.raises(loop.TrainingStopped):
        experiment.measure("grid-32x2-131072", small, tmp_path / "grid-32x2-131072")


def test_a_mixture_holds_its_shares_and_says_what_it_lacks(small, monkeypatch):
    stream, documents = experiment.corpus_stream(), tiny_stream.documents()
    wanted = {"news": documents[::2], "code": documents[1::2]}
    monkeypatch.setattr(grid, "GROUPS", {"prose": ("news",), "code": ("code",)})
    monkeypatch.setattr(corpus, "documents", lambda split, sources: iter(wanted[sources[0]]))
    found = experiment.mixed(stream, (0.25, 0.75), 400, seed=0)
    assert len(found.tokens) == 400 and (found.tokens[found.starts] == stream.boundary).all()
    assert list(found.tokens) != list(experiment.mixed(stream, (0.25, 0.75), 400, seed=1).tokens)
    with pytest.raises(ValueError, match=r"The sources code lack .* tokens for a mixture of code"):
        experiment.mixed(stream, (0, 1), 10**6, seed=0)


def test_the_model_is_left_as_it_was_by_fewer_bits(small, tmp_path):
    module = experiment.job(TINY["grid-32x2-131072"], 1e-3, experiment.corpus_stream()).build()
    before = [weight.clone() for weight in module.parameters()]
    _, encoded = experiment.held_out(tmp_path, experiment.corpus_stream())
    assert experiment.in_few_bits(module.model, encoded) > 0
    assert all((a == b).all() for a, b in zip(before, module.parameters(), strict=True))
