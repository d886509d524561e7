"""The checkers accept the solutions that the notebook folds away, and no plausible slip."""

import math

import numpy as np
import pytest
import torch

from course_utils.checks import ppo_rlhf as check
from course_utils.reporting import reference
from course_utils.training import rollout
from course_utils.training.advantages import gae as package_gae


def gae(rewards, values, lam):
    advantages, advantage, following = [], 0.0, 0.0
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        advantage = reward + following - value + lam * advantage
        following = value
        advantages.insert(0, advantage)
    return advantages


def length(prompts, texts):
    return [len(text.split()) for text in texts]


def test_the_advantages_pass(capsys):
    assert check.check_gae(gae) and capsys.readouterr().out.startswith("✓ right: the score at the end")


def with_tensors(rewards, values, lam):
    deltas = rewards + torch.cat([values[1:], values.new_zeros(1)]) - values
    steps = torch.arange(len(deltas))
    return (lam ** (steps - steps[:, None]).clamp(min=0)).triu() @ deltas


def with_numpy(rewards, values, lam):
    deltas = rewards + np.append(values[1:], 0) - values
    return [sum(lam**k * d for k, d in enumerate(deltas[t:])) for t in range(len(deltas))]


@pytest.mark.parametrize("solution", [with_tensors, with_numpy])
def test_the_advantages_pass_in_any_form(solution):
    assert check.check_gae(solution)


def test_the_packages_own_advantages_pass():
    def own(rewards, values, lam):
        rows = torch.tensor([rewards], dtype=torch.float64), torch.tensor([values], dtype=torch.float64)
        return package_gae(*rows, torch.ones(1, len(values)).bool(), lam=lam)[0][0]

    assert check.check_gae(own)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda rewards, values, lam: ..., "returns nothing yet"),
        (lambda rewards, values, lam: gae(rewards, values, 0), "Those are the δ alone"),
        (lambda r, v, lam: [a + b for a, b in zip(gae(r, v, lam), v, strict=True)], "Those are the returns"),
        (lambda r, v, lam: check._gae(r, v, lam, last=v[-1]), "the next value there is 0"),
        (lambda r, v, lam: gae(r, v, 1), "λ has no effect yet"),
        (lambda r, v, lam: gae(r, v, lam)[::-1], "the wrong way round"),
        (lambda rewards, values, lam: rewards, "Go backwards"),
    ],
)
def test_slips_of_the_advantages_are_named(wrong, said, capsys):
    assert not check.check_gae(wrong)
    assert said in capsys.readouterr().out


def diagnose(metrics):
    first, last = metrics[0], metrics[-1]
    if abs(first["reward"]) > 3:
        return "reward not centred"
    if max(line["kl"] for line in metrics) > 50:
        return "too fast"
    return "leash too short" if last["kl"] < 2 else "reward blind"


@pytest.fixture
def runs():
    return reference.load("rlhf")["points"]["clinic"]["runs"]


def test_the_diagnosis_passes(runs, capsys):
    assert set(runs) == set(check.CAUSES) and check.check_clinic(diagnose, runs)
    assert "Their KL at the end, in nats: A " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda metrics: ..., "patient A: your function returns nothing yet"),
        (lambda metrics: "unlucky", "'unlucky' is none of the causes"),
        (lambda metrics: [diagnose(metrics)], "is none of the causes"),
        (lambda metrics: 3, "patient A: 3 is none of the causes"),
        (lambda metrics: metrics.pop() and metrics[999], "raised IndexError"),
        (lambda metrics: "too fast", "far from 0"),
        (
            lambda metrics: "reward blind" if diagnose(metrics) == "too fast" else diagnose(metrics),
            "within a few",
        ),
        (lambda metrics: "too fast" if diagnose(metrics) == "reward blind" else diagnose(metrics), "beside the KL"),
        (lambda metrics: "reward blind" if diagnose(metrics)[0] == "l" else diagnose(metrics), "it stays near 0"),
    ],
)
def test_a_wrong_diagnosis_is_told_where_to_look(wrong, said, runs, capsys):
    assert not check.check_clinic(wrong, runs)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("reward", [length, lambda prompts, texts: torch.tensor([float(len(t)) for t in texts])])
def test_a_reward_that_tells_texts_apart_passes(reward):
    assert check.check_reward(reward)
    assert rollout.judge(reward, [check.PROMPT] * 2, ["a", "a b"], [True] * 2).tolist() in ([1, 2], [1, 3])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda prompts, texts: ..., "returns nothing yet"),
        (lambda prompts, texts: sum(map(len, texts)), "expected one number for each of 6 texts"),
        (lambda prompts, texts: [1.0], "Was the mean taken?"),
        (lambda prompts, texts: [1.0 for _ in texts], "every text gets 1, whatever it says"),
        (lambda prompts, texts: [len(t) / len(t.split()) for t in texts], "raised ZeroDivisionError"),
        (lambda prompts, texts: [math.log(len(t)) if t else -math.inf for t in texts], "'' is not finite"),
        (lambda prompts, texts: [-7.0 for _ in texts], "praises some places in a text and blames others, as the −7"),
        (lambda prompts, texts: torch.zeros(len(texts), 2), "expected one number for each of 6 texts"),
        (lambda prompts, texts: [str(len(text)) for text in texts], "expected one number for each of 6 texts"),
        (lambda prompts, texts: [len(t) - sum(map(len, texts[:1])) for t in texts], "in another order"),
        (lambda prompts, texts: range(len(texts)), "in another order"),
    ],
)
def test_a_reward_that_cannot_teach_is_refused(wrong, said, capsys):
    assert not check.check_reward(wrong)
    assert said in capsys.readouterr().out
