"""Every way to run the small model gives a line of the table; what is absent or fails is said in its line."""

import pytest
import torch

from course_utils.evaluation import engines, quantized
from course_utils.models.gguf_file import GGUFFile
from course_utils.quantization import backends, gguf_writer

ROWS = torch.randint(4, 320, (2, 24), generator=torch.Generator().manual_seed(2))
SPEEDS = {"decoded": 2, "read": 8}


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_each_runs_the_model_and_leaves_it_as_it_is(name, blocky, one_thread):
    model = blocky(torch.bfloat16)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    row = engines.in_transformers(name, model, ROWS, **SPEEDS)
    assert row.missing == "", row.missing
    assert abs(row.loss - quantized.token_losses(model, ROWS).mean().item()) < 0.25
    assert row.decode_1 > 0 and row.decode_16 > 0 and row.prefill > 0
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def replace(monkeypatch, name, **changes):
    chosen = {"package": None, "convert": lambda model: model} | changes
    monkeypatch.setitem(backends.BACKENDS, name, backends.Backend(name, **chosen))


def test_an_absent_package_is_a_row_with_the_remedy(monkeypatch, tmp_path):
    replace(monkeypatch, "x", package="no_such_package")
    row = engines.in_transformers("x", None, None, **SPEEDS)
    assert "pip install --no-deps no_such_package" in row.missing and row.bytes is None
    monkeypatch.setattr(engines.llama_cpp, "PACKAGE", "no_such_package")
    row = engines.in_llama_cpp(tmp_path / "Q8_0.gguf", None, None, threads=1, **SPEEDS)
    assert row.name == "llama.cpp Q8_0" and "pip install --no-deps no_such_package" in row.missing


def test_a_library_that_fails_is_a_row_with_its_reason(blocky, monkeypatch):
    def broken(model):
        raise RuntimeError("no kernel\nfor this machine")

    replace(monkeypatch, "x", convert=broken)
    row = engines.in_transformers("x", blocky(), None, **SPEEDS)
    assert row.missing == "x does not run here: RuntimeError: no kernel"


def test_a_files_loss_is_that_of_what_its_blocks_stand_for(tiny_gguf, tiny_model, tmp_path):
    pytest.importorskip("xllamacpp", reason="the test extra installs xllamacpp")
    rows = torch.tensor([[2, 280, 281, 282, 283, 284]])
    before = quantized.token_losses(tiny_model, rows).mean().item()
    fine, coarse = (gguf_writer.write(GGUFFile(tiny_gguf), tmp_path / f"{f}.gguf", f) for f in ("F16", "Q4_0"))
    fine, coarse = (engines.in_llama_cpp(path, tiny_model, rows, threads=1, **SPEEDS) for path in (fine, coarse))
    assert fine.loss == pytest.approx(before, abs=0.01) and coarse.loss != fine.loss
    assert coarse.bytes < fine.bytes and coarse.decode_1 > 0 and coarse.decode_16 > 0 and coarse.prefill > 0
    assert quantized.token_losses(tiny_model, rows).mean().item() == before
