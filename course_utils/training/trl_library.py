"""The same through TRL: what its trainer would learn from our rows, to compare labels and loss with ours."""

import contextlib
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


@contextlib.contextmanager
def _quiet():
    disable_progress_bars()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        enable_progress_bars()
