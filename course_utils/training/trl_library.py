"""The same through TRL: what its trainer would learn from our rows, to compare labels and loss with ours."""

import contextlib
import copy
import io
import tempfile

import torch
from datasets import Dataset, disable_progress_bars, enable_progress_bars

from course_utils.data import instructions


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
