"""start(): what it decides, sets, prints and refuses."""

import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from helpers.faked_machines import fake_cpu, fake_cuda, fake_mps
from peft import import_utils

from course_utils import devices, folders, machine, runtime
from course_utils.setup import requirements

HUB = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "TOKENIZERS_PARALLELISM")


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """No Run yet, no course settings; the hub's variables and torch's threads come back afterwards."""
    for name in ("COURSE_TIER", "COURSE_SEED", "COURSE_OFFLINE", "COURSE_MODEL", "OMP_NUM_THREADS", "LOCAL_RANK", *HUB):
        monkeypatch.setenv(name, "")  # so that monkeypatch restores what start() sets itself
        monkeypatch.delenv(name)
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(runtime, "_started", None)
    monkeypatch.setattr(machine, "waiting_share", lambda: None)
    monkeypatch.delitem(sys.modules, "huggingface_hub.constants", raising=False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_each_choice_is_printed_with_its_reason(monkeypatch, capsys, tmp_path):
    fake_cpu(monkeypatch, amx=True)
    run = runtime.start()
    printed = capsys.readouterr().out.splitlines()
    assert tuple(printed) == run.reasons
    assert [line.split()[0] for line in printed] == ["tier", "device", "dtype", "attention", "seed", "hub", "runs"]
    assert all(" – " in line for line in printed)
    assert (run.tier, run.device, run.dtype, run.attention) == ("cpu", "cpu", torch.bfloat16, "sdpa")
    assert run.home == tmp_path / "home" and run.runs == tmp_path / "runs" and run.results == tmp_path / "results"


def test_t4_computes_in_fp16_on_fp32_weights(monkeypatch):
    fake_cuda(monkeypatch, (7, 5))
    run = runtime.start(quiet=True)
    assert (run.dtype, run.autocast, run.grad_scaler) == (torch.float32, torch.float16, True)
    assert (run.device, run.tier) == ("cuda", "gpu-16gb")


def test_mps(monkeypatch):
    fake_mps(monkeypatch)
    run = runtime.start(quiet=True)
    assert (run.device, run.dtype, run.tier) == ("mps", torch.float32, "cpu")


def test_unsupported_gpu_stops_the_start(monkeypatch):
    fake_cuda(monkeypatch, (6, 0))
    with pytest.raises(devices.UnsupportedDevice, match="T4 x2"):
        runtime.start(quiet=True)
    assert runtime._started is None


def test_two_gpus_get_a_line(monkeypatch, capsys):
    fake_cuda(monkeypatch, (7, 5), count=2)
    runtime.start()
    assert "note      2 GPUs are visible" in capsys.readouterr().out


@pytest.mark.parametrize(("share", "said"), [(0.62, True), (0.1, False), (None, False)])
def test_a_busy_machine_is_said(share, said, monkeypatch, capsys):
    monkeypatch.setattr(machine, "waiting_share", lambda: share)
    runtime.start()
    shown = capsys.readouterr().out
    assert ("\nbusy      in 62% of the last ten seconds" in shown) == said and ("\nbusy " in shown) == said


def test_quiet_prints_nothing_and_current_remembers(monkeypatch, capsys):
    first = runtime.current()
    assert runtime.current() is first
    assert runtime.start(quiet=True) is not first
    assert capsys.readouterr().out == ""


def test_seed_makes_random_numbers_repeat(monkeypatch):
    def draw(seed):
        monkeypatch.setenv("COURSE_SEED", seed)
        assert runtime.start(quiet=True).seed == int(seed)
        return random.random(), numpy.random.rand(), torch.rand(()).item()

    first, again, other = draw("7"), draw("7"), draw("8")
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize(
    "name, value",
    [
        ("COURSE_TIER", "gpu"),
        ("COURSE_SEED", "-1"),
        ("COURSE_SEED", "1.5"),
        ("COURSE_SEED", "one"),
        ("COURSE_SEED", str(2**32)),
        ("COURSE_OFFLINE", "yes"),
        ("OMP_NUM_THREADS", "0"),
        ("OMP_NUM_THREADS", "all"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_came_and_the_fix(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"{name} is '{value}'; expected .*\. Unset it"):
        runtime.start(quiet=True)


def test_largest_seed_is_accepted(monkeypatch):
    monkeypatch.setenv("COURSE_SEED", str(2**32 - 1))
    assert runtime.start(quiet=True).seed == 2**32 - 1


def test_tier_asked_for(monkeypatch):
    monkeypatch.setenv("COURSE_TIER", "gpu-80gb")
    run = runtime.start(quiet=True)
    assert run.tier == "gpu-80gb" and "COURSE_TIER" in run.reasons[0]


@pytest.mark.parametrize("asked, threads", [("1", 1), ("3,1", 3)])
def test_threads_asked_for(asked, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert runtime.start(quiet=True).threads == threads == torch.get_num_threads()


def test_threads_are_the_physical_cores(monkeypatch):
    monkeypatch.setattr(runtime.machine, "physical_cores", lambda: 3)
    assert runtime.start(quiet=True).threads == 3 == torch.get_num_threads()


@pytest.mark.parametrize(
    "settings, offline, line",
    [
        ({}, "1", "off"),
        ({"COURSE_MODEL": "google/gemma-3-270m"}, None, "on"),
        ({"COURSE_MODEL": "google/gemma-3-270m", "COURSE_OFFLINE": "1"}, "1", "off – COURSE_OFFLINE=1"),
        ({"COURSE_MODEL": "./a-folder"}, "1", "off"),
        ({"HF_HUB_OFFLINE": "0"}, "0", "on – asked by HF_HUB_OFFLINE"),  # the data's hub twins, by the reader's wish
        ({"HF_HUB_OFFLINE": "0", "COURSE_OFFLINE": "1"}, "1", "off"),
    ],
)
def test_hub(settings, offline, line, monkeypatch):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    run = runtime.start(quiet=True)
    assert os.environ.get("HF_HUB_OFFLINE") == offline
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1" and os.environ["TOKENIZERS_PARALLELISM"] == "false"
    assert next(said for said in run.reasons if said.startswith("hub")).startswith(f"hub       {line}")


def test_a_hub_that_was_imported_too_early_is_said(monkeypatch):
    early = type(sys)("huggingface_hub.constants")
    early.HF_HUB_OFFLINE = False
    monkeypatch.setitem(sys.modules, "huggingface_hub.constants", early)
    assert any("call start() earlier" in line for line in runtime.start(quiet=True).reasons)
    early.HF_HUB_OFFLINE = True
    assert not any("call start() earlier" in line for line in runtime.start(quiet=True).reasons)


@pytest.mark.parametrize(
    "model, hub",
    [("google/gemma-3-270m", True), ("gpt2", True), ("", False), (None, False), ("./model", False), ("/model", False),
     ("~/model", False), ("a/b/c", False), ("C:\\model", False)],
)  # fmt: skip
def test_is_hub_id(model, hub, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert runtime.is_hub_id(model) is hub
    if hub:
        (tmp_path / model).mkdir(parents=True)
        assert not runtime.is_hub_id(model)  # a folder of that name comes first


def test_a_shared_home_is_said_in_the_line_of_runs(monkeypatch):
    monkeypatch.setattr(runtime, "home_is_shared", lambda: True)
    assert "can only be read" in runtime.start(quiet=True).reasons[-1]


def test_colab_without_drive_is_not_persistent(monkeypatch, tmp_path):
    monkeypatch.setattr(folders, "ROOT", tmp_path / "root")
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    run = runtime.start(quiet=True)
    assert run.persistent is False and "mount Google Drive" in run.reasons[-1]


def test_a_home_that_cannot_be_made_stops_the_start(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file/below"))
    with pytest.raises(OSError, match="Set COURSE_HOME to a folder"):
        runtime.start(quiet=True)


def test_run_with_an_unknown_tier_is_refused():
    with pytest.raises(ValueError, match="tier 'big'"):
        runtime.Run("big", "cpu", None, None, False, "sdpa", 1, 0, None, None, None, True, ())


def test_start_is_quick_and_leaves_transformers_alone():
    code = (
        "import sys, time; import torch; begun = time.perf_counter(); from course_utils import runtime; "
        "runtime.start(quiet=True); print('transformers' in sys.modules, time.perf_counter() - begun)"
    )
    imported, seconds = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert imported == "False"
    assert float(seconds) < 2  # 0.1 s on an idle machine; a loaded one is slower


def test_libraries_that_remark_on_what_they_lack_are_quiet(capfd):
    runtime.start(quiet=True)
    for name in ("bitsandbytes.backends.cpu.ops", "torchao", "torch.utils._pytree"):
        assert not logging.getLogger(name).isEnabledFor(logging.WARNING)
        assert logging.getLogger(name).isEnabledFor(logging.ERROR)


OLD_TORCHAO = """
import sys
sys.path.insert(0, sys.argv[1])
from course_utils import runtime
{first}
from peft import LoraConfig, PeftModel, get_peft_model
from helpers import two_layer_gemma as small
config = LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")
get_peft_model(small.build(), config).save_pretrained(sys.argv[1] + "/saved")
PeftModel.from_pretrained(small.build(), sys.argv[1] + "/saved")
print("ATTACHED")
"""


def installed_torchao(folder, version):
    """A folder for the import path that holds a torchao of this version, as far as its metadata say."""
    (folder / "torchao").mkdir()
    (folder / "torchao" / "__init__.py").touch()
    info = folder / f"torchao-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torchao\nVersion: {version}\n")
    return folder


@pytest.mark.parametrize("first", ["runtime.start()", "from course_utils.adapters import library"])
def test_an_installed_torchao_that_peft_refuses_does_no_harm(first, tmp_path):
    """Colab has 0.10, and peft stops every LoRA that it meets beside one that is older than it likes."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", OLD_TORCHAO.format(first=first), str(installed_torchao(tmp_path, "0.10.0"))]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert done.stdout.endswith("ATTACHED\n"), done.stderr
    assert ("torchao   0.10.0 is older than 0.18 and is left out" in done.stdout) == ("start()" in first)


@pytest.mark.parametrize("version", ["0.18.0", "0.18.0+git1", "1.0.0"])
def test_a_torchao_that_is_new_enough_is_left_in(version, monkeypatch):
    monkeypatch.setattr(runtime.metadata, "version", {"torchao": version}.get)
    monkeypatch.setitem(sys.modules, "torchao", "as it was")
    assert runtime.leave_out_old_torchao() is None
    assert sys.modules["torchao"] == "as it was"


def test_what_is_left_in_is_what_peft_takes_and_the_course_asks_for(monkeypatch):
    oldest = ".".join(map(str, runtime.OLDEST_TORCHAO))
    assert [line for line in requirements.declared(("test",)) if line.startswith(f"torchao>={oldest},")]
    monkeypatch.setattr(import_utils.importlib_metadata, "version", lambda name: oldest)
    monkeypatch.setattr(import_utils.importlib.util, "find_spec", lambda name: name)
    assert import_utils.is_torchao_available.__wrapped__()
