"""The referee of the benchmarks: medians over rounds, the best peer, losses that must agree, and what is stored.
And the table of versions: what is asked for, what is written, and where."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from course_utils.commands import bench

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path[:0] = [str(FOLDER), str(FOLDER.with_name("platforms"))]
import drift  # noqa: E402
import side_by_side  # noqa: E402

CONTENDER = """
import json, sys
name = sys.argv[sys.argv.index("--contender") + 1]
assert name != "broken", "this one fails"
print("chatter")
print(json.dumps({"name": name, "tokens_per_second": 3.0, "options": sys.argv[3:]}))
"""


def results(**values):
    return {name: [{"rate": value} for value in rounds] for name, rounds in values.items()}


def test_speed_counts_against_the_fastest_peer_by_the_median_of_the_rounds():
    played = results(ours=[30.0, 20.0, 90.0], slow=[1.0, 1.0, 1.0], fast=[10.0, 10.0, 60.0])
    record = side_by_side.compare(
        "sft/x", played, "ours", ["slow", "fast"], key="rate", metric="speed", unit="tokens/s"
    )
    assert record == {
        "name": "sft/x", "metric": "speed", "unit": "tokens/s", "ours": 30.0, "peer": 10.0, "peer_name": "fast",
        "ratio": 2.0, "rounds": 3,
    }  # fmt: skip


def test_memory_counts_against_the_smallest_peer_and_more_is_worse():
    played = results(ours=[100.0], small=[200.0], large=[900.0])
    record = side_by_side.compare("sft/x", played, "ours", ["small", "large"], key="rate", metric="memory", unit="MiB")
    assert (record["peer_name"], record["ratio"]) == ("small", 2.0)


def test_contenders_that_compute_something_else_are_disqualified():
    played = {"ours": [{"losses": [2.0, 1.0]}], "peer": [{"losses": [2.01, 1.1]}]}
    side_by_side.check_same_losses(played, ["ours", "peer"], tolerance=0.11)
    with pytest.raises(RuntimeError, match=r"Step 2: .* ours 1\.0000, peer 1\.1000"):
        side_by_side.check_same_losses(played, ["ours", "peer"], tolerance=0.02)


def test_every_contender_plays_every_round_in_turn(tmp_path):
    script, said = tmp_path / "suite.py", []
    script.write_text(CONTENDER)
    played = side_by_side.play(
        script, ["a", "b"], 2, ("--steps", 3), say=lambda text, flush: said.append(text.split()[2])
    )
    assert said == ["a", "b", "a", "b"]
    assert [result["options"] for result in played["b"]] == [["--steps", "3"]] * 2
    with pytest.raises(RuntimeError, match=r"broken failed with status 1(.|\n)*this one fails"):
        side_by_side.play(script, ["broken"], 1)


def test_records_replace_those_of_the_same_name_and_metric(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path))
    for ratio in (1.0, 2.0):
        side_by_side.store([{"name": "sft/x", "metric": metric, "ratio": ratio} for metric in ("speed", "memory")])
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert [(record["metric"], record["ratio"]) for record in kept] == [("speed", 2.0), ("memory", 2.0)]


def test_peak_memory_grows_with_what_is_held():
    program = (
        "import side_by_side; before = side_by_side.peak_memory_mb(); held = bytearray(200 * 2**20); "
        "held[:: 2**12] = b'x' * len(held[:: 2**12]); print(side_by_side.peak_memory_mb() - before)"
    )
    # in a process of its own: this one may have held more before
    done = subprocess.run([sys.executable, "-c", program], cwd=FOLDER, capture_output=True, text=True, check=True)
    assert 150 < float(done.stdout) < 400


def suite_of(name):
    specification = importlib.util.spec_from_file_location(f"bench_{name}", FOLDER / f"{name}.py")
    suite = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(suite)
    return suite


def test_seconds_are_those_between_the_events_and_of_the_runs_own_steps(tmp_path):
    callback, times = side_by_side.clock("on_step_begin", "on_train_end")
    for event in (callback.on_step_begin, callback.on_step_end, callback.on_step_begin, callback.on_train_end):
        assert event(None, None, None) is None
    assert len(times) == 3 and times == sorted(times)
    assert side_by_side.laps([1.0, 2.0, 4.5]) == [1.0, 2.5]
    (tmp_path / "timings.jsonl").write_text('{"seconds": 2.0}\n{"seconds": 1.5}\n')
    assert side_by_side.seconds_of(tmp_path) == [2.0, 1.5]


def test_tokens_that_a_loader_reads_ahead_do_not_count():
    suite, rows = suite_of("sft"), [{"input_ids": [1] * 10}]
    found = suite.measured(SimpleNamespace(read=[rows] * 5), [1.0] * 3, [9.0, 1.0, 1.0])
    assert found["tokens_per_second"] == 10.0


def test_who_writes_less_is_no_peer():
    suite = suite_of("ppo")
    suite.check_length("ours", 23.5)
    with pytest.raises(RuntimeError, match=r"TRL wrote 20\.0 tokens an answer, expected 23 to 24"):
        suite.check_length("TRL", 20.0)


def test_the_suites_give_the_names_that_the_design_fixes():
    suite = suite_of("sft")
    result = {"tokens_per_second": 2.0, "peak_mb": 1.0, "needed_tflops": 1.0, "matmul_tflops": 4.0}
    records = suite.verdicts({name: [result] for name in suite.CONTENDERS})
    assert {record["name"] for record in records} == {
        "sft/bare", "sft/transformers", "sft/trl", "sft/trl-own-batching", "sft/matmul-share",
    }  # fmt: skip
    assert records[-1]["ratio"] == 0.25
    assert len(suite.verdicts({name: [result] for name in ("ours", "transformers")})) == 3


def test_each_policy_of_waiting_has_an_environment_of_its_own(tmp_path, monkeypatch):
    suite, script = suite_of("threads"), tmp_path / "suite.py"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    script.write_text("import json, os\nprint(json.dumps({'policy': os.environ.get('OMP_WAIT_POLICY', 'unset')}))")
    settings = {f"{policy}, quiet": variables for policy, variables in suite.POLICIES.items()}
    played = side_by_side.play(script, settings, 1, say=lambda text, flush: None, settings=settings)
    seen = [found["policy"] for (found,) in played.values()]
    assert seen == ["unset", "active", "passive", "unset", "unset"]


def test_a_policy_is_compared_with_the_system_s_own_in_the_same_place():
    suite = suite_of("threads")
    speeds = {"as the system has it, quiet": 10.0, "as the system has it, busy": 2.0}
    speeds |= {"sleeping, quiet": 9.0, "sleeping, busy": 5.0}
    records = suite.verdicts({name: [{"tokens_per_second": speed}] for name, speed in speeds.items()})
    assert {record["name"]: record["ratio"] for record in records} == {
        "threads/sleeping, quiet": 0.9, "threads/sleeping, busy": 2.5,
    }  # fmt: skip


def test_the_neighbour_is_gone_afterwards():
    suite = suite_of("threads")
    with suite.neighbour() as process:
        assert process.poll() is None
    assert process.poll() is not None


def test_an_unknown_suite_is_named(capsys):
    assert bench.main(["sfr"]) == 2
    assert "no benchmark sfr" in capsys.readouterr().err


def test_a_failing_suite_fails_the_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "good.py").write_text("")
    (tmp_path / "bad.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(bench, "SUITES", tmp_path)
    assert bench.main(["good"]) == 0
    assert bench.main(["--rounds", "1"]) == 1
    assert "Failed: bad" in capsys.readouterr().err


def test_the_table_shows_each_figure():
    row = {"name": "sft/x", "metric": "speed", "unit": "tokens/s", "ours": 30, "peer": 10, "peer_name": "p", "ratio": 3}
    assert "3.00×  p, tokens/s" in bench.table([row])


OUTCOME = {
    "python": "3.13.0",
    "versions": {"torch": "2.15.0+cpu", "numpy": "2.5.5"},
    "date": "2026-11-28",
    "steps": {
        "environment": ["ok", ""],
        "unit tests": ["ok", "9 passed"],
        "notebook 11": ["FAILED", "x | y: z;\nmore"],
    },
}


def test_a_lower_bound_is_asked_for_itself():
    assert drift.at_floor("psutil>=5.9,<8") == "psutil==5.9.*"
    with pytest.raises(ValueError, match=r"nbval in pyproject.toml: expected one lower bound, as in name>=1\.2,<3"):
        drift.at_floor("nbval")


def test_newest_knows_no_constraints():
    options = ["--constraint", "a.txt", "--index-url", "b", "--constraint", "c.txt"]
    assert drift.without_constraints(options) == ["--index-url", "b"]


def test_its_tests_know_none_either(tmp_path, monkeypatch):
    """They install, too: what this machine's pip settings say of torch would forbid them the newest."""
    seen = {}

    def pytest_run(command, env, **_):
        seen.update(constraint=Path(env["PIP_CONSTRAINT"]).read_text(encoding="utf-8"), words=command[-1])
        return subprocess.CompletedProcess(command, 0, stdout="9 passed in 1 s\n")

    one = drift.Drift("newest", tmp_path, sys.executable)
    one.place.mkdir()
    monkeypatch.setattr(subprocess, "run", pytest_run)
    assert one.tests(("tests",)) == "9 passed in 1 s"
    assert seen == {"constraint": "", "words": "tests"}


def test_pins_are_read_by_the_names_of_the_index():
    text = "# tested on Python 3.11; more\nhuggingface_hub==2.4.0\nJinja2==3.1.6\n"
    assert drift.pins(text) == {"huggingface-hub": "2.4.0", "jinja2": "3.1.6", "Python": "3.11"}


def test_the_table_says_what_ran_and_what_failed():
    lowest = {**OUTCOME, "python": "3.11.7", "versions": {"torch": "2.10.0"}, "date": "2026-11-27"}
    lowest["steps"] = {"environment": ["ok", drift.PLAIN]}
    block = drift.table({"newest": OUTCOME, "lowest": lowest}, ["torch", "numpy"], {"torch": "2.13.0"})
    said = "lowest not run in full; newest failed: notebook 11 | 2026-11-28 |"
    assert block.splitlines()[2:5] == [
        f"| Python | – | 3.11.7 | 3.13.0 | {said}",
        f"| torch | 2.13.0 | 2.10.0 | 2.15.0 | {said}",
        f"| numpy | – | – | 2.5.5 | {said}",
    ]
    assert block.splitlines()[6:] == [
        f"- lowest, 2026-11-27: environment ok ({drift.PLAIN}).",
        "- newest, 2026-11-28: environment ok; unit tests ok (9 passed); notebook 11 failed (x / y: z).",
    ]


@pytest.mark.parametrize("missing", [{}, {"newest": OUTCOME}])
def test_what_was_never_run_is_not_ok(missing):
    block = drift.table(missing, ["torch"], {})
    assert "lowest not run; newest " in block and "| ok |" not in block


def test_all_is_well_only_when_both_ends_ran_to_their_end():
    steps = {title: ["ok", ""] for title in ("unit tests", "notebook 00", "notebook 11", "notebook 15")}
    good, part = {**OUTCOME, "steps": steps}, {**OUTCOME, "steps": {"notebook 00": ["ok", ""]}}
    assert "| 2.15.0 | 2.15.0 | ok | 2026-11-28 |" in drift.table({"newest": good, "lowest": good}, ["torch"], {})
    assert drift.verdict(part) == "not run in full"


def test_the_block_replaces_what_stood_between_the_markers():
    text = "a\n<!-- drift -->\nold\n<!-- end of drift -->\nb\n"
    new = "a\n<!-- drift -->\n\\1 new\n<!-- end of drift -->\nb\n"
    assert drift.into(text, "\\1 new\n") == new
    for broken in ("a\n", text + text, "<!-- end of drift -->\n<!-- drift -->\n"):
        with pytest.raises(ValueError, match="lacks the lines"):
            drift.into(broken, "new\n")
    drift.into((FOLDER.parents[1] / "README.md").read_text(encoding="utf-8"), "")


def test_drift_hands_its_words_on(monkeypatch):
    before, given = list(sys.path), []
    monkeypatch.setattr(drift, "main", lambda words: given.append(words) or 3)
    assert bench.drift(["--sets", "newest"]) == 3 and given == [["--sets", "newest"]]
    assert sys.path == before


def test_each_end_takes_its_own_python(monkeypatch):
    monkeypatch.setattr(drift.shutil, "which", lambda name: None if name == "python3.13" else name)
    runs = lambda command, **words: SimpleNamespace(returncode=int(command[0] == "python3.11"))  # noqa: E731
    monkeypatch.setattr(drift.subprocess, "run", runs)
    assert drift.python_for("newest") == "python3.12" and drift.python_for("lowest") == "python3.12"
    monkeypatch.setattr(drift.shutil, "which", lambda name: None)
    assert drift.python_for("newest") == sys.executable


def test_an_earlier_step_counts_only_for_the_same_versions(tmp_path, monkeypatch):
    here = drift.Drift("newest", tmp_path, sys.executable)
    here.step("notebook 11", lambda: "7 cells")
    here.python = Path(sys.executable)
    monkeypatch.setattr(here, "versions", lambda: {"torch": "2"})
    before = {"steps": {"unit tests": ["ok", ""]}}
    assert list(here.outcome({**before, "versions": {"torch": "2"}})["steps"]) == ["unit tests", "notebook 11"]
    assert list(here.outcome({**before, "versions": {"torch": "1"}})["steps"]) == ["notebook 11"]


def test_a_set_has_the_course_and_colabs_widgets_as_after_a_set_up(monkeypatch, tmp_path):
    did = []
    monkeypatch.setattr(drift.Drift, "create", lambda self: None)
    monkeypatch.setattr(drift.Drift, "uv", lambda self, *words, pins=(): None)
    monkeypatch.setattr(drift.Drift, "versions", lambda self: {})
    monkeypatch.setattr(drift.installers, "call", lambda command, problem: did.append(command[-2:]))
    monkeypatch.setattr(drift.install, "colab_widgets", lambda python, folder: did.append(folder))
    drift.Drift("newest", tmp_path, sys.executable).build()
    assert did == [["--editable", str(drift.ROOT)], tmp_path / "newest/env" / drift.environment.COLAB_WIDGETS]
