"""The same through TRL: what its trainers would learn from our rows, and PPO's rival without a value head, RLOO."""

import contextlib
import copy
import io
import tempfile

import torch
from datasets import Dataset, disable_progress_bars, enable_progress_bars

from course_utils.data import instructions
from course_utils.data.answers import Turns


def sft_batch(model, tokenizer, rows):
    """TRL's labels and loss on a few rows, as its SFTTrainer prepares them; nothing is trained.

    Args:
        model: a causal language model, with or without an adapter.
        tokenizer: with a chat template that marks what the assistant says.
        rows: with columns prompt and answer.

    Returns:
        (labels, loss): a list of (T,) lists, −100 where nothing is learned, pads left out; and the mean loss, a float.
    """
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_list([{"messages": instructions.dialogue(row)} for row in rows])
    # what it advises on stderr concerns training, which does not happen here
    with tempfile.TemporaryDirectory(prefix="trl-") as folder, _quiet():
        settings = SFTConfig(
            output_dir=folder, per_device_train_batch_size=len(rows), assistant_only_loss=True, max_length=None,
            train_sampling_strategy="sequential", gradient_checkpointing=False, bf16=False, report_to="none",
            disable_tqdm=True, use_cpu=model.device.type == "cpu",
        )  # fmt: skip
        trainer = SFTTrainer(model, settings, train_dataset=data, processing_class=tokenizer)
        batch = next(iter(trainer.get_train_dataloader()))
        with torch.no_grad():
            loss = trainer.compute_loss(trainer.model, dict(batch)).item()
    pads = batch["attention_mask"] == 0 if "attention_mask" in batch else batch["input_ids"] == tokenizer.pad_token_id
    return [row[~pad].tolist() for row, pad in zip(batch["labels"], pads, strict=True)], loss


def reward_loss(reward_model, tokenizer, rows):
    """The loss that TRL's RewardTrainer finds for our reward model on a few pairs; nothing is trained.

    Its batch, its search for the last token (transformers' sequence classifier) and its loss are used; the blocks and
    the head are ours, so that both sides score with the same weights.

    Args:
        reward_model: a training.reward.RewardModel whose centre is 0 or anything: a shift changes no loss.
        tokenizer: whose pad token fills the batch.
        rows: encoded pairs with columns chosen_ids and rejected_ids.

    Returns:
        The mean loss, a float, in nats.
    """
    from trl import RewardConfig, RewardTrainer

    classifier = _classifier(reward_model, tokenizer.pad_token_id)
    with tempfile.TemporaryDirectory(prefix="trl-") as folder, _quiet():
        settings = RewardConfig(
            output_dir=folder, per_device_train_batch_size=len(rows), max_length=None, gradient_checkpointing=False,
            train_sampling_strategy="sequential", bf16=False, report_to="none", disable_tqdm=True,
            use_cpu=reward_model.model.device.type == "cpu",
        )  # fmt: skip
        columns = ("chosen_ids", "rejected_ids")
        data = Dataset.from_list([{name: row[name] for name in columns} for row in rows])
        trainer = RewardTrainer(classifier, settings, train_dataset=data, processing_class=tokenizer)
        batch = next(iter(trainer.get_train_dataloader()))
        with torch.no_grad():
            return trainer.compute_loss(trainer.model.eval(), dict(batch)).item()


def rloo(model, tokenizer, prompts, reward, recipe, *, group=4):
    """Train a policy by TRL's RLOO: the value of a prompt is the mean reward of its other answers, so no value head.

    Args:
        model: a PeftModel whose adapter "default" starts as the SFT policy; it learns, and a copy is the reference.
        tokenizer: with a chat template that marks what the assistant says.
        prompts: rows from `data.openings.encode`.
        reward: (prompts, texts) -> B numbers; an answer that was cut off pays `recipe.missing_end_penalty`.
        recipe: a PPORecipe; steps, answers a step, passes, rate, clipping, KL coefficient and temperature are taken.
        group: answers to one prompt; batch_size / group prompts make a step.

    Returns:
        The mean reward of each step: after the penalty for a missing end, before that for KL.

    Raises:
        ValueError: a prompt does not survive being written as text, which is how TRL takes it.
    """
    from trl import RLOOTrainer

    turns, tokenizer = Turns.of(tokenizer), copy.deepcopy(tokenizer)
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(turns.end)
    model.generation_config.eos_token_id = turns.end
    rows, paid = [_prompt_row(row, tokenizer) for row in prompts], []

    def score(prompts, completions, completion_ids, asked, opening, **unused):
        texts = [turns.text([*first, *ids]) for first, ids in zip(opening, completion_ids, strict=True)]
        cut_off = [recipe.missing_end_penalty * (ids[-1] != turns.end) for ids in completion_ids]
        scores = [float(score) - cut for score, cut in zip(reward(asked, texts), cut_off, strict=True)]
        paid.append(sum(scores) / len(scores))
        return scores

    with tempfile.TemporaryDirectory(prefix="trl-") as folder, _quiet():
        settings = _rloo_config(recipe, folder, group, use_cpu=model.device.type == "cpu")
        trainer = RLOOTrainer(model, score, settings, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
        trainer.train()
    return paid


def _rloo_config(recipe, folder, group, *, use_cpu):
    """TRL's names for what a PPORecipe says; an optimizer step each is one pass over a step's answers."""
    from trl import RLOOConfig

    return RLOOConfig(
        output_dir=folder, per_device_train_batch_size=recipe.batch_size, num_generations=group, steps_per_generation=1,
        num_iterations=recipe.epochs, max_steps=recipe.steps * recipe.epochs, learning_rate=recipe.learning_rate,
        lr_scheduler_type="constant", max_grad_norm=recipe.clip, max_completion_length=recipe.answer_tokens,
        temperature=recipe.temperature, beta=recipe.kl_coef, epsilon=recipe.clip_ratio, seed=recipe.seed, bf16=False,
        gradient_checkpointing=False, report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True,
        use_cpu=use_cpu,
    )  # fmt: skip


def _prompt_row(row, tokenizer):
    """A prompt as the text that TRL turns into the very same tokens, with what the reward function needs."""
    ids = list(row["prompt_ids"])
    text = tokenizer.decode(ids)
    text = text if tokenizer(text).input_ids == ids else text.removeprefix(tokenizer.bos_token)
    if tokenizer(text).input_ids != ids:
        raise ValueError(f"Expected a prompt that is the same tokens when written and read again, got {text!r}.")
    return {"prompt": text, "asked": row["prompt"], "opening": ids[len(ids) - row["opening_length"] :]}


def _classifier(reward_model, pad_id):
    """transformers' sequence classifier around the blocks and the head of a reward model, without copies."""
    from transformers import AutoModelForSequenceClassification

    model = reward_model.model
    trunk = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = copy.deepcopy(trunk.config)
    config.num_labels, config.pad_token_id = 1, pad_id
    with torch.device("meta"):  # its own blocks are not needed
        classifier = AutoModelForSequenceClassification.from_config(config)
    classifier.model = trunk.base_model
    classifier.score = torch.nn.Sequential(reward_model.head, torch.nn.Unflatten(-1, (-1, 1)))
    return classifier


@contextlib.contextmanager
def _quiet():
    disable_progress_bars()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        enable_progress_bars()
