"""One table of bad inputs for what stands around a notebook: places, settings, checkers, commands, tokenizers.

Each ends in one message that says what came and what to do. More kinds stand in test_bad_inputs.py.
"""

import itertools
import os
import sys
from types import SimpleNamespace

import pytest

from course_utils import __main__ as door
from course_utils import folders, runtime
from course_utils.checks import adapters, fine_tuning, in_context, ppo_rlhf, qlora, quantization, reward_modeling, start
from course_utils.commands import test as testing
from course_utils.data import graded, instructions, prompts
from course_utils.data.dialogue import chat
from course_utils.engine import parallel
from course_utils.models import base, sampling
from course_utils.quantization.memory import Setting

NAN = float("nan")
PLACES = {"COURSE_HOME": folders.home, "COURSE_RUNS": folders.runs, "COURSE_RESULTS": folders.results}
VALUES = {  # what each of the three places may not be → what the message says
    "a file": ("FILE", "leads to .*, which is a file. Set {name} to a folder"),
    "below a file": ("FILE/x", r"does not exist and cannot be made \(Not a directory\).\nSet {name} to a folder"),
    "a link to nothing": ("LINK", "which is a link that leads nowhere. Set {name}"),
    "read-only": ("/proc/nope", r"cannot be made \(.*\).\nSet {name} to a folder in which you may write"),
    "too long": ("/data/" + "x" * 300, r"cannot be made \(File name too long\)"),
    "in quotation marks": ('"/data/x"', '{name} is "/data/x": the quotation marks are part of it. Set it to a folder'),
    "an address": ("gs://bucket/x", "{name} is gs://bucket/x: an address is no folder; mount it first"),
    "an open variable": ("$HOME/x", r"{name} is \$HOME/x: a variable in it was not filled in"),
    "an open Windows variable": ("%USERPROFILE%/x", "a variable in it was not filled in"),
    "of no user": ("~nosuchuser/x", r"home folder for ~nosuchuser \(there is no user 'nosuchuser'\).\nSet {name}"),
}


@pytest.mark.skipif(os.name == "nt", reason="links, /proc and the names of users are others there")
@pytest.mark.parametrize(("name", "case"), itertools.product(PLACES, VALUES))
def test_a_bad_place_is_named(name, case, monkeypatch, tmp_path):
    (tmp_path / "FILE").touch()
    (tmp_path / "LINK").symlink_to(tmp_path / "gone")
    value, says = VALUES[case]
    monkeypatch.setenv(name, str(tmp_path / value) if value[:4] in ("FILE", "LINK") else value)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(folders.PlaceError, match=says.format(name=name)):
        PLACES[name]()
    assert {path.name for path in tmp_path.iterdir()} <= {"FILE", "LINK", "runs", "results"}


def started():
    return runtime.start(quiet=True)


def nowhere():
    """No home folder, and a user without an entry."""
    import pwd

    pwd.getpwuid = lambda uid: {}[uid]
    return folders.home()


SETTINGS = {  # variables, call → what the message says
    "tier/of another spelling": ({"COURSE_TIER": "GPU-16GB"}, started, "COURSE_TIER is 'GPU-16GB'; expected one of"),
    "tier/two": ({"COURSE_TIER": "cpu,gpu"}, started, "Unset it"),
    "seed/below zero": ({"COURSE_SEED": "-1"}, started, "COURSE_SEED is '-1'; expected a whole number from 0"),
    "seed/other digits": ({"COURSE_SEED": "٣"}, started, "COURSE_SEED is '٣'; expected a whole number"),
    "seed/a power": ({"COURSE_SEED": "1e3"}, started, "COURSE_SEED is '1e3'"),
    "offline/a word": ({"COURSE_OFFLINE": "true"}, started, "COURSE_OFFLINE is 'true'; expected 1"),
    "threads/none": ({"OMP_NUM_THREADS": "0"}, started, "OMP_NUM_THREADS is '0'; expected a whole number from 1"),
    "threads/half a list": ({"OMP_NUM_THREADS": "2,x"}, started, "OMP_NUM_THREADS is '2,x'"),
    "threads/an empty first": ({"OMP_NUM_THREADS": ",2"}, started, "OMP_NUM_THREADS is ',2'"),
    "threads/thousands": ({"OMP_NUM_THREADS": "9999"}, started, "expected a whole number from 1 to 999"),
    "model/no folder": ({"COURSE_MODEL": "./none"}, base.load_base, r"COURSE_MODEL is './none', and there is no"),
    "model/a file": ({"COURSE_MODEL": "FILE"}, base.load_base, "and there is no folder"),
    "model/of no user": ({"COURSE_MODEL": "~nosuchuser/x"}, base.load_base, "names no home folder for ~nosuchuser"),
    "model/an address": ({"COURSE_MODEL": "https://a.b/c"}, base.load_base, "and there is no folder"),
    "model/an empty folder": ({"COURSE_MODEL": "EMPTY"}, base.load_base, r"has no config.json \(it holds nothing\)"),
    "minutes/a unit": ({"COURSE_TEST_MINUTES": "80m"}, testing.minutes_allowed, "'80m'; expected the minutes"),
    "minutes/none": ({"COURSE_TEST_MINUTES": "0"}, testing.minutes_allowed, "COURSE_TEST_MINUTES is '0'"),
    "minutes/NaN": ({"COURSE_TEST_MINUTES": "nan"}, testing.minutes_allowed, "COURSE_TEST_MINUTES is 'nan'"),
    "processes/a rank alone": ({"RANK": "0"}, parallel.world, "RANK is set, .* LOCAL_RANK is ''. Start them"),
    "processes/no number": ({"RANK": "x"}, parallel.world, "RANK is 'x'"),
    "home/none": ({"COURSE_HOME": ""}, nowhere, r"home folder for you \(HOME is not set"),
    "home/relative": ({"COURSE_HOME": "~/x", "HOME": "here"}, folders.home, r"\(HOME is 'here', no full path\)"),
}  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="Windows knows the home folder otherwise")
@pytest.mark.parametrize("case", SETTINGS)
def test_a_bad_setting_is_named(case, monkeypatch, tmp_path):
    import pwd

    variables, call, says = SETTINGS[case]
    monkeypatch.setattr(pwd, "getpwuid", pwd.getpwuid)  # put back what a case takes away
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    (tmp_path / "EMPTY").mkdir()
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(name, "1")
    for name in ("HOME", "XDG_CACHE_HOME") if case == "home/none" else ():
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises((ValueError, RuntimeError), match=says) as caught:
        call()
    assert folders.PACKAGE in caught.traceback[-1].path.parents and len(str(caught.value)) < 500


def quits(*given):
    sys.exit()


class Unreadable(Exception):
    def __str__(self):
        raise RuntimeError


def unreadable(*given):
    raise Unreadable


def endless(*given):
    return itertools.count()


LAYERS = ({"a": 1.0}, {"a": 1}, 1)
CHECKERS = {  # what a learner may hand over → the line that comes
    "None": (lambda: start.check_softmax(None), "expected a function, got None; pass its name alone"),
    "the stub": (lambda: fine_tuning.check_mask(...), "expected a function, got …"),
    "a name in quotes": (lambda: adapters.check_delta("delta"), "got 'delta'; pass its name alone, without quotes"),
    "what it returned": (lambda: ppo_rlhf.check_gae([0.5]), r"got \[0.5\]; pass its name"),
    "an empty list": (lambda: quantization.check_absmax(lambda *given: []), "expected two values"),
    "another shape": (lambda: qlora.check_repair(lambda error, rank: (error, error)), "B should be"),
    "a text": (lambda: start.check_perplexity(lambda logprobs: "2"), "you gave '2', expected 2"),
    "one that quits": (lambda: start.check_softmax(quits), "your function raised SystemExit"),
    "one that raises what cannot be read": (lambda: ppo_rlhf.check_reward(unreadable), "its message cannot be read"),
    "one that never ends": (lambda: adapters.check_rank(endless), "yields more than 100,000 values, and may never end"),
    "one of other arguments": (lambda: start.check_softmax(lambda: 1), "your function raised TypeError"),
    "positions as text": (lambda: in_context.check_worse_examples(None, [1] * 9, None, "0123"), "got '0123'"),
    "no positions": (lambda: in_context.check_worse_examples(None, [1] * 9, None, []), r"got \[\]"),
    "layers in a list": (lambda: quantization.check_spared([["a"]], *LAYERS), "each a text"),
    "no score": (lambda: reward_modeling.check_fooled(None, [(f"one two three {n}", "praise") for n in range(4)]
                 + [("one two three four five", "scorn")]), "expected `score` to give 5 finite numbers"),
    "a class": (lambda: qlora.check_fits(Setting), r"expected a memory.Setting\(…\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHECKERS)
def test_a_checker_says_in_one_line_what_is_wrong(case, capsys):
    import re

    call, says = CHECKERS[case]
    assert not call()
    said = capsys.readouterr().out
    assert said.startswith("✗ ") and said.count("\n") == 1 and re.search(says, said), said


REFUSED = {
    "a size as text": (lambda: Setting(rows="8"), r"Setting\(rows='8'\): expected a number above 0"),
    "a rank of None": (lambda: Setting(rank=None), r"Setting\(rank=None\)"),
    "a clinic without runs": (lambda: ppo_rlhf.patients({}), "no run for 'reward not centred'"),
    "a question of None": (lambda: prompts.Template(None, (" a", " b")), "has no place for the review"),
    "an open brace": (lambda: prompts.Template("{text} {", (" a", " b")), "a brace that is no place for the review"),
    "another field": (lambda: prompts.Template("{text} {x}", (" a", " b")), r"\('x'\). Write {text}, or double"),
    "one label word": (lambda: prompts.Template("{text}", (" a",)), "Expected two different label words"),
    "label words of None": (lambda: prompts.Template("{text}", None), "got None"),
    "equal label words": (lambda: prompts.Template("{text}", (" a", " a")), "two different label words"),
    "no tokenizer for digits": (lambda: graded.digit_tokens(None), "got a NoneType as tokenizer"),
    "no tokenizer for words": (
        lambda: prompts.word_tokens("gemma", prompts.Template("{text}", (" a", " b"))),
        "a str as",
    ),
    "no tokenizer for turns": (lambda: chat(None), "Expected the tokenizer that load_base returns"),
    "a pad token's name": (lambda: instructions.TokenCollator("<pad>"), "pad_id is '<pad>'; expected a whole number"),
    "a prompt of text": (lambda: sampling.sample(None, ["hi"], max_new_tokens=3), "Prompt 0 is a text; expected token"),
    "one prompt alone": (lambda: sampling.sample(None, [1, 2], max_new_tokens=3), "one list a row, got"),
    "half a token": (lambda: sampling.sample(None, [[1]], max_new_tokens=2.5), "max_new_tokens is 2.5"),
    "a temperature of NaN": (lambda: sampling.sample(None, [[1]], max_new_tokens=3, temperature=NAN), "got nan"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_tokenizer_template_or_size_is_named(case):
    call, says = REFUSED[case]
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert folders.PACKAGE in caught.traceback[-1].path.parents


COMMANDS = {  # the words behind python -m course_utils → what stands on standard error
    "nope": "There is no command 'nope'",
    "course --notebooks 99": "No notebook 99. There are: 00_start_here",
    "course --notebooks ,": "',' names no notebook. There are",
    "course --folder nowhere": "There is no notebook in nowhere",
    "course --timeout -5": "'-5' is no number of seconds above 0",
    "course --timeout nan": "'nan' is no number of seconds above 0",
    "course 05": "unrecognized arguments: 05",
    "train nope": "invalid choice: 'nope'",
    "train sft --steps 0": "'0' is no whole number of at least 1",
    "train sft --micro-batch -1": "'-1' is no whole number of at least 1",
    "train sft --tier big": "invalid choice: 'big'",
    "train sft --output FILE": "Nothing can be written in FILE. Pass a folder of your own as --output",
    "run nope": "invalid choice: 'nope'",
    "run sft --output EMPTY": "The record cannot be written to EMPTY. Pass a file",
    "run sft --output FILE/x.json": "The record cannot be written to FILE",
    "run sft --output OTHER": "record 0 is no dictionary with setting, points",
    "run sft --point nope": "sft has no point 'nope'. There are",
    "test --notebooks 99": "No notebook 99",
    "test --notebooks 00 -k x": "--notebooks runs nbval alone, and -k is for pytest: leave out one",
    "assets nope": "invalid choice: 'nope'",
    "assets fetch nope": "There is no asset 'nope'. Choose from",
    "assets export": "the following arguments are required: FOLDER",
    "data": "the following arguments are required: FOLDER",
    "data nowhere": "nowhere is no folder. Name the one that holds your texts",
    "data EMPTY --output FILE": "Nothing can be written in FILE. Pass a folder",
    "data EMPTY --rules nope": "invalid choice: 'nope'",
    "soak --kills 0": "'0' is no whole number of at least 1",
    "soak --rl-kills -1": "'-1' is no whole number of at least 0",
    "soak --job small": "--job and --output belong together",
    "drift --sets middle": "invalid choice: 'middle'",
    "drift --notebooks 99": "No notebook 99. There are: 00_start_here",
    "drift --python no-such-python": "there is no program 'no-such-python'",
    "bench nope": "There is no benchmark nope. Those in",
    "bench sft --rounds 0": "'0' is no whole number of at least 1",
    "bundle --output FILE": "Nothing can be written in FILE. Pass a folder",
    "setup --missing --bench": "not allowed with argument",
    "clean everything": "unrecognized arguments: everything",
    "lint --nope": "unrecognized arguments: --nope",
    "doctor now": "unrecognized arguments: now",
}


@pytest.fixture
def nothing_starts(monkeypatch):
    """A command that starts another program, or a set-up, has taken its flags for good."""

    def start(*given, **more):
        raise AssertionError(f"it went on, to {given}")

    for name in ("subprocess.run", "subprocess.Popen"):
        monkeypatch.setattr(name, start)
    here = SimpleNamespace(main=None)
    monkeypatch.setattr("course_utils.setup.environment.ensure", lambda extras=(): here)
    monkeypatch.setattr("course_utils.setup.environment.is_this_python", lambda python: True)
    monkeypatch.setattr("course_utils.setup.environment.fetch_missing_assets", lambda: None)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_bad_flag_ends_in_one_message(line, nothing_starts, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("x")
    (tmp_path / "OTHER").write_text("[1]")
    (tmp_path / "EMPTY").mkdir()
    try:
        status = door.main(line.split())
    except SystemExit as ended:
        status = ended.code
    said = capsys.readouterr().err
    assert status in (1, 2) and COMMANDS[line] in said and "Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in ("runs", "results")) == [
        "EMPTY", "FILE", "OTHER"]  # fmt: skip


@pytest.mark.parametrize("line", ["run sft --output x.json", "course --notebooks 00", "train sft"])
def test_a_bad_variable_ends_a_command_in_one_message(line, nothing_starts, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_SEED", "x")
    assert door.main(line.split()) in (1, 2)
    assert capsys.readouterr().err.startswith("COURSE_SEED is 'x'; expected a whole number")


def test_every_command_and_every_kind_has_its_cases():
    assert {line.split()[0] for line in COMMANDS} >= set(door.COMMANDS) - {"lab"}  # whose flags are JupyterLab's own
    assert all(len(table) >= 6 for table in (VALUES, SETTINGS, CHECKERS, REFUSED, COMMANDS))
