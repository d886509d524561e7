import pytest
import torch
from transformers import AutoTokenizer

from course_utils.adapters import switching
from course_utils.data import instructions, openings, preference
from course_utils.training import reward, trl_library
from course_utils.training.next_token import NextTokenLoss
from course_utils.training.ppo import PPORecipe

ROWS = [
    {"prompt": "is the film good", "answer": "yes the film is good"},
    {"prompt": "hello", "answer": "hello world"},
]


def test_trl_learns_the_same_tokens_at_the_same_loss(tiny_model, tiny_folder):
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    encoded = instructions.encode(ROWS, tokenizer, max_length=200)
    labels, loss = trl_library.sft_batch(tiny_model, tokenizer, ROWS)
    ours = [
        [token if learned else -100 for token, learned in zip(row["input_ids"], row["completion_mask"], strict=True)]
        for row in encoded
    ]
    assert labels == ours
    with torch.no_grad():
        batch = instructions.TokenCollator(tokenizer.pad_token_id)(encoded)
        assert loss == pytest.approx(NextTokenLoss(tiny_model)(batch).item(), rel=1e-5)


def test_trl_finds_the_same_loss_of_pairs(tiny_model, tiny_folder):
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    texts = [("good", "bad"), ("a great film", "a bad bad movie is a bad movie"), ("yes", "no")]
    pairs = [{"prompt": "the film?", "chosen": chosen, "rejected": rejected} for chosen, rejected in texts]
    rows = preference.encode(pairs, tokenizer, answer_tokens=12)
    module = reward.PairLoss(reward.RewardModel(tiny_model)).eval()
    torch.nn.init.normal_(module.reward_model.head.weight, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = module(preference.PairCollator(tokenizer.pad_token_id)(rows)).item()
    assert abs(ours - 0.6931) > 0.01
    assert trl_library.reward_loss(module.reward_model, tokenizer, rows) == pytest.approx(ours, rel=1e-5)


def test_rloo_is_paid_by_our_reward_function_and_moves_the_adapter(tiny_model, tiny_folder):
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    prompts = openings.encode(
        [{"prompt": "the film?", "opening": "a"}, {"prompt": "hello", "opening": "the"}], tokenizer
    )
    recipe = PPORecipe(steps=3, batch_size=4, learning_rate=1e-2, answer_tokens=3, epochs=2, schedule="constant")
    model, seen = switching.add(tiny_model, "default"), []
    switching.train_only(model, "default")
    before = switching.weights_of(model)

    def reward(asked, texts):
        seen.append((asked, texts))
        return [float(number) for number in range(len(texts))]

    paid = trl_library.rloo(model, tokenizer, prompts, reward, recipe, group=2)
    assert len(paid) == len(seen) == recipe.steps, "one rollout a step, read by all its passes"
    for asked, texts in seen:
        assert len(set(asked)) == 2 and all(text.startswith(("a", "the")) for text in texts)
    assert all(1.5 - recipe.missing_end_penalty <= mean <= 1.5 for mean in paid)
    after = switching.weights_of(model)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(before[first := next(iter(before))], switching.weights_of(model, "ref")[first])
