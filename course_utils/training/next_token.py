"""The loss of pre-training and of supervised fine-tuning: predict the next token, where it counts.

Pre-training counts every token, SFT only those of the answer. Nothing else differs; that is the collator's mask.
"""

import torch

from course_utils.models.fast import fast_blocks
from course_utils.models.logprobs import linear_cross_entropy, next_token_targets
from course_utils.models.packing import packed_hidden


class NextTokenLoss(torch.nn.Module):
    """Mean cross-entropy of the next token over the completion mask, without pads and without full logits."""

    def __init__(self, model):
        """
        Args:
            model: a transformers causal language model, alone or inside a peft model whose adapter lives in its layers.
        """
        super().__init__()
        active = getattr(model, "active_peft_config", None)
        if active is not None and active.is_prompt_learning:
            raise ValueError(
                f"{active.peft_type} puts virtual tokens before the input, which packed rows have no place for. "
                "Use the loss in course_utils.adapters for soft prompts."
            )
        self.model = model

    def while_training(self):
        """The context in which the loop trains: fused functions take the place of eager ones where they can."""
        return fast_blocks(self.model)

    def count(self, batch):
        """How many tokens are predicted and count; a row's first token is predicted by nothing."""
        return int(batch["completion_mask"][:, 1:].sum())

    def forward(self, batch):
        """The loss of a batch as `data.instructions.TokenCollator` makes it, in nats a token."""
        targets = next_token_targets(batch["input_ids"], batch["completion_mask"])
        hidden = packed_hidden(self.model, batch["input_ids"], batch["mask"])
        return linear_cross_entropy(hidden, self.model.get_output_embeddings().weight, targets[batch["mask"]])
