import pytest
import torch

from course_utils import recipes
from course_utils.adapters import library, weights
from course_utils.data import graded as data
from course_utils.engine import stages
from course_utils.engine.loop import train
from course_utils.engine.recipe import METHODS
from course_utils.training import graded, sft

ROWS = [
    {"text": f"the film is {word}", "ratings": ratings, "mean": sum(ratings) / 2}
    for word, ratings in (("good", [3, 4]), ("bad", [-4, -4]), ("fine", [1, 1]), ("great", [4, 4]))
]


@pytest.fixture
def job(tiny_folder, monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", str(tiny_folder))

    def build(method, sizes=None, **changes):
        recipe = graded.recipe_of(
            method, "cpu", **{"steps": 25, "batch_size": 4, "learning_rate": 2e-2, "pool": 1} | changes
        )
        return graded.job(ROWS, recipe, sizes=sizes)

    return build


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_through_the_one_loop(job, method, tmp_path):
    made = job(method)
    module = stages.seeded(made.build, 0)
    base = weights.fingerprint(module.model) if method != "full" else None
    run = sft.precision(made.recipe)
    result = train(module, made.rows, made.collate, made.recipe, tmp_path, run=run, progress=False)
    assert result.losses[-1] < result.losses[0] - 0.1
    assert base is None or weights.fingerprint(module.model) == base, "only the adapter learns"


def test_the_loss_is_the_mean_over_the_panels_single_ratings(tiny_model, tiny_tokenizer):
    rows = data.encode(ROWS[:1], tiny_tokenizer)
    loss = graded.GradedLoss(tiny_model, data.digit_tokens(tiny_tokenizer))
    batch = data.GradedCollator(0)(rows)
    logits = tiny_model(input_ids=batch["input_ids"]).logits[0, -1]
    digits = data.digit_tokens(tiny_tokenizer)
    # ratings 3 and 4 are the digits 8 and 9
    expected = -logits.log_softmax(-1)[[digits[7], digits[8]]].mean()
    assert loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss.count(batch) == 1


def test_its_gradient_at_the_digits_is_softmax_minus_the_panel(tiny_model, tiny_tokenizer):
    batch = data.GradedCollator(0)(data.encode(ROWS, tiny_tokenizer))
    digits = data.digit_tokens(tiny_tokenizer)
    loss = graded.GradedLoss(tiny_model, digits)
    states = loss.states(batch).detach().requires_grad_()
    loss.states = lambda batch: states
    loss(batch).backward()
    head = tiny_model.get_output_embeddings().weight.detach()
    panel = torch.zeros(len(ROWS), len(head))
    panel[:, digits] = batch["shares"]
    expected = ((states.detach() @ head.T).softmax(-1) - panel) @ head / len(ROWS)
    torch.testing.assert_close(states.grad, expected, rtol=1e-4, atol=1e-7)


def test_a_row_is_graded_alike_alone_and_in_a_batch(tiny_model, tiny_tokenizer):
    rows = data.encode(ROWS, tiny_tokenizer)
    loss, collate = graded.GradedLoss(tiny_model, data.digit_tokens(tiny_tokenizer)), data.GradedCollator(0)
    together = loss.logprobs(collate(rows))
    alone = torch.cat([loss.logprobs(collate([row])) for row in rows])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_soft_prompts_start_from_the_instruction_unless_told(job):
    words = job("prompt").build().model
    start = words.prompt_encoder["default"].embedding.weight[:3].detach()
    expected = words.get_input_embeddings()(torch.tensor(job("prompt").tokenizer(graded.START).input_ids[:3]))
    torch.testing.assert_close(start, expected.float())
    assert len(job("prefix", {"tokens": 3}).build().model.prompt_encoder["default"].embedding.weight) == 3


def test_every_method_has_a_notebook_and_a_recipe():
    assert {*graded.NOTEBOOKS, "full"} == set(METHODS) == {"full", *library.METHODS}
    for method, number in graded.NOTEBOOKS.items():
        recipe = graded.recipe_of(method, "cpu")
        assert recipe.learning_rate == recipes.of(number, "cpu").learning_rate and recipe.method == method
    assert graded.recipe_of("full", "cpu").learning_rate == graded.FULL_RATE
    assert graded.recipe_of("lora", "cpu", steps=2).warmup_steps == 0
