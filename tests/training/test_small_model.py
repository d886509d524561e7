"""The small model from scratch: bytes in, weights that nobody rounded, one loop."""

import dataclasses

import pytest
import torch

from course_utils import runtime
from course_utils.engine import loop, stages
from course_utils.quantization import detective
from course_utils.training import small_model

TEXT = "The rain in Spain falls mainly on the plain. " * 30


def test_texts_become_rows_of_bytes_behind_a_bos():
    rows = small_model.encode([TEXT, "short", "é" * 200])
    assert len(rows) == len(TEXT) // 255 + 400 // 255 and {len(row) for row in rows} == {small_model.LENGTH}
    assert all(row[0] == small_model.BOS and max(row[1:]) < 256 for row in rows)
    assert bytes(rows[0][1:]) == TEXT.encode()[:255] and bytes(rows[1][1:]) == TEXT.encode()[255:510]


def test_without_a_long_text_there_is_nothing_to_learn():
    with pytest.raises(ValueError, match="1 texts, and none has 255 bytes"):
        small_model.job(["short"])


def test_it_starts_as_a_guess_among_all_bytes_learns_and_lies_on_no_grid(tmp_path):
    recipe = dataclasses.replace(small_model.RECIPE, steps=6, batch_size=2, micro_batch=2, warmup_steps=1)
    job = small_model.job([TEXT], recipe)
    module = stages.seeded(job.build, recipe.seed)
    result = loop.train(
        module, job.rows, job.collate, recipe, tmp_path / "run", run=runtime.start(quiet=True), progress=False
    )
    assert result.losses[0] == pytest.approx(torch.tensor(258.0).log().item(), abs=0.3)
    assert result.losses[-1] < result.losses[0] - 1
    found = {
        detective.find_format(weight).bits for weight in module.parameters() if weight.dim() == 2 and len(weight) > 64
    }
    assert found == {16}
