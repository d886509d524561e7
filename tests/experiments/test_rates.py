"""Learning rates tried on validation documents: each to the end of its schedule, and which is best."""

from course_utils.experiments import pretrain, rates


def found(bits):
    return {"evaluations": {"3": {"bits_per_byte": bits}}}


def test_the_rate_is_the_lowest_near_the_fewest_bits_and_is_named_only_when_all_were_tried():
    points = {f"trial-{rate:g}": found(2.5 + abs(place - 2)) for place, rate in enumerate(rates.TRIALS)}
    points["live-0.003"] = found(2.9)
    summary = rates.summary(points)
    assert summary["best"] == {"trial": rates.TRIALS[2]} and summary["bits"]["live-0.003"] == 2.9
    points[f"trial-{rates.TRIALS[1]:g}"] = found(2.5 + rates.TOLERANCE / 2)
    assert rates.summary(points)["best"] == {"trial": rates.TRIALS[1]}
    assert rates.summary({}) == {"bits": {}, "best": {}}


def test_a_trial_is_measured_at_its_rate_on_validation_documents(monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setattr(rates.pretrain, "corpus_stream", lambda tier, share=None: seen.setdefault("share", share))
    monkeypatch.setattr(rates.pretrain, "job", lambda tier, *, stream, recipe, rows: (recipe, rows))
    monkeypatch.setattr(pretrain, "Exam", lambda stream, split="test": split)
    monkeypatch.setattr(pretrain, "learned", lambda job, run, folder, exam: (None, (*job, exam)))
    recipe, rows, split = rates.measure("trial-0.016", None, tmp_path)
    assert (recipe.learning_rate, recipe.steps, seen["share"], split) == (1.6e-2, rates.TRIAL_STEPS, 1.0, "validation")
    assert rows == recipe.steps * recipe.batch_size and recipe.evaluate_at == (recipe.steps,)
    recipe, _, split = rates.measure("live-0.024", None, tmp_path)
    assert (recipe.learning_rate, recipe.steps, split) == (2.4e-2, rates.SIZE.steps, "validation")
