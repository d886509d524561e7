import json


def test_metrics_hold_every_step_and_no_clock(fit, tmp_path):
    result, _, _ = fit()
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert lines == result.metrics and [line["step"] for line in lines] == list(range(1, 11))
    assert set(lines[0]) == {"step", "loss", "learning_rate", "gradient_norm", "counted"}
    timings = [json.loads(line) for line in (tmp_path / "run/timings.jsonl").read_text().splitlines()]
    assert len(timings) == 10 and timings[0]["tokens_per_second"] > 0
    assert json.loads((tmp_path / "run/result.json").read_text())["loss"] == result.losses[-1]
