from types import SimpleNamespace

import pytest
import torch
from helpers.toy_loss import WORDS, SmallCollator, SmallLoss

from course_utils.engine import preflight
from course_utils.engine.recipe import TrainingRecipe

RECIPE = TrainingRecipe(steps=1, batch_size=2, learning_rate=1e-3, max_length=20)


def survey(rows, module=None, recipe=RECIPE):
    return preflight.survey(rows, SmallCollator(), recipe, module or SmallLoss())


def test_lengths_and_fingerprint(rows):
    found = survey(rows)
    assert found.lengths.tolist() == [len(row["input_ids"]) for row in rows]
    assert survey([dict(row) for row in rows]).fingerprint == found.fingerprint
    assert survey(rows[::-1]).fingerprint != found.fingerprint
    rows[7]["completion_mask"][2] = False
    assert survey(rows).fingerprint != found.fingerprint


def test_a_dataset_gives_what_a_list_gives(rows):
    from datasets import Dataset

    found = survey(Dataset.from_list(rows))
    assert found.fingerprint == survey(rows).fingerprint and found.lengths.tolist() == survey(rows).lengths.tolist()


def test_columns_the_collator_does_not_read_do_not_matter(rows):
    assert survey([row | {"text": "x"} for row in rows]).fingerprint == survey(rows).fingerprint


def broken(rows, change):
    for number in (3, 17):
        change(rows[number])
    return rows


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row.update(completion_mask=[False] * len(row["input_ids"])), "no token to learn"),
        (lambda row: row.update(completion_mask=[True] + [False] * (len(row["input_ids"]) - 1)), "no token to learn"),
        (lambda row: row.update(input_ids=[1] * 21, completion_mask=[True] * 21), "longer than max_length = 20"),
        (lambda row: row["input_ids"].append(WORDS), f"outside 0 … {WORDS - 1}"),
        (lambda row: row["input_ids"].append(-1), f"outside 0 … {WORDS - 1}"),
    ],
)
def test_faulty_rows_are_counted_and_named_with_the_remedy(rows, change, said):
    with pytest.raises(ValueError, match=r"^2 of 40 rows \(rows 3, 17\)") as caught:
        survey(broken(rows, change))
    assert said in str(caught.value) and "\n" in str(caught.value)


def test_a_sequence_over_the_models_length(rows):
    module = SmallLoss()
    module.config = SimpleNamespace(max_position_embeddings=10)
    with pytest.raises(ValueError, match="longer than the 10 positions"):
        survey(rows, module)


def test_an_empty_dataset():
    with pytest.raises(ValueError, match=r"dataset is empty: 0 rows.*filtered"):
        survey([])


def test_one_row(rows):
    with pytest.raises(ValueError, match=r"has one row.*at least 2"):
        survey(rows[:1])


def test_a_wrong_column_is_named_with_the_likely_slip(rows):
    renamed = [{"inputs_id": row["input_ids"], "completion_mask": row["completion_mask"]} for row in rows]
    with pytest.raises(
        ValueError, match=r"columns \['completion_mask', 'inputs_id'\].*\['input_ids'\] is missing.*Rename"
    ):
        survey(renamed)


def test_trained_weights_in_fp16_are_refused():
    with pytest.raises(ValueError, match=r"4 trained weights are in float16 \(first: embedding.weight\)"):
        preflight.check_precision(SmallLoss().half())
    preflight.check_precision(SmallLoss().bfloat16())


def test_nothing_to_train():
    with pytest.raises(ValueError, match="No weight of this model requires a gradient"):
        preflight.check_method(SmallLoss().requires_grad_(False), RECIPE)


def test_prefix_tuning_with_activation_checkpointing():
    module = SmallLoss()
    module.peft_config = {"default": SimpleNamespace(peft_type="PREFIX_TUNING")}
    recipe = TrainingRecipe(steps=1, batch_size=2, learning_rate=1e-3, activation_checkpointing=True)
    with pytest.raises(ValueError, match="prefix, which lives in the key-value cache"):
        preflight.check_method(module, recipe)
    preflight.check_method(module, RECIPE)


def test_the_loop_looks_before_the_first_step(fit, rows, tmp_path):
    rows[5]["input_ids"][0] = 999
    module = SmallLoss()
    with pytest.raises(ValueError, match="rows 5"):
        fit(module, data=rows)
    assert torch.equal(module.head.weight, SmallLoss().head.weight) and not (tmp_path / "run").exists()
