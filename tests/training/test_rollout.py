"""From answers to learning targets, on numbers by hand; and what a reader's reward function may do wrong."""

import pytest
import torch

from course_utils.models.sampling import Sample
from course_utils.training import rollout

PROMPTS = [[2, 5], [2, 5, 6]]
SAMPLES = [Sample((7, 8, 1), True), Sample((9,), False)]
A, B = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, 9.0, 9.0]]), torch.tensor([[-1.5, -2.0, -2.0], [-1.0, 7.0, 7.0]])


@pytest.fixture
def answers():
    return rollout.assemble(PROMPTS, SAMPLES, torch.tensor([1.0, 3.0]), ["one", "two"])


def test_prompts_and_answers_become_tensors_with_masks(answers):
    assert answers.input_ids.tolist() == [[2, 5, 7, 8, 1], [2, 5, 6, 9, 0]]
    assert answers.mask.tolist() == [[True] * 5, [True] * 4 + [False]]
    assert answers.completion_mask.int().tolist() == [[0, 0, 1, 1, 1], [0, 0, 0, 1, 0]]
    assert answers.answer_mask.int().tolist() == [[1, 1, 1], [1, 0, 0]] and answers.ended.tolist() == [True, False]


def test_kl_costs_at_each_token_and_the_score_comes_at_the_last(answers):
    rewards = rollout.token_rewards(answers, A, B, kl_coef=0.1, missing_end_penalty=2.0)
    # −0.1 · (log π − log π_reference), + score, − 2 for the one without an end
    expected = torch.tensor([[-0.05, 0.0, 0.1 + 1.0], [-0.05 + 3.0 - 2.0, 0.0, 0.0]])
    torch.testing.assert_close(rewards, expected)


def test_the_trajectory_counts_only_what_was_sampled(answers):
    values = torch.where(answers.answer_mask, 0.5, torch.nan)
    made = rollout.learn_from(answers, A, B, values, kl_coef=0.1, missing_end_penalty=0.0, gamma=1.0, lam=1.0)
    torch.testing.assert_close(made.returns, torch.tensor([[1.05, 1.1, 1.1], [2.95, 0.0, 0.0]]))
    counted = made.advantages[answers.answer_mask]
    assert counted.mean().abs() < 1e-6 and counted.var(correction=0) == pytest.approx(1, abs=1e-5)
    assert (made.advantages[~answers.answer_mask] == 0).all()
    row = made[1]
    assert row["input_ids"].tolist() == [2, 5, 6, 9, 0] and row["returns"].tolist() == made.returns[1].tolist()


def test_diagnostics_by_hand_and_pads_never_count(answers):
    values = torch.tensor([[1.05, 1.1, 1.1], [2.95, 9.0, 9.0]])
    found = {}
    for filling in (9.0, torch.nan):
        a, b = (torch.where(answers.answer_mask, part, filling) for part in (A, B))
        made = rollout.learn_from(answers, a, b, values, kl_coef=0.1, missing_end_penalty=0.0, gamma=1.0, lam=1.0)
        found[filling] = rollout.diagnose(made)
    assert found[9.0] == next(reversed(found.values())), "what stands in the pads must not matter, NaN included"
    found = found[9.0]
    assert set(found) < set(rollout.DIAGNOSTICS)
    assert found["reward"] == 2.0 and found["reward_std"] == 1.0 and found["length"] == 2.0 and found["ended"] == 0.5
    assert found["kl"] == pytest.approx((0.5 + 0.0 - 1.0 + 0.5) / 2)
    assert found["entropy"] == pytest.approx((1 + 2 + 3 + 0.5) / 4)
    assert found["kl_k3"] > 0 and found["explained_variance"] == pytest.approx(1, abs=1e-5)


def test_explained_variance_of_nothing_is_zero():
    ones, mask = torch.ones(2, 2), torch.ones(2, 2, dtype=torch.bool)
    assert rollout.explained_variance(torch.zeros(2, 2), ones, mask) == 0
    returns = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert rollout.explained_variance(-returns, returns, mask) < 0


def raises(prompts, texts):
    return 1 / 0


@pytest.mark.parametrize(
    ("reward", "says"),
    [
        (raises, r"raised ZeroDivisionError: division by zero. It was given 2 texts, the first of them 'one'"),
        (lambda prompts, texts: torch.zeros(2, 1), r"gave shape \(2, 1\) for 2 texts, expected \(2,\)"),
        (lambda prompts, texts: 0.5, r"gave shape \(\) for 2 texts"),
        (lambda prompts, texts: None, r"gave NoneType, expected 2 numbers"),
        (lambda prompts, texts: [0.0, float("nan")], r"1 of 2 texts is not finite; the first, nan, was given to 'two'"),
        (lambda prompts, texts: [float("inf"), 0], r"the first, inf, was given to 'one'"),
    ],
)
def test_a_reward_function_that_is_wrong_is_told_so(reward, says):
    with pytest.raises(rollout.RewardError, match=says):
        rollout.judge(reward, ["p", "q"], ["one", "two"])


def test_a_list_of_numbers_will_do():
    scores = rollout.judge(lambda prompts, texts: [len(text) for text in texts], ["p", "q"], ["one", "three"])
    assert scores.tolist() == [3.0, 5.0] and scores.dtype == torch.float32


def test_no_text_to_judge_and_no_prompt_are_refused():
    with pytest.raises(ValueError, match="Expected at least one text, got none to judge"):
        rollout.judge(lambda prompts, texts: [], [], [])
    with pytest.raises(ValueError, match="Expected at least one prompt, got none"):
        rollout.assemble([], [], torch.zeros(0), [])
