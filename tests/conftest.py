"""Every test runs as `make test` runs it, however pytest was started: offline, guarded, one thread a worker."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
GUARD = TESTS / "guard"


def pytest_configure(config):
    """Put the guard on this process, unless the interpreter started with it, and on all that it starts."""
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(GUARD) not in inherited:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(GUARD), str(TESTS.parent), *filter(None, inherited)])
        spec = importlib.util.spec_from_file_location("course_socket_guard", GUARD / "sitecustomize.py")
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    os.environ.update(COURSE_OFFLINE="1", COURSE_TIER="cpu", COURSE_SEED="0", OMP_NUM_THREADS="1", MPLBACKEND="agg")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # expected numbers are a CPU's
    sys.path.insert(0, str(TESTS))  # helpers that several tests share


@pytest.fixture(autouse=True)
def own_places(monkeypatch, tmp_path):
    """Each test has its own empty folder for runs and results, and no notebook's name."""
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COURSE_RESULTS", str(tmp_path / "results"))
    monkeypatch.delenv("COURSE_NOTEBOOK", raising=False)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)


@pytest.fixture(autouse=True)
def environment_is_left_alone():
    """The first test that starts a set-up of the environment that all run in fails, and those after it."""
    yield
    begun = Path(sys.prefix, "course-setup.begun")
    assert not begun.exists(), f"a set-up of {sys.prefix}, in which the tests run, was begun"


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory):
    """A GGUF file of a two-layer Gemma 3 with a readable vocabulary."""
    from helpers import tiny_gguf

    return tiny_gguf.write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="session")
def tiny_folder(tiny_gguf, tmp_path_factory):
    """The same model converted, as `from_pretrained` takes it. Read only."""
    from course_utils.models import convert

    folder = tmp_path_factory.mktemp("tiny")
    convert.write(tiny_gguf, folder)
    return folder


@pytest.fixture
def tiny_model(tiny_folder):
    """The tiny model in float32, in eval mode, of the test's own."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32).eval()


@pytest.fixture
def tiny_tokenizer(tiny_folder):
    """The tokenizer of the tiny model."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_folder)


@pytest.fixture(scope="session", autouse=True)
def pinned_threads():
    """One thread, also where torch was imported before the environment said so.

    The work of a test comes in tiny pieces, where a second thread only waits; a second worker does not.
    """
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def one_thread(pinned_threads):
    """One thread again, whatever a test before it has started."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def blocky():
    """A function (dtype) → Gemma 3 of two layers whose sizes every block format divides, with normal weights."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    def build(dtype=None):
        torch.manual_seed(0)
        config = Gemma3TextConfig(
            vocab_size=320,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=64,
            query_pre_attn_scalar=64,
            layer_types=["sliding_attention", "full_attention"],
            sliding_window=64,
            initializer_range=0.1,
            pad_token_id=0,
            attn_implementation="sdpa",
        )
        return Gemma3ForCausalLM(config).to(dtype or torch.float32).eval().requires_grad_(False)

    return build
